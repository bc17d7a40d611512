"""Whether the interval holds after every event at once, and how soon it tells better from equal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from bandit.comparison import ALPHA, Comparison, _evidence

RUNS, EVENTS = 200, 1_500
#: Weight, reward, largest possible weight, and by how much the target is better than the logger now.
Event = tuple[float, float, float, float]
Scenario = Callable[[np.random.Generator], Iterator[Event]]


def fixed(
    rng: np.random.Generator,
    logged: list[float],
    target: list[float],
    mean: list[float],
    events: int = EVENTS,
) -> Iterator[Event]:
    p, q, mu = np.array(logged), np.array(target), np.array(mean)
    chosen = rng.choice(len(p), size=events, p=p)
    rewards = (rng.random(events) < mu[chosen]).astype(float).tolist()
    weights = (q / p)[chosen].tolist()
    largest, better = float((q / p).max()), float((q - p) @ mu)
    return ((weight, reward, largest, better) for weight, reward in zip(weights, rewards, strict=True))


def rare_clicks(rng: np.random.Generator) -> Iterator[Event]:
    """Weights up to 1 / .02, two clicks in a hundred: the target always takes what was hardly ever tried."""
    return fixed(rng, [0.82] + [0.02] * 9, [0.0, 0.5, 0.5] + [0.0] * 7, [0.02, 0.03] + [0.02] * 8)


def halves(rng: np.random.Generator) -> Iterator[Event]:
    return fixed(rng, [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.5, 0.45, 0.55, 0.5])


def learning(rng: np.random.Generator) -> Iterator[Event]:
    """The logger turns to the arm that did better so far; the target keeps to the second one, mostly."""
    mean, target = (0.5, 0.4), (0.1, 0.9)
    tried, won = [1.0, 1.0], [0.5, 0.5]
    for at, reward_at in rng.random((EVENTS, 2)).tolist():
        first = 0.9 if won[0] / tried[0] > won[1] / tried[1] else 0.1
        logged = (first, 1.0 - first)
        chosen = 0 if at < first else 1
        reward = float(reward_at < mean[chosen])
        tried[chosen] += 1.0
        won[chosen] += reward
        ratio = [t / p for t, p in zip(target, logged, strict=True)]
        better = sum((t - p) * m for t, p, m in zip(target, logged, mean, strict=True))
        yield ratio[chosen], reward, max(ratio), better


def ever_outside(events: Iterator[Event], *, largest_known: bool) -> bool:
    """Whether the interval missed the mean difference after any event.

    An end passes the truth exactly when the evidence against it is above 0, which is told ten times faster.
    """
    seen, total, missed = Comparison(), 0.0, False
    for weight, reward, largest, better in events:
        seen = seen.add(weight, reward, largest if largest_known else math.inf)
        total += better
        missed = missed or _evidence(seen.lower, total)[0] > 0.0 or _evidence(seen.upper, -total)[0] > 0.0
        if seen.events in (10, 100, 1_000, EVENTS):
            found = seen.interval()
            assert missed or found.low <= total / seen.events <= found.high
    return missed


@pytest.mark.parametrize(
    ("scenario", "largest_known"),
    [(rare_clicks, True), (rare_clicks, False), (halves, True), (learning, True), (learning, False)],
)
def test_it_holds_after_every_event_at_once(scenario: Scenario, largest_known: bool) -> None:
    missed = [
        ever_outside(scenario(np.random.default_rng(seed)), largest_known=largest_known)
        for seed in range(RUNS)
    ]
    assert sum(missed) <= ALPHA * RUNS


def events_until_better(events: Iterator[Event]) -> float:
    seen = Comparison()
    for weight, reward, largest, _ in events:
        seen = seen.add(weight, reward, largest)
        if seen.events % 25 == 0 and seen.interval().low > 0.0:
            return seen.events
    return math.inf


def halves_improved(rng: np.random.Generator) -> Iterator[Event]:
    """.5 -> .6: two equally probable actions, of .4 and .6, the target always takes the better one."""
    return fixed(rng, [0.5, 0.5], [0.0, 1.0], [0.4, 0.6], events=2_000)


def clicks_improved(rng: np.random.Generator) -> Iterator[Event]:
    """.02 -> .05: of ten actions the logger takes one mostly, the target another one, tried by 4 in 100."""
    return fixed(rng, [0.64] + [0.04] * 9, [0.0, 1.0] + [0.0] * 8, [0.02, 0.05] + [0.015] * 8, events=20_000)


@pytest.mark.parametrize(("scenario", "enough"), [(halves_improved, 600), (clicks_improved, 15_000)])
def test_a_clear_improvement_is_found_within_a_stated_number_of_events(
    scenario: Scenario, enough: int
) -> None:
    found = [events_until_better(scenario(np.random.default_rng(seed))) for seed in range(10)]
    assert sorted(found)[8] <= enough  # in nine runs of ten
