from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.comparison import Comparison
from bandit.errors import InvalidInputError

Event = tuple[float, float, float]

WEIGHTS = st.floats(0, 100) | st.sampled_from([0.0, 1.0, 50.0, 1e-300, 1e300])
REWARDS = st.floats(0, 1) | st.sampled_from([0.0, 1.0])
EVENTS = st.lists(
    st.tuples(WEIGHTS, REWARDS, st.sampled_from([1.0, 1.5, 100.0, math.inf])).map(
        lambda e: (e[0], e[1], max(e[0], e[2]))
    ),
    max_size=60,
)


def compared(events: list[Event], start: Comparison | None = None) -> Comparison:
    seen = start or Comparison()
    for weight, reward, largest in events:
        seen = seen.add(weight, reward, largest)
    return seen


@given(EVENTS, st.integers(0, 60))
def test_resuming_from_json_equals_going_on_bit_for_bit(events: list[Event], at: int) -> None:
    kept = msgspec.json.encode(compared(events[:at]))
    assert len(kept) < 4_096
    resumed = compared(events[at:], msgspec.json.decode(kept, type=Comparison))
    assert resumed == compared(events)
    assert resumed.interval() == compared(events).interval()


@given(EVENTS)
def test_the_ends_stay_in_bounds_around_the_estimate(events: list[Event]) -> None:
    found = compared(events).interval()
    assert -1.0 <= found.low <= found.estimate <= found.high <= 1.0
    assert found.events == len(events)


@given(EVENTS)
def test_turning_rewards_around_turns_the_interval_around(events: list[Event]) -> None:
    events = [(weight, round(reward * 64) / 64, largest) for weight, reward, largest in events]
    found = compared(events).interval()
    turned = compared([(weight, 1.0 - reward, largest) for weight, reward, largest in events]).interval()
    assert (-turned.high, -turned.low) == pytest.approx((found.low, found.high), abs=1e-9)
    assert -turned.estimate == pytest.approx(found.estimate, abs=1e-9)


@given(st.lists(REWARDS, min_size=1, max_size=60), st.sampled_from([1.0, 7.0, math.inf]))
def test_policies_that_agree_differ_by_nothing(rewards: list[float], largest: float) -> None:
    found = compared([(1.0, reward, largest) for reward in rewards]).interval()
    assert found.estimate == 0.0
    assert found.low <= 0.0 <= found.high


def test_without_events_nothing_is_known() -> None:
    found = Comparison().interval()
    assert (found.estimate, found.low, found.high, found.events) == (0.0, -1.0, 1.0, 0)


@pytest.mark.parametrize(("good", "sign"), [(1.5, 1.0), (0.5, -1.0)])
@pytest.mark.parametrize("largest", [1.5, math.inf])
def test_the_sign_is_that_of_whom_the_target_prefers(good: float, sign: float, largest: float) -> None:
    """Two equally probable actions, one always rewarded; the target chooses it with 3/4 or with 1/4."""
    seen = compared([(good, 1.0, largest), (2.0 - good, 0.0, largest)] * 500)
    found = seen.interval()
    assert found.estimate == pytest.approx(sign * 0.25, abs=0.005)
    assert found.low * sign > 0.0 < found.high * sign
    assert found.low <= sign * 0.25 <= found.high


def test_knowing_the_largest_weight_narrows_the_interval() -> None:
    events = [(1.5, 1.0), (0.5, 0.0), (1.5, 0.0), (0.5, 1.0)] * 500
    known = compared([(weight, reward, 1.5) for weight, reward in events]).interval()
    unknown = compared([(weight, reward, math.inf) for weight, reward in events]).interval()
    assert known.high - known.low < 0.8 * (unknown.high - unknown.low)


def test_ends_that_contradict_each_other_say_nothing() -> None:
    """The mean weight cannot be 5: the logged probabilities are wrong."""
    found = compared([(5.0, 0.5, math.inf)] * 200).interval()
    assert (found.low, found.high) == (-1.0, 1.0)


def test_many_events_with_huge_weights_come_to_an_end() -> None:
    seen = compared([(1e300, 1.0, 1e300), (0.0, 0.0, 1e300)] * 500)
    assert seen.interval().low <= seen.interval().high


@pytest.mark.parametrize("weight", [-0.1, math.inf, math.nan, 2.1])
def test_refuses_weights_that_cannot_be(weight: float) -> None:
    with pytest.raises(InvalidInputError) as refused:
        Comparison().add(weight, 0.5, 2.0 if weight == 2.1 else math.inf)
    assert refused.value.target == "weight"


@pytest.mark.parametrize("reward", [-0.1, 1.1, math.nan])
def test_refuses_rewards_that_were_not_scaled(reward: float) -> None:
    with pytest.raises(InvalidInputError) as refused:
        Comparison().add(1.0, reward)
    assert refused.value.target == "reward"


def test_refuses_the_state_of_another_number_of_gamblers() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"events": 1, "lower": [0.0]}', type=Comparison)
