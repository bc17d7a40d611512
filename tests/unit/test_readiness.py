from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.comparison import LeastMean
from bandit.readiness import KEPT, Rehearsals, readiness
from bandit.types import RewardDefinition

UNIT = st.floats(0, 1) | st.sampled_from([0.0, 1.0])
EVENTS = st.lists(st.tuples(UNIT, UNIT), max_size=60)


def seen(events: list[tuple[float, float]], start: Rehearsals | None = None) -> Rehearsals:
    found = start or Rehearsals()
    for agreement, reward in events:
        found = found.add(agreement=agreement, matches=agreement > 0.5, reward=reward)
    return found


@given(EVENTS, st.integers(0, 60))
def test_resuming_from_json_equals_going_on(events: list[tuple[float, float]], at: int) -> None:
    kept = msgspec.json.encode(seen(events[:at]))
    assert seen(events[at:], msgspec.json.decode(kept, type=Rehearsals)) == seen(events)


@given(EVENTS.filter(bool))
def test_what_is_known_lies_where_the_definition_says(events: list[tuple[float, float]]) -> None:
    """On the decisions themselves the policy is worth something in [mean m r, mean m r + 1 - m]."""
    found = readiness("hero", 1, 1, seen(events), RewardDefinition())
    m, r = (np.array(column) for column in zip(*events, strict=True))
    assert found.decisions == len(events)
    assert found.baseline == pytest.approx(r.mean(), abs=1e-9)
    assert found.agreement == pytest.approx(m.mean(), abs=1e-9)
    assert found.match_rate == pytest.approx((m > 0.5).mean())
    assert found.policy_between is not None
    assert found.policy_between.low <= (m * r).mean() + 1e-9
    assert found.policy_between.high >= (m * r + 1 - m).mean() - 1e-9
    assert found.difference_between is not None
    assert found.difference_between.low <= -((1 - m) * r).mean() + 1e-9
    assert found.difference_between.high >= ((1 - m) * (1 - r)).mean() - 1e-9


def test_rewards_are_shown_in_their_own_units() -> None:
    events = [(1.0, 0.75)] * 500
    found = readiness("hero", 1, 1, seen(events), RewardDefinition(clip=(-1.0, 3.0)))
    assert found.baseline == pytest.approx(2.0)
    assert found.baseline_between is not None
    assert found.baseline_between.low == pytest.approx(2.0, abs=0.1)
    assert found.difference_between is not None
    assert found.difference_between.low == pytest.approx(0.0, abs=0.1)
    assert found.difference_between.high == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(
    ("events", "ready", "verdict"),
    [
        ([(0.98, 1.0), (0.98, 0.0)] * 200, True, "Ready: even if every deviation"),
        ([(0.98, 1.0)] * 50, False, "Not enough yet: 50 of at least 100"),
        ([(0.98, 1.0)] + [(0.98, 0.0)] * 200, False, "Not enough yet: the policy agrees"),
        ([(0.5, 1.0), (0.5, 0.0)] * 5_000, False, "The log cannot say: with probability 0.50"),
        ([(1.0, 0.0)] * 500, False, "Not known: the baseline earned nothing"),
    ],
)
def test_the_verdict_says_what_is_known_and_what_to_do(
    events: list[tuple[float, float]], ready: bool, verdict: str
) -> None:
    found = readiness("hero", 1, 1, seen(events), RewardDefinition())
    assert found.ready is ready
    assert found.verdict.startswith(verdict)


def test_what_counts_is_agreement_where_rewards_are_earned() -> None:
    """A policy that deviates only where the baseline earns nothing loses nothing."""
    assert seen([(1.0, 1.0), (0.3, 0.0)] * 200).ready
    assert not seen([(0.3, 1.0), (1.0, 0.0)] * 2_000).ready


def test_a_mean_is_rarely_below_its_bound_however_often_one_looks() -> None:
    missed = 0
    for run in range(200):
        rng = np.random.default_rng(run)
        mean, found = 0.05 if run % 2 else 0.9, LeastMean()
        for value in (rng.random(400) < mean).astype(float).tolist():
            found = found.add(value)
            if found.values % 10 == 0 and found.low() > mean:
                missed += 1
                break
    assert missed <= 10, "2.5 % of 200, and three standard deviations"


def test_a_policy_that_keeps_too_little_is_rarely_called_ready() -> None:
    """It keeps 89 % of what the baseline earns, and is looked at after every event."""
    called = 0
    for run in range(100):
        found = Rehearsals()
        rewards = (np.random.default_rng(run).random(1_000) < 0.3).astype(float).tolist()
        for reward in rewards:
            found = found.add(agreement=KEPT - 0.01, matches=True, reward=reward)
        called += found.ready
    assert called == 0, "at a constant agreement below what is to be kept it never can be"
