"""Whether confidence sequences hold after every round at once, and what that costs in width."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Running
from simulations.estimators.snips import SNIPS
from simulations.intervals.betting import BETS, START, Game, grown
from simulations.intervals.choose import interval
from simulations.intervals.paired import compared
from simulations.intervals.paired_sequence import DifferenceSequence, Surplus
from simulations.intervals.rewarded import Rewarded
from simulations.intervals.sequence import Guess, ValueSequence
from tests.statistical.worlds import ACTIONS, ROUNDS, WORLDS, World, favourite

pytestmark = pytest.mark.statistical

REPEATS = 400
LEVEL = 0.95
UNIFORM = np.full(ACTIONS, 1.0 / ACTIONS)
#: Up to 14 times what the logger gives an action.
BOLD = np.array([0.28] + [0.08] * 9)


def ever_refuted(game: Game, means: Floats) -> bool:
    """Whether, after any round, the gamblers refuted the true sum of means (n,) of what they bet on."""
    bets, start = np.array(BETS)[:, None], np.array(START)[:, None]
    held = np.cumsum(list(grown(game)), axis=1) + start - bets * np.cumsum(means)
    return bool(np.logaddexp.reduce(held, axis=0).max() > -math.log((1.0 - LEVEL) / 2.0))


def value_missed(rounds: Rounds, values: Floats, guess: Guess | None = None) -> bool:
    high, low = ValueSequence().games(rounds, guess)
    return ever_refuted(high, values) or ever_refuted(low, 1.0 - values)


def difference_missed(rounds: Rounds, others: Rounds, better: Floats, surplus: Surplus | None = None) -> bool:
    first, second = DifferenceSequence().games(rounds, others, surplus)
    return ever_refuted(first, better) or ever_refuted(second, -better)


def learning_logs(
    rng: np.random.Generator, rate: float
) -> tuple[list[tuple[Rounds, Rounds]], Floats, Floats]:
    """Logs of a policy that turns to what was clicked most often so far, while click rates change.

    With the values (n,) of a uniform target and of a bold one in each round.
    """
    turn = np.sin(np.arange(ROUNDS) / 300.0)[:, None] * np.linspace(-0.8, 0.8, ACTIONS)
    rates = rate * (1.0 + turn)
    tried, clicked = np.ones((REPEATS, ACTIONS)), np.zeros((REPEATS, ACTIONS))
    chosen, rewards = np.empty((REPEATS, ROUNDS), dtype=int), np.empty((REPEATS, ROUNDS))
    probability, every = np.empty((REPEATS, ROUNDS)), np.arange(REPEATS)
    for now in range(ROUNDS):
        favoured = (clicked / tried).argmax(axis=1)
        explores = rng.random(REPEATS) < 0.2
        action = np.where(explores, rng.integers(ACTIONS, size=REPEATS), favoured)
        chosen[:, now], probability[:, now] = action, np.where(action == favoured, 0.82, 0.02)
        rewards[:, now] = rng.random(REPEATS) < rates[now, action]
        tried[every, action] += 1.0
        clicked[every, action] += rewards[:, now]
    logs = [
        (
            beside(UNIFORM, chosen[i], probability[i], rewards[i]),
            beside(BOLD, chosen[i], probability[i], rewards[i]),
        )
        for i in range(REPEATS)
    ]
    return logs, rates @ UNIFORM, rates @ BOLD


def beside(target: Floats, chosen: np.ndarray, probability: Floats, reward: Floats) -> Rounds:
    # The largest weight is known before the draw: 0.02 is the lowest probability of any action.
    largest = np.full(ROUNDS, target.max() / 0.02)
    return Rounds(
        reward=reward, probability=probability, target_probability=target[chosen], largest_weight=largest
    )


@pytest.mark.parametrize("rate", [0.01, 0.5])
def test_holds_at_every_peek_under_a_logger_that_learns(rate: float) -> None:
    logs, values, bold = learning_logs(np.random.default_rng(11), rate)
    found = {
        "value": [value_missed(rounds, values) for rounds, _ in logs],
        "bold value": [value_missed(others, bold) for _, others in logs],
        "value, largest weight unknown": [
            value_missed(replace(rounds, largest_weight=None), values) for rounds, _ in logs
        ],
        "difference": [difference_missed(rounds, others, values - bold) for rounds, others in logs],
    }
    for name, missed in found.items():
        print(f"\nlogger that learns, click rate {rate}, {name}: {1.0 - np.mean(missed):.4f} at every peek")
        assert 1.0 - np.mean(missed) >= LEVEL, name


@pytest.mark.parametrize("rate", [0.01, 0.5])
@pytest.mark.parametrize("world", WORLDS)
def test_holds_at_every_peek_with_and_without_a_model(world: Callable[[], World], rate: float) -> None:
    rng, here = np.random.default_rng(12), world()
    values = np.full(ROUNDS, here.value(here.target, rate))
    better = values - here.value(here.other, rate)
    missed = np.zeros((REPEATS, 3))
    for repeat in range(REPEATS):
        rounds, others = bounded(here, *here.draw(rng, rate))
        model = rounds.predictions
        assert model is not None
        ends = (
            np.minimum(model.logged.min(), model.target.min()),
            np.maximum(model.logged.max(), model.target.max()),
        )
        guess = Guess(model.logged, model.target, *(np.full(ROUNDS, end) for end in ends))
        missed[repeat] = (
            value_missed(rounds, values),
            value_missed(rounds, values, guess),
            difference_missed(rounds, others, better, surplus(here)),
        )
    covered = 1.0 - missed.mean(axis=0)
    print(f"\n{here.name}, click rate {rate}: value, doubly robust, difference: {covered}")
    assert covered.min() >= LEVEL


def surplus(world: World) -> Surplus:
    """Of any context."""
    ahead = (world.target - world.other) / world.logging
    return Surplus(np.full(ROUNDS, ahead.min()), np.full(ROUNDS, ahead.max()))


def bounded(world: World, rounds: Rounds, others: Rounds) -> tuple[Rounds, Rounds]:
    """With the largest weights, here of any context."""
    first, second = (
        np.full(ROUNDS, (policy / world.logging).max()) for policy in (world.target, world.other)
    )
    return replace(rounds, largest_weight=first), replace(others, largest_weight=second)


@pytest.mark.parametrize(("rate", "most"), [(0.01, 2.2), (0.05, 2.0), (0.5, 1.9)])
def test_at_most_twice_as_wide_as_for_a_fixed_number(rate: float, most: float) -> None:
    rng, world = np.random.default_rng(13), favourite()
    widths = []
    for _ in range(50):
        rounds, others = bounded(world, *world.draw(rng, rate))
        found = (
            ValueSequence().add(rounds).interval(),
            interval(Running.of(SNIPS(), rounds), Rewarded.of(SNIPS(), rounds)),
            DifferenceSequence().add(rounds, others, surplus(world)).interval(),
            interval(*compared(SNIPS(), rounds, SNIPS(), others)),
        )
        widths.append([end.high - end.low for end in found])
    value, fixed, difference, fixed_difference = np.mean(widths, axis=0)
    print(f"\nclick rate {rate}, sequence / fixed: value {value:.4f} / {fixed:.4f}", end=", ")
    print(f"difference {difference:.4f} / {fixed_difference:.4f}")
    assert value <= most * fixed
    assert difference <= most * fixed_difference
