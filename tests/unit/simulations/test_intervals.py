"""Delta, gamma and bounded intervals, and which one is presented."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.errors import InvalidInputError
from simulations.columns.exact import Floats
from simulations.columns.rounds import Predictions, Rounds
from simulations.estimators.contract import Estimator, Running
from simulations.estimators.dr import DR
from simulations.estimators.ips import IPS
from simulations.estimators.snips import SNIPS
from simulations.intervals import Interval
from simulations.intervals.choose import interval
from simulations.intervals.clopper_pearson import clopper_pearson
from simulations.intervals.delta import Spread, clustered, delta
from simulations.intervals.empirical_bernstein import empirical_bernstein
from simulations.intervals.gamma import effective_count, jeffreys, mid_p
from simulations.intervals.paired import Difference, compared
from simulations.intervals.rewarded import MANY, Rewarded

ESTIMATORS: tuple[Estimator, ...] = (IPS(), SNIPS(), DR())


def log(count: int, rate: float, *, seed: int = 1, shift: float = 0.0, scale: float = 1.0) -> Rounds:
    """Weights 0.4 and 1.6; `shift` moves the target towards the first action."""
    rng = np.random.default_rng(seed)
    first = rng.random(count) < 0.5
    reward = scale * (rng.random(count) < rate).astype(float)
    target = np.where(first, 0.2 + shift, 0.8 - shift)
    model = Predictions(logged=np.full(count, scale * rate), target=np.full(count, scale * rate))
    return Rounds(
        reward=np.asarray(reward, dtype=float),
        probability=np.full(count, 0.5),
        target_probability=target,
        predictions=model,
    )


def presented(estimator: Estimator, rounds: Rounds, level: float = 0.95) -> Interval:
    return interval(Running.of(estimator, rounds), Rewarded.of(estimator, rounds), level=level)


def part(rounds: Rounds, rows: slice) -> Rounds:
    assert rounds.predictions is not None
    return Rounds(
        reward=rounds.reward[rows],
        probability=rounds.probability[rows],
        target_probability=rounds.target_probability[rows],
        predictions=Predictions(
            logged=rounds.predictions.logged[rows], target=rounds.predictions.target[rows]
        ),
    )


@given(events=st.integers(0, 400), level=st.floats(0.5, 0.999), unit=st.floats(1e-3, 1e3))
def test_gamma_of_equal_weights_is_the_mid_p_interval_of_a_poisson_mean(
    events: int, level: float, unit: float
) -> None:
    low, high = mid_p(events * unit, events * unit**2, unit, level=level)
    tail = (1.0 - level) / 2.0
    assert below(events, high / unit) == pytest.approx(tail, abs=1e-7)
    if low > 0.0:
        assert below(events, low / unit) == pytest.approx(1.0 - tail, abs=1e-7)
    else:
        assert events == 0


def below(events: int, mean: float) -> float:
    """P(X < events) + P(X = events) / 2 of a Poisson variable."""
    logs = [count * math.log(mean) - mean - math.lgamma(count + 1) for count in range(events + 1)]
    return math.fsum(math.exp(one) for one in logs) - math.exp(logs[-1]) / 2.0


@given(events=st.floats(1.0, 1e4), part=st.floats(0.01, 50.0), step=st.floats(0.1, 10.0))
def test_gamma_intervals_hold_the_sum_and_jeffreys_is_the_narrower(
    events: float, part: float, step: float
) -> None:
    total = events * part
    low, high = mid_p(total, total * part, step * part)
    other_low, other_high = jeffreys(total, total * part, step * part)
    assert 0.0 <= low < total < high
    assert other_high - other_low < high - low


def test_effective_count_is_that_of_equal_parts() -> None:
    assert effective_count(20.0, 100.0) == 4.0
    assert effective_count(0.0, 0.0) == 0.0


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: one.name)
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.5])
def test_cut_anywhere_the_evidence_is_that_of_the_whole(estimator: Estimator, rate: float) -> None:
    rounds = log(300, rate)
    cuts = [Rewarded.of(estimator, part(rounds, slice(*ends))) for ends in ((0, 7), (7, 8), (8, 300))]
    whole = Rewarded.of(estimator, rounds)
    assert cuts[0] + cuts[1] + cuts[2] == cuts[2] + cuts[0] + cuts[1] == whole
    assert whole + Rewarded.none(estimator.size) == whole


def test_of_many_rewards_only_the_number_is_kept_wherever_the_log_was_cut() -> None:
    rounds = log(MANY + 10, 1.0)
    halves = [Rewarded.of(IPS(), part(rounds, rows)) for rows in (slice(None, 90), slice(90, None))]
    whole = Rewarded.of(IPS(), rounds)
    assert halves[0] + halves[1] == whole == Rewarded.only(MANY + 10, 1)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: one.name)
def test_few_rewards_get_the_gamma_interval_many_the_delta_method(estimator: Estimator) -> None:
    assert presented(estimator, log(2_000, 0.01)).method == "gamma"
    assert presented(estimator, log(2_000, 0.5)) == delta(Running.of(estimator, log(2_000, 0.5)))


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: one.name)
@pytest.mark.parametrize("rate", [0.005, 0.05])
def test_it_scales_with_the_rewards_and_turns_with_their_sign(estimator: Estimator, rate: float) -> None:
    found, scaled = (presented(estimator, log(2_000, rate, scale=scale)) for scale in (1.0, 100.0))
    turned = presented(estimator, log(2_000, rate, scale=-1.0))
    assert (scaled.low, scaled.high) == pytest.approx((100.0 * found.low, 100.0 * found.high), rel=1e-6)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), rel=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: one.name)
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.5])
def test_a_difference_turned_round_has_its_interval_turned_round(estimator: Estimator, rate: float) -> None:
    rounds, others = log(2_000, rate), log(2_000, rate, shift=0.4)
    found = interval(*compared(estimator, rounds, estimator, others))
    turned = interval(*compared(estimator, others, estimator, rounds))
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=1e-12)
    assert found.low < 0.0 < found.high if rate == 0.0 else found.low < found.high


def test_a_difference_merges_as_estimates_do() -> None:
    rounds, others = log(500, 0.1), log(500, 0.1, shift=0.4)
    first, second = (
        compared(SNIPS(), part(rounds, rows), SNIPS(), part(others, rows))
        for rows in (slice(None, 123), slice(123, None))
    )
    whole = compared(SNIPS(), rounds, SNIPS(), others)
    assert (first[0] + second[0], first[1] + second[1]) == whole
    assert whole[0].estimator == Difference(first=SNIPS(), second=SNIPS())


def test_two_policies_that_agree_differ_by_nothing() -> None:
    rounds = log(1_000, 0.01)
    found = interval(*compared(IPS(), rounds, IPS(), rounds))
    assert (found.low, found.high) == (0.0, 0.0)


def test_a_difference_on_the_same_rounds_is_known_better_than_two_values() -> None:
    rounds, others = log(2_000, 0.5), log(2_000, 0.5, shift=0.1)
    difference = interval(*compared(SNIPS(), rounds, SNIPS(), others))
    value = presented(SNIPS(), rounds)
    assert difference.high - difference.low < (value.high - value.low) / 2.0


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: one.name)
@pytest.mark.parametrize("count", [0, 1, 2, 50])
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_little_or_no_data_gets_an_honest_answer(estimator: Estimator, count: int, rate: float) -> None:
    found = presented(estimator, log(count, rate))
    assert not math.isnan(found.low)
    assert not math.isnan(found.high)
    assert found.low < found.high
    if count < 2:
        assert (found.low, found.high, found.method) == (-math.inf, math.inf, "nothing known")


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: one.name)
def test_a_target_that_chose_nothing_logged_leaves_nothing_known(estimator: Estimator) -> None:
    nothing = np.zeros(10)
    rounds = Rounds(
        reward=np.ones(10),
        probability=np.ones(10),
        target_probability=nothing,
        predictions=Predictions(logged=nothing, target=nothing),
    )
    assert presented(estimator, rounds).method == "nothing known"


def test_without_any_reward_the_upper_end_is_three_typical_events() -> None:
    rounds = log(1_000, 0.0)
    typical = float((rounds.weight**3).sum() / (rounds.weight**2).sum())
    found = presented(IPS(), rounds)
    assert found.low == 0.0
    assert found.high == pytest.approx(-math.log(0.05) * typical / 1_000)


@given(rate=st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]), seed=st.integers(0, 20))
def test_more_confidence_is_wider(rate: float, seed: int) -> None:
    rounds = log(400, rate, seed=seed)
    narrow, wide = (presented(SNIPS(), rounds, level=level) for level in (0.8, 0.99))
    assert wide.low <= narrow.low < narrow.high <= wide.high


def test_a_subject_of_ten_rounds_counts_as_one() -> None:
    rounds = log(200, 0.5)
    columns = np.column_stack(SNIPS().columns(rounds))
    alone = clustered(SNIPS(), columns, np.ones(200))
    tenfold = clustered(SNIPS(), 10.0 * columns, np.full(200, 10.0))
    assert tenfold.standard_error == pytest.approx(alone.standard_error)
    assert alone.standard_error == pytest.approx(Running.of(SNIPS(), rounds).standard_error)
    assert tenfold.effective == alone.effective == 200.0


@pytest.mark.parametrize(("rate", "rel"), [(0.5, 1e-9), (0.02, 0.2)])
def test_twice_the_standard_error_is_twice_as_wide(rate: float, rel: float) -> None:
    rounds = log(4_000, rate)
    running, rewarded = Running.of(SNIPS(), rounds), Rewarded.of(SNIPS(), rounds)
    found = interval(running, rewarded)
    wider = interval(running, rewarded, spread=Spread(2.0 * running.standard_error, running.count))
    assert wider.high - wider.low == pytest.approx(2.0 * (found.high - found.low), rel=rel)


def test_empty_buckets_of_subjects_do_not_count() -> None:
    sums, counts = np.array([[2.0], [0.0], [1.0]]), np.array([2.0, 1.0, 3.0])
    padded = np.vstack([sums, np.zeros((5, 1))]), np.concatenate([counts, np.zeros(5)])
    assert clustered(IPS(), *padded) == clustered(IPS(), sums, counts)
    assert math.isnan(clustered(IPS(), sums[:1], counts[:1]).standard_error)
    with pytest.raises(InvalidInputError, match=r"\(3, 1\), got \(1, 3\)"):
        clustered(IPS(), sums.T, counts)


@pytest.mark.parametrize("rate", [0.5, 0.02])
def test_few_subjects_are_as_uncertain_as_students_t_says(rate: float) -> None:
    rounds = log(4_000, rate)
    running, rewarded = Running.of(SNIPS(), rounds), Rewarded.of(SNIPS(), rounds)
    few, many = (
        interval(running, rewarded, spread=Spread(3.0 * running.standard_error, subjects))
        for subjects in (5.0, 4_000.0)
    )
    wider = (few.high - few.low) / (many.high - many.low)
    assert wider == pytest.approx(2.776 / 1.960, rel=0.15)  # t with 4 degrees of freedom, normal


def test_unequal_subjects_tell_no_more_than_fewer_equal_ones() -> None:
    rng = np.random.default_rng(1)
    counts = np.array([900.0, *[10.0] * 10])
    found = clustered(IPS(), rng.random((11, 1)) * counts[:, None], counts)
    assert found.effective == pytest.approx(1_000.0**2 / (900.0**2 + 10 * 10.0**2))


@given(rewards=st.lists(st.booleans(), min_size=2, max_size=60))
def test_conservative_intervals_hold_the_presented_estimate(rewards: list[bool]) -> None:
    rounds = once(np.array(rewards, dtype=float))
    running = Running.of(IPS(), rounds)
    exact = clopper_pearson(running, largest=2.0)
    bernstein = empirical_bernstein(running, lowest=0.0, largest=2.0)
    for found in (exact, bernstein):
        assert 0.0 <= found.low <= running.value <= found.high <= 2.0


def once(reward: Floats) -> Rounds:
    count = len(reward)
    return Rounds(reward=reward, probability=np.full(count, 0.5), target_probability=np.full(count, 0.5))


def test_bounds_that_the_data_refute_are_refused() -> None:
    running = Running.of(IPS(), once(np.ones(5)))
    with pytest.raises(InvalidInputError, match="at least the mean, which is 1"):
        clopper_pearson(running, largest=0.5)
    with pytest.raises(InvalidInputError, match="around the mean, 1, got 0 and"):
        empirical_bernstein(running, lowest=0.0, largest=0.5)
    with pytest.raises(InvalidInputError, match="between 0 and 1, got 95"):
        presented(IPS(), once(np.ones(5)), level=95.0)


def test_without_rounds_the_bounded_intervals_know_nothing() -> None:
    nothing = Running.start(IPS())
    assert clopper_pearson(nothing, largest=1.0).method == "nothing known"
    assert empirical_bernstein(nothing, lowest=0.0, largest=1.0).method == "nothing known"
