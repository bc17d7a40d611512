from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bandit.errors import InvalidInputError
from bandit.types import Action
from simulations.columns.exact import exact_sum, exact_sums_by
from simulations.diagnostics import Diagnostics
from simulations.diagnostics.calibration import p_value
from simulations.diagnostics.keyed import Keyed
from simulations.diagnostics.tail import pareto_k
from simulations.diagnostics.wagers import Wagers
from tests.unit.simulations.made_logs import Made, made_log, replace, skewed

LOG = made_log(7, rounds=300)
MIXED = Made(
    rows=[replace(row, pmf=None) if row.row % 3 == 0 else row for row in LOG.rows], targets=LOG.targets
)


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(1, 299), max_size=5), st.randoms(use_true_random=False))
def test_parts_in_any_order_equal_the_whole(cuts: set[int], order: Random) -> None:
    ends = [0, *sorted(cuts), 300]
    parts = [MIXED.diagnostics(start, stop) for start, stop in pairwise(ends)]
    order.shuffle(parts)
    merged = sum(parts, start=Diagnostics())
    assert merged == MIXED.diagnostics()
    assert merged.diagnosis() == MIXED.diagnostics().diagnosis()


def test_figures_are_those_of_their_definitions() -> None:
    found, rounds = LOG.diagnostics().diagnosis(), LOG.rounds
    weight, earned = rounds.weight, rounds.weight * rounds.reward
    assert found.rounds == 300
    assert found.effective_sample_size == pytest.approx(weight.sum() ** 2 / (weight**2).sum(), rel=1e-12)
    assert found.largest_weight == weight.max()
    assert found.mean_weight == pytest.approx(weight.mean(), rel=1e-12)
    assert found.mean_inverse == pytest.approx((0.1 / rounds.probability).mean(), rel=1e-12)
    top = sorted(zip(weight, earned, strict=True), reverse=True)[:10]
    assert found.top_ten_share == pytest.approx(sum(e for _, e in top) / earned.sum(), rel=1e-12)
    assert sum(bar.count for bar in found.weights) == 300
    assert found.support.unsupported_mass == found.support.zero_probabilities == found.contradictions == 0


def test_breakdowns_add_up_to_the_whole() -> None:
    found, rounds = LOG.diagnostics().diagnosis(), LOG.rounds
    ips = float(np.mean(rounds.weight * rounds.reward))
    for breakdown in (found.actions, found.segments, found.days):
        assert breakdown.other is None
        assert sum(group.rounds for group in breakdown.groups) == 300
        assert sum(group.contribution for group in breakdown.groups) == pytest.approx(ips, rel=1e-12)
        assert sum(group.logged_share for group in breakdown.groups) == pytest.approx(1.0)
        assert sum(group.target_share for group in breakdown.groups) == pytest.approx(1.0)
    assert [group.name for group in found.days.groups] == ["2026-03-01", "2026-03-02", "2026-03-03"]
    assert {group.name for group in found.segments.groups} == {"newcomers", "regulars"}
    action = found.actions.groups[0]
    mine = [row for row in LOG.rows if row.actions[row.chosen].action_id == action.name]
    assert action.rounds == len(mine)
    assert action.mean_reward == pytest.approx(np.mean([row.reward for row in mine]))
    share = np.mean([target[int(action.name.split()[1])] for target in LOG.targets])
    assert action.target_share == pytest.approx(share)


