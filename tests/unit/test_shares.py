"""What owners ask of shares holds for any distribution; where nothing is asked, nothing moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.bounds import Bounds, Group, highest, lowest, reconciled
from bandit.projection import projected, raised
from bandit.shares import Shaped, shaped
from bandit.steering import Boost, Constraint, Newcomers, Novelty, Schedule, Seen, window
from bandit.types import Action, BanditConfig, Features

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ACTIONS = [Action(action_id=f"a{i}", segment=f"s{i % 2}") for i in range(4)]
LEAST = 1e-9


def shape(
    pmf: list[float], actions: Sequence[Action] = ACTIONS, seen: Seen | None = None, **fields: Any
) -> list[float]:
    return shaped_with(pmf, {}, actions, seen, **fields).pmf


def shaped_with(
    pmf: list[float],
    context: Features,
    actions: Sequence[Action] = ACTIONS,
    seen: Seen | None = None,
    **fields: Any,
) -> Shaped:
    fields = {"exploration_floor": 1e-4} | fields
    config = BanditConfig(actions=list(actions), baseline_action="a0", **fields)
    return shaped(config, actions, pmf, context, NOW, seen)


@st.composite
def distributions(draw: st.DrawFn, size: int | None = None) -> list[float]:
    """Some of them with zeros, some nearly degenerate."""
    size = size or draw(st.integers(1, 12))
    weights = draw(
        st.lists(
            st.one_of(st.just(0.0), st.floats(1e-12, 1e-6), st.floats(0.01, 1.0)),
            min_size=size,
            max_size=size,
        ).filter(any)
    )
    total = math.fsum(weights)
    return [weight / total for weight in weights]


@st.composite
def wanted(draw: st.DrawFn) -> tuple[list[float], Bounds]:
    """A distribution, and bounds that need not be possible."""
    pmf = draw(distributions())
    shares = st.lists(st.floats(0.0, 1.0), min_size=len(pmf), max_size=len(pmf))
    member_of = draw(st.lists(st.integers(0, 3), min_size=len(pmf), max_size=len(pmf)))
    range_of = st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)).map(sorted)
    groups = [
        Group([i for i, one in enumerate(member_of) if one == group], *draw(range_of))
        for group in {*member_of} - {0}
    ]
    few = draw(st.floats(0.001, 1.0))
    return pmf, Bounds([few * floor for floor in draw(shares)], draw(shares), groups)


def totals(pmf: Sequence[float], groups: Sequence[Group]) -> list[float]:
    return [math.fsum(pmf[i] for i in group.members) for group in groups]


def a_distribution(pmf: Sequence[float]) -> bool:
    return abs(math.fsum(pmf) - 1.0) < LEAST and all(math.isfinite(p) and p >= 0.0 for p in pmf)


@given(wanted())
def test_what_is_asked_becomes_possible_and_then_holds(given: tuple[list[float], Bounds]) -> None:
    pmf, asked = given
    bounds = reconciled(asked)
    assert lowest(bounds) <= 1.0 + LEAST
    assert highest(bounds) >= 1.0 - LEAST
    found = projected(pmf, bounds)
    assert a_distribution(found)
    for floor, p, ceiling in zip(bounds.floors, found, bounds.ceilings, strict=True):
        assert floor - LEAST <= p <= ceiling + LEAST
    for group, total in zip(bounds.groups, totals(found, bounds.groups), strict=True):
        assert group.floor - LEAST <= total <= group.ceiling + LEAST


@given(wanted())
def test_what_can_hold_as_asked_is_not_changed(given: tuple[list[float], Bounds]) -> None:
    possible = reconciled(given[1])
    again = reconciled(possible)
    for one, other in zip(possible[:2], again[:2], strict=True):
        assert other == pytest.approx(one, abs=LEAST)


@given(wanted())
def test_who_is_within_bounds_stays_as_it_is(given: tuple[list[float], Bounds]) -> None:
    pmf, asked = given
    bounds = reconciled(asked)
    once = projected(pmf, bounds)
    assert projected(once, bounds) == pytest.approx(once, abs=LEAST)


@given(wanted())
def test_no_distribution_within_the_bounds_is_nearer(given: tuple[list[float], Bounds]) -> None:
    """By the conditions of Karush, Kuhn and Tucker: moving from one to another would not bring it nearer."""
    pmf, asked = given
    bounds = reconciled(asked)._replace(groups=[])
    if lowest(bounds) > 1.0 or highest(bounds) < 1.0:
        return
    weights = [max(p, 1e-12) for p in pmf]
    found = projected(pmf, bounds)
    ratios = [p / weight for p, weight in zip(found, weights, strict=True)]
    can_give = [r for r, p, low in zip(ratios, found, bounds.floors, strict=True) if p > low + 1e-6]
    can_take = [r for r, p, high in zip(ratios, found, bounds.ceilings, strict=True) if p < high - 1e-6]
    if can_give and can_take and found is not pmf:
        assert max(can_give) <= min(can_take) * (1.0 + 1e-6)


@given(distributions(), st.floats(0.0, 1.0))
def test_the_exploration_floor_alone_is_the_same_as_by_bounds(pmf: list[float], share: float) -> None:
    floor = share / len(pmf)
    bounds = Bounds([floor] * len(pmf), [1.0] * len(pmf), [])
    assert raised(pmf, floor) == pytest.approx(projected(pmf, bounds), abs=LEAST)


@given(distributions())
def test_where_nothing_is_asked_the_very_same_floats_come_back(pmf: list[float]) -> None:
    actions = [Action(action_id=f"a{i}", added_at=NOW - timedelta(days=9)) for i in range(len(pmf))]
    even = [0.5 * p + 0.5 / len(pmf) for p in pmf]
    found = shaped_with(even, {}, actions, constraints=[Constraint(name="x", floor=0.0, ceiling=1.0)])
    assert found.pmf == even
    found = shaped_with(even, {}, actions)
    assert found.pmf is even
    assert found.unboosted is None


@given(distributions(4), st.floats(0.01, 0.8), st.floats(0.1, 0.9))
def test_order_is_kept_within_a_segment(pmf: list[float], ceiling: float, floor: float) -> None:
    found = shape(
        pmf,
        constraints=[
            Constraint(name="each", ceiling=max(ceiling, 0.3)),
            Constraint(name="whole", segments=["s1"], floor=min(floor, 0.55)),
        ],
        exploration_floor=0.1,
    )
    for one, other in ((0, 2), (1, 3)):
        low, high = sorted((one, other), key=lambda i: pmf[i])
        assert found[low] <= found[high] + LEAST


@given(distributions(4))
def test_floors_and_ceilings_of_a_configuration_hold(pmf: list[float]) -> None:
    found = shape(
        pmf,
        constraints=[
            Constraint(name="first", actions=["a0", "nobody"], floor=0.2, ceiling=0.3),
            Constraint(name="segment", segments=["s1"], ceiling=0.4),
            Constraint(name="each", ceiling=0.6),
        ],
    )
    assert a_distribution(found)
    assert 0.2 <= found[0] <= 0.3
    assert found[1] + found[3] <= 0.4 + LEAST
    assert max(found) <= 0.6
    assert min(found) >= 1e-4 / 4


def test_what_is_between_its_bounds_keeps_its_proportions() -> None:
    found = shape([0.6, 0.2, 0.1, 0.1], constraints=[Constraint(name="most", actions=["a0"], ceiling=0.3)])
    assert found == pytest.approx([0.3, 0.35, 0.175, 0.175])


def floor(share: float, **scope: Any) -> Constraint:
    return Constraint(name=f"floor of {scope}", floor=share, **scope)


def ceiling(share: float, **scope: Any) -> Constraint:
    return Constraint(name=f"ceiling of {scope}", ceiling=share, **scope)


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        pytest.param([ceiling(0.25)], [0.5, 0.5], id="ceilings without room rise alike"),
        pytest.param(
            [ceiling(0.2, actions=["a0"]), ceiling(0.3, actions=["a1"])], [0.4, 0.6], id="in proportion"
        ),
        pytest.param([ceiling(0.0)], [1.0, 0.0], id="no room at all"),
        pytest.param(
            [floor(0.3, actions=["a0"]), floor(0.9, actions=["a1"])],
            [0.25, 0.75],
            id="floors that sum to more shrink alike",
        ),
        pytest.param([ceiling(0.0, actions=["a0"])], [0.0, 1.0], id="a ceiling of zero"),
        pytest.param(
            [floor(0.4, segments=["s1"]), ceiling(0.1, actions=["a1"])],
            [0.9, 0.1],
            id="a segment's floor gives way to its actions' ceilings",
        ),
        pytest.param(
            [floor(0.4, actions=["a1"]), ceiling(0.1, segments=["s1"])],
            [0.9, 0.1],
            id="an action's floor gives way to its segment's ceiling",
        ),
    ],
)
def test_what_cannot_hold_together_gives_way(constraints: list[Constraint], expected: list[float]) -> None:
    found = shape([1.0, 0.0], ACTIONS[:2], constraints=constraints)
    assert found == pytest.approx(expected, abs=1e-4)


def test_one_action_is_chosen_whatever_its_ceiling() -> None:
    assert shape([1.0], ACTIONS[:1], constraints=[Constraint(name="x", ceiling=0.1)]) == [1.0]


def test_boosts_multiply_and_are_bounded_together() -> None:
    found = shaped_with(
        [0.25] * 4,
        {"tier": "gold"},
        boosts=[
            Boost(name="both", actions=["a0"], segments=["s0"], multiplier=5.0),
            Boost(name="more", actions=["a0"], multiplier=5.0, if_="context.tier == 'gold'"),
            Boost(name="never", segments=["s1"], multiplier=9.0, if_="context.tier == 'tin'"),
            Boost(name="over", segments=["s1"], multiplier=9.0, schedule=Schedule(until=NOW)),
        ],
    )
    assert found.pmf == pytest.approx([10 / 17, 1 / 17, 5 / 17, 1 / 17])
    assert found.unboosted == [0.25] * 4


def test_boosts_bow_to_ceilings_and_show_what_they_moved() -> None:
    found = shaped_with(
        [0.7, 0.1, 0.1, 0.1],
        {},
        boosts=[Boost(name="x", actions=["a1"], multiplier=10.0)],
        constraints=[Constraint(name="most", ceiling=0.5)],
    )
    assert found.pmf == pytest.approx([7 / 19 / (1 - 10 / 19) / 2, 0.5, 1 / 18, 1 / 18], abs=1e-3)
    assert found.unboosted == pytest.approx([0.5, 1 / 6, 1 / 6, 1 / 6])


@pytest.mark.parametrize(
    "boost",
    [
        Boost(name="neutral", multiplier=1.0),
        Boost(name="not offered", actions=["other"], multiplier=3.0),
        Boost(name="not now", multiplier=3.0, if_="context.tier == 'gold'"),
    ],
    ids=lambda boost: boost.name,
)
def test_where_no_boost_applies_there_is_nothing_unboosted(boost: Boost) -> None:
    pmf = [0.25] * 4
    assert shaped_with(pmf, {}, boosts=[boost]) == Shaped(pmf, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"boosts": [Boost(name="all", multiplier=3.0)]},
        {"boosts": [Boost(name="all", segments=["s0", "s1"], multiplier=0.7)]},
        {
            "boosts": [Boost(name="in vain", actions=["a0"], multiplier=3.0)],
            "constraints": [Constraint(name="most", actions=["a0"], ceiling=0.1)],
        },
    ],
)
def test_boosts_that_move_nothing_are_none(fields: dict[str, Any]) -> None:
    pmf = [0.1, 0.2, 0.3, 0.4]
    found = shaped_with(pmf, {}, **fields)
    assert found.pmf == pytest.approx(pmf)
    assert found.unboosted is None


def test_novelty_by_segment_gives_what_is_new_to_the_subject_its_share() -> None:
    novelty = Novelty(share=0.5, seconds=3_600.0, by="segment")
    key = window(3_600.0)
    seen = Seen(actions={key: {"a0": 3}}, segments={key: {"s0": 3}})
    assert shape([0.7, 0.1, 0.1, 0.1], seen=seen, novelty=novelty) == pytest.approx(
        [7 / 16, 0.25, 1 / 16, 0.25]
    )
    loose = [*ACTIONS[:3], Action(action_id="a3")]
    assert shape([0.7, 0.1, 0.1, 0.1], loose, seen=seen, novelty=novelty) == pytest.approx(
        [0.5 * 0.7 / 0.9, 0.5, 0.5 * 0.1 / 0.9, 0.5 * 0.1 / 0.9]
    ), "what belongs to no segment is new to nobody"
    both = Seen(actions=seen.actions, segments={key: {"s0": 3, "s1": 1}})
    assert shape([0.7, 0.1, 0.1, 0.1], seen=both, novelty=novelty) == [0.7, 0.1, 0.1, 0.1]


def test_what_a_subject_was_not_shown_has_its_share() -> None:
    novelty = Novelty(share=0.5, seconds=3_600.0)
    seen = Seen(actions={window(3_600.0): {"a0": 3, "a2": 1}})
    assert shape([0.8, 0.06, 0.1, 0.04], seen=seen, novelty=novelty) == pytest.approx(
        [4 / 9, 0.3, 0.5 / 9, 0.2]
    )
    assert shape([1.0, 0.0, 0.0, 0.0], seen=seen, novelty=novelty) == pytest.approx(
        [0.5, 0.25, 0, 0.25], abs=1e-4
    )
    enough = [0.3, 0.3, 0.1, 0.3]
    assert shape(enough, seen=seen, novelty=novelty) == enough
    assert shape(enough, seen=None, novelty=novelty) == enough
    everything = Seen(actions={window(3_600.0): {action.action_id: 1 for action in ACTIONS}})
    assert shape([0.97, 0.01, 0.01, 0.01], seen=everything, novelty=novelty) == [0.97, 0.01, 0.01, 0.01]


def test_newcomers_have_their_share_while_they_are_new() -> None:
    actions = [
        *ACTIONS[:2],
        msgspec.structs.replace(ACTIONS[2], added_at=NOW - timedelta(hours=1)),
        msgspec.structs.replace(ACTIONS[3], added_at=NOW - timedelta(hours=1)),
    ]
    fields: dict[str, Any] = {"newcomers": Newcomers(share=0.2, seconds=7_200.0)}
    assert shape([1.0, 0.0, 0.0, 0.0], actions, **fields) == pytest.approx([0.8, 0, 0.1, 0.1], abs=1e-4)
    old: dict[str, Any] = {"newcomers": Newcomers(share=0.2, seconds=3_600.0)}
    assert shape([1.0, 0.0, 0.0, 0.0], actions, **old) == pytest.approx([1, 0, 0, 0], abs=1e-4)
    most: dict[str, Any] = {"newcomers": Newcomers(share=1.0, seconds=7_200.0)}
    assert shape([1.0, 0.0, 0.0, 0.0], actions, **most) == pytest.approx([0.5, 0, 0.25, 0.25], abs=1e-4)


def test_newcomers_bow_to_ceilings_and_to_floors_that_were_asked_for() -> None:
    new = msgspec.structs.replace(ACTIONS[3], added_at=NOW)
    bounded = [Constraint(name="x", actions=["a3"], ceiling=0.05)]
    found = shape([0.9, 0.1, 0, 0], [*ACTIONS[:3], new], constraints=bounded, newcomers=Newcomers(share=0.2))
    assert found[3] == 0.05
    floors = [Constraint(name="x", actions=["a0"], floor=0.99)]
    found = shape([0.9, 0.1, 0, 0], [*ACTIONS[:3], new], constraints=floors, newcomers=Newcomers(share=0.2))
    assert found[0] >= 0.99
    assert 0.009 < found[3] < 0.01


def test_when_an_action_was_added_is_the_catalogues_word() -> None:
    """A request cannot make its own actions newcomers."""
    config = BanditConfig(actions=ACTIONS[:1], baseline_action="a0")
    brought = [ACTIONS[0], msgspec.structs.replace(ACTIONS[1], added_at=NOW)]
    assert shaped(config, brought, [0.99, 0.01], {}, NOW, None).pmf == [0.99, 0.01]


@given(
    st.lists(
        st.tuples(distributions(4), st.sets(st.integers(0, 3), min_size=1), st.integers(0, 60)),
        min_size=2,
        max_size=6,
    )
)
def test_what_is_remembered_between_decisions_changes_none_of_them(
    decisions: list[tuple[list[float], set[int], int]],
) -> None:
    """An audit repeats each alone, so not one bit may hang on what was decided before."""
    added = [NOW, NOW + timedelta(seconds=30), None, None]
    actions = [msgspec.structs.replace(a, added_at=at) for a, at in zip(ACTIONS, added, strict=True)]

    def fresh() -> BanditConfig:
        return BanditConfig(
            actions=actions,
            newcomers=Newcomers(share=0.2, seconds=20.0),
            constraints=[floor(0.3, segments=["s1"]), ceiling(0.6, actions=["a0"])],
            boosts=[Boost(name="b", actions=["a3"], multiplier=3.0)],
        )

    remembering = fresh()
    for pmf, positions, seconds in decisions:
        offered = [actions[i] for i in sorted(positions)]
        if not (total := math.fsum(pmf[: len(offered)])):
            continue
        policy = [p / total for p in pmf[: len(offered)]]
        at = NOW + timedelta(seconds=seconds)
        assert shaped(remembering, offered, policy, {}, at, None) == shaped(
            fresh(), offered, policy, {}, at, None
        )
