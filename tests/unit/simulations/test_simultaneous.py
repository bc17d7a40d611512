from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.errors import InvalidInputError
from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.snips import SNIPS
from simulations.intervals.bootstrap import Buckets
from simulations.intervals.delta import clustered
from simulations.intervals.simultaneous import against_best, bonferroni_level, joint_level, scores

SEEDS = st.integers(0, 2**32 - 1)


def moved(seed: int, candidates: int, buckets: int = 200) -> Floats:
    """Scores of candidates that have something in common."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(buckets, 1)) * rng.uniform(0.0, 2.0)
    return np.asarray(0.01 * (common + rng.normal(size=(buckets, candidates))))


def test_scores_are_what_the_clustered_standard_error_is_made_of() -> None:
    rng = np.random.default_rng(1)
    rounds = Rounds(
        reward=rng.random(3_000),
        probability=np.full(3_000, 0.5),
        target_probability=rng.random(3_000),
        subject=rng.integers(0, 500, 3_000).astype(np.uint64),
    )
    buckets = Buckets.of(SNIPS(), rounds)
    counts, sums = buckets.used
    found = scores(buckets)
    assert np.sqrt((found**2).sum()) == pytest.approx(
        clustered(SNIPS(), sums, counts).standard_error, rel=1e-12
    )
    assert found.sum() == pytest.approx(0.0, abs=1e-12)
    assert np.count_nonzero(found) == len(counts)


def test_of_less_than_two_buckets_nothing_is_known() -> None:
    one = Rounds(reward=np.ones(1), probability=np.ones(1), target_probability=np.ones(1))
    assert np.isnan(scores(Buckets.of(SNIPS(), one))).all()


@given(seed=SEEDS, candidates=st.integers(2, 12))
def test_the_joint_level_lies_between_the_single_one_and_bonferronis(seed: int, candidates: int) -> None:
    found = joint_level(moved(seed, candidates))
    assert 0.945 < found <= bonferroni_level(candidates)


def test_candidates_that_are_all_the_same_need_no_adjustment() -> None:
    same = np.repeat(moved(1, 1), 20, axis=1)
    assert joint_level(same) == pytest.approx(0.95, abs=0.005)


def test_what_cannot_vary_or_is_not_known_does_not_count() -> None:
    two = moved(1, 2)
    more = np.column_stack([two, np.zeros(len(two)), np.full(len(two), np.nan)])
    assert joint_level(more) == joint_level(two)
    assert joint_level(np.zeros((10, 3)), 0.9) == 0.9


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(InvalidInputError, match="level"):
        joint_level(moved(1, 2), level)
    with pytest.raises(InvalidInputError, match="level"):
        against_best([0.0, 1.0], moved(1, 2), level)


@given(seed=SEEDS, candidates=st.integers(2, 10))
def test_what_looks_best_may_be_the_best_and_ends_lie_around_zero(seed: int, candidates: int) -> None:
    values = np.random.default_rng(seed).normal(scale=0.1, size=candidates)
    found = against_best(values.tolist(), moved(seed, candidates))
    assert found[int(values.argmax())].may_be_best
    for one in found:
        assert one.low <= 0.0 <= one.high
        assert one.may_be_best or one.high == 0.0
    shown = [one for one in found if one.low == 0.0]
    assert len(shown) <= 1
    if shown:  # it is the best exactly if no other one may be
        assert [one.may_be_best for one in found].count(True) == 1


def test_far_ahead_is_shown_best_and_by_how_much() -> None:
    first, second, third = against_best([3.0, 1.0, 0.0], moved(2, 3))
    assert first.low == 0.0
    assert 1.5 < first.high < 2.6
    assert not any([second.may_be_best, third.may_be_best])
    assert max(second.low + 1.0, third.low) < -0.8


def test_equals_stay_equals_though_nothing_varies_between_them() -> None:
    once = moved(3, 1)
    found = against_best([1.0, 1.0, 0.0], np.column_stack([once, once, moved(4, 1)]))
    assert [one.may_be_best for one in found] == [True, True, False]
    assert (found[0].low, found[0].high) == (0.0, 0.0)


def test_one_candidate_has_no_rivals() -> None:
    (alone,) = against_best([1.0], moved(1, 1))
    assert alone.may_be_best
    assert (alone.low, alone.high) == (0.0, np.inf)


def test_what_the_log_cannot_know_keeps_a_candidate_in_the_race() -> None:
    values, own = [1.0, 0.0], moved(5, 2)
    assert [one.may_be_best for one in against_best(values, own)] == [True, False]
    assert all(one.may_be_best for one in against_best(values, own, unsure=[0.0, 1.0]))


def test_a_handful_of_rounds_does_not_show_who_is_better() -> None:
    """All of four rounds say the same, so by the normal distribution they would seem to be enough."""
    common = moved(6, 1, buckets=1_000)
    apart = np.zeros((1_000, 1))
    apart[:4] = 0.1
    own = np.column_stack([common + apart, common])
    assert float(apart.sum()) / float(np.sqrt((apart**2).sum())) == pytest.approx(2.0)
    assert all(one.may_be_best for one in against_best([0.4, 0.0], own))


@given(seed=SEEDS)
def test_the_order_in_which_candidates_are_given_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, own, order = rng.normal(scale=0.2, size=6), moved(seed, 6), rng.permutation(6)
    found = against_best(values.tolist(), own)
    again = against_best(values[order].tolist(), own[:, order])
    for at, index in enumerate(order):
        assert again[at].low == pytest.approx(found[index].low, abs=0.02)
        assert again[at].high == pytest.approx(found[index].high, abs=0.02)