def test_an_action_s_segment_comes_before_the_subject_s_and_days_are_utc() -> None:
    row = LOG.rows[0]
    east = datetime(2026, 3, 2, 1, 0, tzinfo=timezone(timedelta(hours=5)))
    with_segments = [Action(action_id=f"a{index}", segment="new year") for index in range(10)]
    changed = replace(row, actions=with_segments, decided_at=east)
    undated = replace(row, decided_at=None, context={})
    found = Made(rows=[changed, undated], targets=LOG.targets[:2]).diagnostics().diagnosis()
    assert {group.name for group in found.segments.groups} == {"new year", "(none)"}
    assert {group.name for group in found.days.groups} == {"2026-03-01", "(unknown)"}


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(st.integers(0, 9)), max_size=6), max_size=6
    ),
    st.booleans(),
)
def test_keys_that_stay_are_complete_and_other_is_the_rest(
    parts: list[dict[str, tuple[int]]], days: bool
) -> None:
    merged = sum(
        (Keyed.of(part, size=1, days=days, most=3) for part in parts),
        start=Keyed.of({}, size=1, most=3, days=days),
    )
    every: dict[str, int] = {}
    for part in parts:
        for key, (number,) in part.items():
            every[key] = every.get(key, 0) + number
    assert len(merged.sums) == min(3, len(every))
    assert all(merged.sums[key] == (every[key],) for key in merged.sums)
    assert merged.other[0] == sum(every.values()) - sum(numbers[0] for numbers in merged.sums.values())
    if days:
        assert sorted(merged.sums) == sorted(every)[-3:]


def test_support_is_what_the_target_does_where_the_log_cannot() -> None:
    logger, target = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.0, 0.7, 0.1, 0.2])
    support = made_log(1, logger=logger, target=target, rounds=400).diagnostics().diagnosis().support
    assert support.unsupported_mass == pytest.approx(0.3)
    assert (support.unsupported_rounds, support.known_share, support.zero_probabilities) == (1.0, 1.0, 800)
    unknown = made_log(1, logger=np.array([1.0, 0.0]), target=target[:2] / 0.7, rounds=400, with_pmf=False)
    support = unknown.diagnostics().diagnosis().support
    assert support.known_share == 0.0
    assert 0.0 <= support.unsupported_mass <= 1.0


def test_reward_that_the_estimate_does_not_see() -> None:
    never_the_first = np.array([0.0, 0.5, 0.5])
    log = made_log(1, logger=np.full(3, 1 / 3), target=never_the_first, rate=0.4)
    still = Made(rows=log.rows, targets=[never_the_first.tolist()] * len(log.rows))
    first = sum(row.reward for row in log.rows if row.chosen == 0) / sum(row.reward for row in log.rows)
    found = still.diagnostics().diagnosis()
    assert found.reward_without_weight == pytest.approx(first)
    assert found.reward_never_chosen == pytest.approx(first)


def test_without_rounds_or_rewards_nothing_is_said() -> None:
    none = Diagnostics().diagnosis()
    assert (none.rounds, none.checks, none.pareto_k, none.top_ten_share) == (0, [], None, None)
    assert Diagnostics.of([], [], made_log(1, rounds=0).rounds) == Diagnostics()
    still = made_log(1, rate=0.0).diagnostics().diagnosis()
    assert still.top_ten_share is still.reward_without_weight is still.reward_never_chosen is None


def test_refuses_targets_that_do_not_fit() -> None:
    rows, rounds = LOG.rows[:2], made_log(7, rounds=2).rounds
    with pytest.raises(InvalidInputError, match="each of 2 rows, got 1"):
        Diagnostics.of(rows, LOG.targets[:1], rounds)
    with pytest.raises(
        InvalidInputError, match="row 2: expected one probability for each of 10 actions, got 1"
    ):
        Diagnostics.of(rows, [LOG.targets[0], [1.0]], rounds)


@given(st.lists(st.tuples(st.floats(-1e200, 1e200), st.integers(0, 4)), max_size=50))
def test_sums_by_group_are_the_sums_of_the_groups(pairs: list[tuple[float, int]]) -> None:
    values, group = np.array([v for v, _ in pairs]), np.array([g for _, g in pairs], dtype=np.int64)
    assert exact_sums_by(group, 5, values) == [exact_sum(values[group == index]) for index in range(5)]


@pytest.mark.parametrize("k", [-0.3, 0.2, 0.6, 0.9, 1.3])
def test_pareto_k_finds_the_shape_of_a_generalized_pareto_tail(k: float) -> None:
    found = [
        pareto_k(np.sort(stats.genpareto.rvs(k, size=20_000, random_state=seed))[::-1][:1_000], 20_000)
        for seed in range(10)
    ]
    assert np.mean([each for each in found if each is not None]) == pytest.approx(k, abs=0.12)
    assert len([each for each in found if each is not None]) == 10


