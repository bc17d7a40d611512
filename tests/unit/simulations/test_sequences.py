"""Confidence sequences: bets that cannot ruin, ends that narrow, the log in any cut; coverage is measured in
tests/statistical."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.comparison import Comparison
from bandit.errors import InvalidInputError
from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.intervals.betting import BETS, NOTHING_BET, lowest_sum, played
from simulations.intervals.paired_sequence import DifferenceSequence, Surplus
from simulations.intervals.sequence import Guess, ValueSequence

#: Three actions, two targets and how often each action is clicked, as a share of the rate.
LOGGING, TARGET, OTHER = np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.3, 0.2])
RELATIVE = np.array([0.5, 1.0, 1.5])


def log(count: int, rate: float, seed: int = 3) -> tuple[Rounds, Rounds]:
    rng = np.random.default_rng(seed)
    action = rng.choice(3, p=LOGGING, size=count)
    reward = (rng.random(count) < rate * RELATIVE[action]).astype(float)
    return of(action, reward, TARGET), of(action, reward, OTHER)


def of(action: np.ndarray, reward: Floats, target: Floats) -> Rounds:
    return Rounds(
        reward=reward,
        probability=LOGGING[action],
        target_probability=target[action],
        largest_weight=np.full(len(action), (target / LOGGING).max()),
    )


def part(rounds: Rounds, rows: slice) -> Rounds:
    assert rounds.largest_weight is not None
    return Rounds(
        reward=rounds.reward[rows],
        probability=rounds.probability[rows],
        target_probability=rounds.target_probability[rows],
        largest_weight=rounds.largest_weight[rows],
    )


@given(rate=st.sampled_from([0.0, 0.01, 0.3, 0.66]), seed=st.integers(0, 50), known=st.booleans())
def test_ends_are_in_order_and_within_what_is_possible(rate: float, seed: int, known: bool) -> None:
    rounds, others = log(300, rate, seed)
    given_rounds = rounds if known else replace(rounds, largest_weight=None)
    value = ValueSequence().add(given_rounds).interval()
    difference = DifferenceSequence().add(rounds, others).interval()
    assert 0.0 <= value.low < value.high <= 1.0
    assert -1.0 <= difference.low < difference.high <= 1.0


def test_it_closes_in_on_the_value() -> None:
    truth, better = float(TARGET @ RELATIVE) * 0.5, float((TARGET - OTHER) @ RELATIVE) * 0.5
    widths = []
    for count in (100, 1_000, 10_000, 100_000):
        rounds, others = log(count, 0.5)
        value = ValueSequence().add(rounds).interval()
        difference = DifferenceSequence().add(rounds, others).interval()
        assert value.low < truth < value.high
        assert difference.low < better < difference.high
        widths.append((value.high - value.low, difference.high - difference.low))
    assert (np.diff(widths, axis=0) < 0.0).all()
    assert widths[-1][0] < 0.02


@pytest.mark.parametrize("cuts", [(1,), (500,), (3, 4, 700)])
def test_fed_in_parts_it_is_the_same_but_for_rounding(cuts: tuple[int, ...]) -> None:
    rounds, others = log(1_000, 0.1)
    value, difference = ValueSequence(), DifferenceSequence()
    for start, stop in zip((0, *cuts), (*cuts, 1_000), strict=True):
        rows = slice(start, stop)
        value = value.add(part(rounds, rows))
        difference = difference.add(part(rounds, rows), part(others, rows))
    for parts, whole in (
        (value.interval(), ValueSequence().add(rounds).interval()),
        (difference.interval(), DifferenceSequence().add(rounds, others).interval()),
    ):
        assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), abs=1e-9)


def test_the_largest_weight_brings_the_upper_end_nearer_where_rewards_are_rare() -> None:
    rounds, _ = log(2_000, 0.01)
    known = ValueSequence().add(rounds).interval()
    unknown = ValueSequence().add(replace(rounds, largest_weight=None)).interval()
    assert known.high < 0.6 * unknown.high


def test_a_good_model_narrows_it() -> None:
    rounds, _ = log(2_000, 0.6)
    clicks = RELATIVE * 0.6
    expected = clicks[np.searchsorted(TARGET / LOGGING, rounds.weight - 1e-9)]
    flat = np.ones(2_000)
    guess = Guess(expected, TARGET @ clicks * flat, clicks.min() * flat, clicks.max() * flat)
    without, with_model = ValueSequence().add(rounds), ValueSequence().add(rounds, guess)
    narrow, wide = with_model.interval(), without.interval()
    assert narrow.high - narrow.low < wide.high - wide.low


def test_bounds_of_the_surplus_narrow_the_difference_where_rewards_are_rare() -> None:
    rounds, others = log(2_000, 0.01)
    ahead = (TARGET - OTHER) / LOGGING
    surplus = Surplus(np.full(2_000, ahead.min()), np.full(2_000, ahead.max()))
    narrow = DifferenceSequence().add(rounds, others, surplus).interval()
    wide = DifferenceSequence().add(rounds, others).interval()
    assert narrow.high - narrow.low < wide.high - wide.low


def test_turned_round_the_difference_is_turned_round() -> None:
    rounds, others = log(1_000, 0.3)
    found = DifferenceSequence().add(rounds, others).interval()
    turned = DifferenceSequence().add(others, rounds).interval()
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=1e-9)


@pytest.mark.parametrize("rate", [0.02, 0.5])
def test_against_the_logger_it_is_no_wider_than_the_live_comparison(rate: float) -> None:
    rounds, _ = log(3_000, rate)
    logger = replace(rounds, target_probability=rounds.probability, largest_weight=np.ones(3_000))
    ahead = TARGET / LOGGING - 1.0
    surplus = Surplus(np.full(3_000, ahead.min()), np.full(3_000, ahead.max()))
    found = DifferenceSequence().add(rounds, logger, surplus).interval()
    live = Comparison()
    for weight, reward in zip(rounds.weight.tolist(), rounds.reward.tolist(), strict=True):
        live = live.add(weight, reward, largest=5.0)
    beside = live.interval()
    assert found.high - found.low < beside.high - beside.low
    assert max(found.low, beside.low) < min(found.high, beside.high)


def test_probabilities_that_cannot_be_leave_nothing_known() -> None:
    always = Rounds(
        reward=np.ones(1_000),
        probability=np.full(1_000, 0.1),
        target_probability=np.ones(1_000),
        largest_weight=np.full(1_000, 10.0),
    )
    found = ValueSequence().add(always).interval()
    assert (found.low, found.high) == (0.0, 1.0)


def test_before_the_first_round_everything_is_possible() -> None:
    assert (ValueSequence().interval().low, ValueSequence().interval().high) == (0.0, 1.0)
    assert (DifferenceSequence().interval().low, DifferenceSequence().interval().high) == (-1.0, 1.0)


@given(loss=st.floats(-1.0, 0.0), rounds=st.integers(1, 50))
def test_a_gambler_never_loses_more_than_he_risks(loss: float, rounds: int) -> None:
    def game(allowed: float) -> tuple[Floats, Floats]:
        return np.full(rounds, allowed * loss), np.zeros(rounds)

    capital = played(NOTHING_BET, game)
    assert min(capital) >= rounds * np.log(0.1) - 1e-9
    assert lowest_sum(capital, 0.975) <= 0.0


def test_the_bound_is_where_all_capital_together_reaches_the_threshold() -> None:
    def game(allowed: float) -> tuple[Floats, Floats]:
        return np.full(1_000, min(0.1, allowed)), np.zeros(1_000)

    capital = played(NOTHING_BET, game)
    low = lowest_sum(capital, 0.975)
    assert 0.0 < low < 100.0
    assert lowest_sum(capital, 0.5) > low
    assert len(capital) == len(BETS)


def test_what_cannot_be_bet_on_is_refused() -> None:
    rounds, others = log(5, 0.0)
    with pytest.raises(InvalidInputError, match="largest_weight: expected at least the weight"):
        ValueSequence().add(replace(rounds, largest_weight=np.full(5, 0.01)))
    with pytest.raises(InvalidInputError, match=r"reward: expected numbers in \[0, 1\], got 7 at index 0"):
        ValueSequence().add(replace(rounds, reward=np.full(5, 7.0)))
    with pytest.raises(InvalidInputError, match="largest_weight: expected the largest weight"):
        DifferenceSequence().add(rounds, replace(others, largest_weight=None))
    with pytest.raises(InvalidInputError, match="surplus: expected bounds"):
        DifferenceSequence().add(rounds, others, Surplus(np.zeros(5), np.zeros(5)))
    flat = np.full(5, 0.5)
    with pytest.raises(InvalidInputError, match="guess: expected 0 <= lowest <= logged"):
        ValueSequence().add(rounds, Guess(flat, flat, flat + 0.1, flat + 0.2))
    with pytest.raises(InvalidInputError, match="level"):
        ValueSequence().interval(level=1.0)
