from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit import rewards
from bandit.types import Aggregation, KindRule, ReceivedEvent, RewardDefinition

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DEFINITION = RewardDefinition(
    kinds={"click": KindRule(weight=2.0), "buy": KindRule(value=5.0)}, clip=(-100, 100)
)


def event(kind: str, value: float, minute: float, name: str = "e") -> ReceivedEvent:
    return ReceivedEvent(
        decision_id="d", source="s", event_id=name, kind=kind, value=value,
        occurred_at=NOON + timedelta(minutes=minute), received_at=NOON,
    )  # fmt: skip


def settle(definition: RewardDefinition, events: list[ReceivedEvent]) -> float:
    return rewards.settle(definition, 0.5, events, until=NOON + timedelta(minutes=60))


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [("sum", 2 + 6 + 5), ("first", 2), ("last", 5), ("max", 6), ("min", 2), ("mean", 13 / 3)],
)
def test_aggregations_over_weights_and_fixed_values(aggregation: Aggregation, expected: float) -> None:
    definition = RewardDefinition(kinds=DEFINITION.kinds, clip=(-100, 100), aggregation=aggregation)
    events = [event("click", 1, 1, "a"), event("click", 3, 2, "b"), event("buy", 99, 3, "c")]
    assert settle(definition, events) == pytest.approx(expected)


@given(
    st.lists(
        st.tuples(st.sampled_from(["click", "buy", "other"]), st.floats(-10, 10), st.integers(-5, 90)),
        max_size=8,
    ),
    st.sampled_from(["sum", "first", "last", "max", "min", "mean"]),
    st.randoms(use_true_random=False),
)
def test_the_order_of_arrival_never_matters(
    raw: list[tuple[str, float, int]], aggregation: Aggregation, shuffler: random.Random
) -> None:
    definition = RewardDefinition(kinds=DEFINITION.kinds, clip=(-100, 100), aggregation=aggregation)
    events = [event(kind, value, minute, f"e{i}") for i, (kind, value, minute) in enumerate(raw)]
    shuffled = shuffler.sample(events, len(events))
    assert settle(definition, events) == settle(definition, shuffled)


def test_default_unknown_kinds_late_events_and_clipping() -> None:
    assert settle(DEFINITION, []) == 0.5
    assert settle(DEFINITION, [event("scroll", 1, 1)]) == 0.5
    assert settle(DEFINITION, [event("click", 1, 61)]) == 0.5
    assert settle(DEFINITION, [event("click", 1, 60)]) == 2.0
    clipped = RewardDefinition(kinds=DEFINITION.kinds, clip=(0, 1))
    assert settle(clipped, [event("click", 50, 1)]) == 1.0
    assert settle(clipped, [event("click", -50, 1)]) == 0.0


@given(st.floats(-10, 10))
def test_scaling_stays_in_the_unit_interval(reward: float) -> None:
    assert 0.0 <= rewards.scale(RewardDefinition(clip=(-3, 5)), reward) <= 1.0


def correction(of: str, value: float, minute: float, name: str) -> ReceivedEvent:
    return msgspec.structs.replace(event("ignored", value, minute, name), corrects=of)


def test_a_correction_takes_the_place_of_what_it_corrects_whenever_it_comes() -> None:
    events = [event("click", 1, 1, "a"), event("click", 3, 2, "b"), event("buy", 99, 3, "c")]
    assert settle(DEFINITION, events) == 2 + 6 + 5
    assert settle(DEFINITION, [*events, correction("b", 1, 500, "x")]) == 2 + 2 + 5
    assert settle(DEFINITION, [*events, correction("c", 0, 500, "x")]) == 2 + 6, "a fixed value too"
    both = [correction("b", 7, 500, "y"), correction("b", 0, 501, "x")]
    assert settle(DEFINITION, [*both, *events]) == 2 + 5, "the one that occurred last stands"
    assert settle(DEFINITION, [correction("nothing", 9, 1, "x")]) == 0.5
    chain = [correction("b", 1, 500, "x"), correction("x", 5, 501, "y")]
    assert settle(DEFINITION, [*events, *chain]) == 2 + 10 + 5, "a correction may be corrected"
    circle = [correction("x", 1, 500, "y"), correction("y", 5, 501, "x")]
    assert settle(DEFINITION, [*events, *circle]) == 2 + 6 + 5
    other = msgspec.structs.replace(correction("b", 0, 1, "x"), source="another")
    assert settle(DEFINITION, [*events, other]) == 2 + 6 + 5, "of its own source only"
