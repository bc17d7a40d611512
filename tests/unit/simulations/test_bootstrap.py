"""The bootstrap keeps subjects together, normalizes anew and merges; tests/statistical says how it covers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Running
from simulations.estimators.ips import IPS
from simulations.estimators.named import estimator
from simulations.estimators.snips import SNIPS
from simulations.intervals.bootstrap import BUCKETS, Buckets, bootstrap

from .test_estimators import ALL, whole

Kind = Literal["studentized", "bca", "percentile"]
KINDS: list[Kind] = ["studentized", "bca", "percentile"]


@pytest.mark.parametrize("name", ["ips", "snips", "sndr"])
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 50), cut=st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_parts_are_the_whole_in_any_order(name: str, seed: int, count: int, cut: int) -> None:
    rounds, chosen = whole(count, seed), estimator(name)
    one, two = Buckets.of(chosen, rounds[:cut]), Buckets.of(chosen, rounds[cut:])
    assert one + two == two + one == Buckets.of(chosen, rounds)


@pytest.mark.parametrize("name", ALL)
def test_its_estimate_is_the_estimate(name: str) -> None:
    rounds = whole(500, 1)
    seen = Buckets.of(estimator(name), rounds)
    assert seen.value == pytest.approx(Running.of(estimator(name), rounds).value)
    assert sum(seen.counts) == 500


def test_long_logs_are_seen_in_blocks() -> None:
    rounds = whole(300_000, 2)
    seen = Buckets.of(SNIPS(), rounds)
    assert seen == Buckets.of(SNIPS(), rounds[:123_456]) + Buckets.of(SNIPS(), rounds[123_456:])
    assert seen.value == pytest.approx(Running.of(SNIPS(), rounds).value)


def test_a_subject_is_in_one_bucket() -> None:
    subject = np.repeat(np.array([5, 5 + BUCKETS, 2**63 + 7], dtype=np.uint64), 4)
    seen = Buckets.of(IPS(), replace(whole(12, 0), subject=subject))
    assert {bucket: count for bucket, count in enumerate(seen.counts) if count} == {5: 8, 7: 4}


def test_rounds_without_subject_or_draw_take_turns() -> None:
    rounds = replace(whole(BUCKETS + 3, 0), draw=None)
    assert Buckets.of(IPS(), rounds).counts == (2, 2, 2) + (1,) * (BUCKETS - 3)


@pytest.mark.parametrize("kind", KINDS)
def test_rounds_of_one_subject_count_once(kind: Kind) -> None:
    """Every round ten times over, as one subject: the interval is as wide as without the copies."""
    rounds = replace(whole(3_000, 1), subject=np.arange(3_000, dtype=np.uint64))
    copies = rounds[np.repeat(np.arange(3_000), 10)]
    once, tenfold, apart = (
        bootstrap(Buckets.of(SNIPS(), each), kind=kind)
        for each in (rounds, copies, replace(copies, subject=None, draw=None))
    )
    assert tenfold.low == pytest.approx(once.low)
    assert tenfold.high == pytest.approx(once.high)
    assert apart.high - apart.low < 0.5 * (once.high - once.low)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ips", "snips", "sndr", "dros"])
def test_with_much_data_it_is_the_delta_method(name: str, kind: Kind) -> None:
    rounds = whole(50_000, 3)
    state = Running.of(estimator(name), rounds)
    found = bootstrap(Buckets.of(estimator(name), rounds), kind=kind, resamples=4_000)
    assert found.low == pytest.approx(
        state.value - 1.96 * state.standard_error, abs=0.25 * state.standard_error
    )
    assert found.high == pytest.approx(
        state.value + 1.96 * state.standard_error, abs=0.25 * state.standard_error
    )


def test_ratios_are_normalized_anew() -> None:
    """Of rewards that are all 1, the self-normalized estimate is 1 in every resample, while IPS varies."""
    rounds = replace(whole(2_000, 4), reward=np.ones(2_000))
    ratio = bootstrap(Buckets.of(SNIPS(), rounds), kind="percentile")
    assert [ratio.low, ratio.high] == pytest.approx([1.0, 1.0])
    mean = bootstrap(Buckets.of(IPS(), rounds), kind="percentile")
    assert mean.high - mean.low > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_an_interval(kind: Kind) -> None:
    seen = Buckets.of(SNIPS(), whole(500, 5))
    assert bootstrap(seen, kind=kind, seed=1) == bootstrap(seen, kind=kind, seed=1)
    assert bootstrap(seen, kind=kind, seed=1) != bootstrap(seen, kind=kind, seed=2)
    wide, narrow = bootstrap(seen, kind=kind, level=0.99), bootstrap(seen, kind=kind, level=0.8)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1])
def test_of_less_than_two_rounds_nothing_is_known(kind: Kind, count: int) -> None:
    found = bootstrap(Buckets.of(IPS(), whole(count, 0)), kind=kind)
    assert (found.low, found.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("kind", KINDS)
def test_where_a_ratio_is_undefined_nothing_is_known(kind: Kind) -> None:
    rounds = replace(whole(50, 0), target_probability=np.zeros(50))
    assert math.isnan(Buckets.of(SNIPS(), rounds).value)
    found = bootstrap(Buckets.of(SNIPS(), rounds), kind=kind)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_resamples_in_which_a_ratio_is_undefined_widen_it() -> None:
    """One round in ten has weight, of ten: a third of the resamples have none."""
    probability = np.zeros(10)
    probability[0] = 1.0
    rounds = Rounds(reward=np.ones(10), probability=np.ones(10), target_probability=probability)
    found = bootstrap(Buckets.of(SNIPS(), rounds), kind="percentile")
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_states_of_different_estimators_do_not_merge() -> None:
    with pytest.raises(ValueError, match="expected two states"):
        Buckets.start(IPS()) + Buckets.start(SNIPS())
