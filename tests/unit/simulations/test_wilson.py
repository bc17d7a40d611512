from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.errors import InvalidInputError
from simulations.intervals.wilson import wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_published_values(successes: int, trials: int, low: float, high: float) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, score method without correction."""
    interval = wilson(successes, trials)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 10**9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_stays_in_bounds_around_the_estimate_and_mirrors(counts: tuple[int, int]) -> None:
    successes, trials = counts
    interval = wilson(successes, trials)
    mirrored = wilson(trials - successes, trials)
    assert 0.0 <= interval.low <= successes / trials <= interval.high <= 1.0
    assert interval.low == pytest.approx(1.0 - mirrored.high, abs=1e-9)


def test_a_higher_level_is_wider_and_more_data_is_narrower() -> None:
    at_95, at_99, more = wilson(10, 100), wilson(10, 100, level=0.99), wilson(100, 1_000)
    assert at_99.low < at_95.low < more.low < more.high < at_95.high < at_99.high


def test_without_trials_nothing_is_known() -> None:
    interval = wilson(0, 0)
    assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "trials", "level"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0)])
def test_refuses_what_is_no_count_or_level(successes: int, trials: int, level: float) -> None:
    with pytest.raises(InvalidInputError, match="expected"):
        wilson(successes, trials, level=level)
