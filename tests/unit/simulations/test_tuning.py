"""What SLOPE and PAS-IF choose, and what always stands beside it; how they cover is in tests/statistical."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from simulations.columns.rounds import Predictions, Rounds
from simulations.estimators.contract import Running, run
from simulations.estimators.dr import DR
from simulations.estimators.named import estimator
from simulations.intervals import Interval
from simulations.intervals.delta import Spread
from simulations.tuning import LIMITS, Tuned
from simulations.tuning.pasif import importance_fitting, pasif, squared_errors
from simulations.tuning.slope import slope

from .test_estimators import whole

CANDIDATES = [DR(), *(estimator(f"clipped_dr:limit={limit}") for limit in LIMITS)]


def world(seed: int, *, model: float, count: int = 4_000) -> Rounds:
    """The target prefers what was logged in one round of twenty; the model predicts `model` for all rounds.

    The mean reward is .5 whatever is chosen.
    """
    rng = np.random.default_rng(seed)
    rare = rng.random(count) < 0.05
    return Rounds(
        reward=(rng.random(count) < 0.5).astype(float),
        probability=np.where(rare, 0.05, 0.95),
        target_probability=np.where(rare, 0.9, 0.1),
        predictions=Predictions(logged=np.full(count, model), target=np.full(count, model)),
    )


def by_slope(rounds: Rounds) -> Tuned:
    states = run(CANDIDATES, rounds)
    return slope(states, states[0])


def by_pasif(rounds: Rounds) -> Tuned:
    return pasif(CANDIDATES, DR(), rounds)


@pytest.mark.parametrize("tune", [by_slope, by_pasif])
def test_a_right_model_is_trusted_and_a_wrong_one_is_not(tune: Callable[[Rounds], Tuned]) -> None:
    right, wrong = tune(world(1, model=0.5)), tune(world(1, model=-4.0))
    assert CANDIDATES.index(right.chosen.estimator) >= len(CANDIDATES) - 3  # a limit of 5 or less
    assert right.chosen.standard_error < 0.5 * right.untuned.standard_error
    assert abs(wrong.chosen.value - wrong.untuned.value) < 3.0 * wrong.untuned.standard_error


@pytest.mark.parametrize("tune", [by_slope, by_pasif])
@pytest.mark.parametrize("model", [0.5, -4.0, 1.0])
def test_the_untuned_estimate_stands_beside_and_its_interval_inside(
    tune: Callable[[Rounds], Tuned], model: float
) -> None:
    rounds = world(2, model=model)
    found = tune(rounds)
    assert found.untuned == Running.of(DR(), rounds)
    assert found.chosen == Running.of(found.chosen.estimator, rounds)
    assert found.interval.low <= found.untuned_interval.low <= found.untuned.value
    assert found.interval.high >= found.untuned_interval.high >= found.untuned.value
    assert found.interval.low < found.chosen.value < found.interval.high


def test_a_better_interval_of_the_untuned_estimate_is_used() -> None:
    rounds, given = world(3, model=0.5), Interval(low=-3.0, high=7.0)
    states = run(CANDIDATES, rounds)
    for found in (slope(states, states[0], given), pasif(CANDIDATES, DR(), rounds, given)):
        assert (found.untuned_interval, found.interval) == (given, given)


def test_slope_allows_for_what_rounds_of_a_subject_have_in_common() -> None:
    """What single rounds would tell apart is not told apart by few subjects."""
    states = run(CANDIDATES, world(5, model=-4.0))
    alone = slope(states, states[0])
    spreads = [Spread(20.0 * state.standard_error, 12.0) for state in states]
    together = slope(states, states[0], alone.untuned_interval, spreads=spreads)
    before, after = (CANDIDATES.index(each.chosen.estimator) for each in (alone, together))
    assert after > before
    around = spreads[after].half_width(1.0 - 0.05 / len(CANDIDATES))
    assert together.interval.low == pytest.approx(
        min(together.chosen.value - around, alone.untuned_interval.low)
    )
    assert together.interval.high == pytest.approx(
        max(together.chosen.value + around, alone.untuned_interval.high)
    )


def test_slope_needs_only_states_that_merge() -> None:
    rounds = world(4, model=0.2)
    halves = [run(CANDIDATES, part) for part in (rounds[:999], rounds[999:])]
    merged = [one + two for one, two in zip(*halves, strict=True)]
    assert slope(merged, merged[0]) == by_slope(rounds)


@pytest.mark.parametrize("count", [0, 1])
def test_of_less_than_two_rounds_nothing_is_known(count: int) -> None:
    for found in (by_slope(whole(count, 0)), by_pasif(whole(count, 0))):
        assert (found.interval.low, found.interval.high) == (-math.inf, math.inf)


def test_without_any_weight_there_is_no_split_and_the_least_biased_is_chosen() -> None:
    rounds = replace(world(5, model=0.5), target_probability=np.zeros(4_000))
    assert np.isinf(squared_errors(CANDIDATES, rounds, repeats=2, seed=1)).all()
    assert by_pasif(rounds).chosen.estimator == DR()


def test_the_pseudo_policies_have_the_weights_of_the_real_ones() -> None:
    weight = np.random.default_rng(6).gamma(0.5, 2.0, 10_000)
    drawn = importance_fitting(weight)
    assert 0.15 < drawn.mean() < 0.25
    pseudo = drawn / (1.0 - drawn) * (1.0 - drawn.mean()) / drawn.mean()
    assert ((pseudo - weight) ** 2).mean() < 0.05 * (weight**2).mean()


def test_a_seed_is_a_choice() -> None:
    rounds = world(7, model=0.3)
    first, again, other = (squared_errors(CANDIDATES, rounds, repeats=3, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
