"""Sums and moments without rounding, against rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.columns.exact import BLOCK, UNIT_BITS, exact_sum, number, units
from simulations.columns.moments import Moments

_NUMBERS = st.floats(-(2.0**900), 2.0**900)
_EVERYDAY = st.floats(-1e3, 1e3)


@given(st.lists(_NUMBERS, max_size=200) | st.lists(_EVERYDAY, max_size=200))
@settings(deadline=None)
def test_the_sum_is_that_of_rational_numbers(values: list[float]) -> None:
    assert Fraction(exact_sum(np.array(values)), 2**UNIT_BITS) == sum(map(Fraction, values))


@given(_NUMBERS)
def test_a_number_is_its_units(value: float) -> None:
    assert number(units(value)) == value


@pytest.mark.parametrize("count", [33, 64, 65, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
@pytest.mark.parametrize("spread", [0, 30, 600])
def test_long_columns_are_summed_across_blocks(count: int, spread: int) -> None:
    rng = np.random.default_rng(count + spread)
    values = np.ldexp(rng.normal(size=count), rng.integers(-spread, spread + 1, count))
    assert Fraction(exact_sum(values), 2**UNIT_BITS) == sum(map(Fraction, values.tolist()))


def test_the_smallest_and_the_largest_numbers() -> None:
    tiny = np.full(1_000, 5e-324)
    assert exact_sum(tiny) == 1_000
    assert exact_sum(np.full(100_000, 2.0**900)) == 100_000 << 900 + UNIT_BITS
    assert exact_sum(np.concatenate([tiny, np.full(50, 2.0**900)])) == 1_000 + (50 << 900 + UNIT_BITS)


@pytest.mark.parametrize("count", [3, 100])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.7e308])
def test_what_has_no_exact_sum_is_refused(bad: float, count: int) -> None:
    values = np.ones(count)
    values[1] = bad
    with pytest.raises(ValueError, match=r"at most 2\*\*900"):
        exact_sum(values)


def test_the_values_are_left_as_they_were() -> None:
    values = np.random.default_rng(1).normal(size=BLOCK + 5)
    before = values.copy()
    exact_sum(values)
    assert (values == before).all()


@given(st.integers(2, 300), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_means_and_covariance_are_those_of_numpy(count: int, size: int, seed: int) -> None:
    columns = np.random.default_rng(seed).normal(size=(size, count))
    moments = Moments.of(list(columns))
    assert moments.means == pytest.approx(columns.mean(axis=1))
    assert moments.covariance == pytest.approx(np.cov(columns).reshape(size, size), abs=1e-12)


def test_groups_are_what_each_would_be_alone() -> None:
    one, two, three = np.random.default_rng(2).normal(size=(3, 2 * BLOCK + 9))
    groups = [(one,), (one, two), (three, one, one.copy())]
    assert Moments.of_each(groups) == [Moments.of(columns) for columns in groups]


def test_few_rows_have_no_moments() -> None:
    assert np.isnan(Moments.none(2).means).all()
    assert np.isnan(Moments.of([np.ones(1)]).covariance).all()
    assert Moments.of([np.empty(0), np.empty(0)]) == Moments.none(2)