def test_weights_of_one_size_have_no_tail() -> None:
    assert pareto_k(np.full(100, 5.0), 1_000) is None
    assert pareto_k(np.repeat([50.0, 5.0, 0.1], [2, 100, 1_000]), 2_000) is None
    assert pareto_k(np.array([5.0, 1.0]), 2) is None


def test_wagers_hold_their_level_for_skewed_weights_where_a_z_test_does_not() -> None:
    """Weights of 500 with probability .002: the mean is 1, and of 300 rounds mostly none has one."""
    generator = np.random.default_rng(5)
    samples = [np.where(generator.random(300) < 0.002, 500.0, 0.0) for _ in range(1_000)]
    wagers = [Wagers.of(each) for each in samples]
    rejected = [2.0 * min(wager.p_above(), wager.p_below(500.0)) < 0.05 for wager in wagers]
    assert np.mean(rejected) <= 0.05
    z_rejected = [abs(each.mean() - 1.0) > 1.96 * each.std() / np.sqrt(300) for each in samples]
    assert np.mean(z_rejected) > 0.4


@pytest.mark.parametrize("mean", [0.5, 2.0])
def test_wagers_find_weights_that_are_half_or_twice_what_they_should_be(mean: float) -> None:
    numbers = np.where(np.random.default_rng(1).random(3_000) < 0.1, mean * 10.0, 0.0)
    found = Wagers.of(numbers)
    assert min(found.p_above(), found.p_below(10.0)) < 1e-4
    assert found.p_below(float("inf")) == 1.0


@given(st.integers(1, 400), st.floats(0.001, 0.999), st.floats(0.0, 1.0))
def test_calibration_s_bound_is_above_the_exact_binomial_probability(n: int, p: float, far: float) -> None:
    strayed = far * n * max(p, 1.0 - p)
    exact = stats.binom.sf(np.ceil(n * p + strayed) - 1, n, p) + stats.binom.cdf(
        np.floor(n * p - strayed), n, p
    )
    assert p_value(strayed, n * p * (1.0 - p)) >= min(exact, 1.0) - 1e-9


def test_calibration_compares_choices_with_probabilities() -> None:
    log = made_log(3, logger=skewed(first=0.55))
    found = log.diagnostics().diagnosis()
    assert sum(each.chosen for each in found.by_probability) == 2_000
    assert sum(each.expected for each in found.by_probability) == pytest.approx(2_000.0)
    favourite = next(each for each in found.by_probability if each.name == "0.5 to 0.6")
    assert favourite.expected == pytest.approx(1_100.0)
    assert favourite.deviation == pytest.approx((2_000 * 0.55 * 0.45) ** 0.5)
    assert favourite.chosen == sum(row.probability == 0.55 for row in log.rows)
    assert sum(each.chosen for each in found.by_action) == 2_000


def test_a_state_can_be_sent_to_another_process() -> None:
    state = MIXED.diagnostics()
    assert pickle.loads(pickle.dumps(state)) == state  # noqa: S301 our own


def test_memory_does_not_grow_with_the_log() -> None:
    """Thousands of actions and years of days; each state is as large as any other that is full."""
    generator = np.random.default_rng(1)
    rows, targets = [], []
    for index in range(6_000):
        actions = [Action(action_id=f"a{index}"), Action(action_id=f"b{index}")]
        when = datetime(2010, 1, 1, tzinfo=UTC) + timedelta(days=index)
        rows.append(
            replace(LOG.rows[0], actions=actions, chosen=0, probability=0.5, pmf=[0.5, 0.5], decided_at=when)
        )
        targets.append([share := float(generator.random()), 1.0 - share])
    log = Made(rows=rows, targets=targets)
    half, whole = log.diagnostics(0, 3_000), log.diagnostics()
    for state in (half, whole):
        assert len(state.actions.sums) == len(state.days.sums) == len(state.weights.largest) == 1_000
    found = whole.diagnosis()
    assert found.days.groups[-1].name == f"{datetime(2010, 1, 1) + timedelta(days=5_999):%Y-%m-%d}"
    for breakdown in (found.actions, found.days):
        assert breakdown.other is not None
        assert breakdown.other.rounds + sum(group.rounds for group in breakdown.groups) == 6_000
