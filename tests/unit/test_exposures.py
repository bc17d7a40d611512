"""What is taken into account of what a subject was shown, held against the definition in plain words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit import exposures
from bandit.steering import Cap, Constraint, Exposure, Novelty, Seen, window
from bandit.types import Action, BanditConfig

ACTIONS = [Action(action_id="a", segment="one"), Action(action_id="b")]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEGMENTS = {"a": "one", "b": "two", "c": None, "d": "one"}


def config(*windows: float, in_a_row: int | None = None, novelty: float | None = None) -> BanditConfig:
    constraints = [Constraint(name=f"{each}", cap=Cap(times=3, seconds=each)) for each in windows]
    if in_a_row is not None:
        constraints.append(Constraint(name="in a row", in_a_row=in_a_row))
    new = None if novelty is None else Novelty(share=0.2, seconds=novelty)
    return BanditConfig(actions=ACTIONS, constraints=constraints, novelty=new)


def shown(*ago: tuple[str, float]) -> list[Exposure]:
    """What was shown so many seconds ago."""
    return [Exposure(a, SEGMENTS[a], NOW - timedelta(seconds=seconds)) for a, seconds in ago]


pasts = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([-1, 0, 1, 59, 60, 61, 3600, 86_400, 31 * 86_400])),
    max_size=40,
).map(lambda past: shown(*sorted(past, key=lambda one: -one[1])))


@given(past=pasts, windows=st.lists(st.sampled_from([60.0, 3_600.0, 86_400.5]), min_size=1, max_size=3))
def test_windows_hold_what_was_shown_after_their_beginning_up_to_now(
    past: list[Exposure], windows: list[float]
) -> None:
    found = exposures.seen(config(*windows), past, NOW)
    assert found is not None
    assert set(found.actions) == set(found.segments) == {window(seconds) for seconds in windows}
    for seconds in windows:
        inside = [one for one in past if NOW - timedelta(seconds=seconds) < one.at <= NOW]
        for which, key in ((found.actions, "action_id"), (found.segments, "segment")):
            names = [getattr(one, key) for one in inside if getattr(one, key) is not None]
            assert which[window(seconds)] == {name: names.count(name) for name in names}
    assert (found.action, found.segment) == (None, None), "nobody asked"


@given(past=pasts)
def test_how_often_running_the_last_one_was_shown(past: list[Exposure]) -> None:
    found = exposures.seen(config(in_a_row=2), past, NOW)
    assert found is not None
    assert (found.actions, found.segments) == ({}, {}), "nobody asked"
    counted = [one for one in past if NOW - timedelta(days=30) < one.at <= NOW]
    for given_, names in (
        (found.action, [one.action_id for one in counted]),
        (found.segment, [one.segment for one in counted]),
    ):
        if not names or names[-1] is None:
            assert given_ is None
        else:
            assert given_ is not None
            name, times = given_
            assert names[-times:] == [name] * times
            assert len(names) == times or names[-times - 1] != name


@given(past=pasts)
def test_it_is_logged_and_read_without_loss(past: list[Exposure]) -> None:
    found = exposures.seen(config(60.0, 1 / 3, in_a_row=1, novelty=3_600.0), past, NOW)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Seen) == found


@pytest.mark.parametrize("change", [{"mode": "apprentice"}, {"mode": "logging_only"}, {"paused": True}])
def test_nothing_is_taken_into_account_where_the_policy_does_not_choose(change: dict[str, object]) -> None:
    limited = config(60.0)
    assert exposures.seen(limited, [], NOW) == Seen(actions={"60": {}}, segments={"60": {}})
    changed = msgspec.structs.replace(limited, **change)
    assert exposures.seen(changed, [], NOW) is None
    assert exposures.counts(changed), "what is shown meanwhile counts later"


def test_nothing_is_counted_that_no_limit_asks_for() -> None:
    schedule = Constraint(name="never", actions=["a"], ceiling=0.5)
    assert not exposures.counts(BanditConfig(actions=ACTIONS, constraints=[schedule]))
    for limited in (config(60.0), config(in_a_row=1), config(novelty=60.0)):
        assert exposures.counts(limited)


def test_the_newest_thousand_count() -> None:
    past = shown(*([("b", 30.0)] * 500 + [("a", 20.0)] * 1_000))
    found = exposures.seen(config(60.0, in_a_row=1), past, NOW)
    assert found is not None
    assert (found.actions, found.action) == ({"60": {"a": 1_000}}, ("a", 1_000))
