from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.diagnostics.diagnosis import Diagnosis, Support
from simulations.evaluation.verdict import judge
from simulations.intervals import Interval
from simulations.logs.rows import Logged
from tests.unit.simulations.made_logs import Made, Spoil, made_log, replace, skewed

CLEARLY_BETTER = Interval(low=0.05, high=0.1)
CLICKS = (0.0, 1.0)
UNIFORM = np.full(10, 0.1)


def doubled(row: Logged, _: np.random.Generator) -> Logged:
    return replace(row, probability=min(2.0 * row.probability, 1.0), pmf=None)


def halved(row: Logged, _: np.random.Generator) -> Logged:
    return replace(row, probability=row.probability / 2.0, pmf=None)


def uniform(row: Logged, _: np.random.Generator) -> Logged:
    count = len(row.actions)
    return replace(row, probability=1.0 / count, pmf=row.pmf and [1.0 / count] * count)


def clipped(row: Logged, _: np.random.Generator) -> Logged:
    return replace(row, probability=max(row.probability, 0.2), pmf=None)


def smoothed(row: Logged, _: np.random.Generator) -> Logged:
    raised = np.maximum(row.pmf or [], 0.1)
    raised /= raised.sum()
    return replace(row, probability=float(raised[row.chosen]), pmf=raised.tolist())


def permuted(row: Logged, generator: np.random.Generator) -> Logged:
    pmf = generator.permutation(row.pmf or [])
    return replace(row, probability=float(pmf[row.chosen]), pmf=pmf.tolist())


def permuted_alone(row: Logged, generator: np.random.Generator) -> Logged:
    return replace(row, probability=float(generator.permutation(row.pmf or [])[row.chosen]), pmf=None)


def scaled_alone(row: Logged, _: np.random.Generator) -> Logged:
    return replace(row, probability=row.probability / 2.0)


@pytest.mark.parametrize(
    "spoil", [doubled, halved, uniform, clipped, smoothed, permuted, permuted_alone, scaled_alone]
)
@pytest.mark.parametrize("target", [None, UNIFORM], ids=["target prefers the best", "uniform target"])
@pytest.mark.parametrize("seed", range(3))
def test_broken_probabilities_are_refused(spoil: Spoil, target: np.ndarray | None, seed: int) -> None:
    log = made_log(seed, target=target).spoilt(spoil)
    verdict = judge(CLEARLY_BETTER, log.diagnostics().diagnosis(), reward_range=CLICKS)
    assert verdict.refused
    assert verdict.low is verdict.high is None
    assert any("logged probabilities are wrong" in reason for reason in verdict.reasons)


def test_a_skewed_logger_that_claims_to_be_uniform_is_found_from_the_chosen_probabilities_alone() -> None:
    """Mean weight and mean of 1 / (K p) are 1 for a uniform target: only the choices themselves tell."""
    log = made_log(1, target=UNIFORM, with_pmf=False).spoilt(uniform)
    found = log.diagnostics().diagnosis()
    assert found.mean_weight == found.mean_inverse == pytest.approx(1.0)
    assert judge(CLEARLY_BETTER, found, reward_range=CLICKS).refused


@functools.cache
def healthy(seed: int) -> Diagnosis:
    """Two to eleven actions, any logger with a tenth of exploration, any target."""
    generator = np.random.default_rng(10_000 + seed)
    count = int(generator.integers(2, 12))
    logger = 0.1 / count + 0.9 * generator.dirichlet(np.full(count, 2.0))
    target = generator.dirichlet(np.ones(count))
    log = made_log(
        seed, rounds=1_500, logger=logger / logger.sum(), target=target, rate=0.05, with_pmf=seed % 2 == 0
    )
    return log.diagnostics().diagnosis()


def test_of_200_healthy_logs_fewer_than_two_in_a_hundred_are_refused() -> None:
    refused = [judge(CLEARLY_BETTER, healthy(seed), reward_range=CLICKS).refused for seed in range(200)]
    assert sum(refused) < 4


def test_tests_of_healthy_logs_hold_their_level() -> None:
    """Each of 200 logs at level 5 %: more than 20 rejections of one test have a probability below .001."""
    by_name: dict[str, int] = {}
    for seed in range(200):
        for check in healthy(seed).checks:
            by_name[check.name] = by_name.get(check.name, 0) + (check.p_value < 0.05)
    assert len(by_name) == 5
    assert max(by_name.values()) <= 20


def heavy(seed: int) -> Made:
    """Logged probabilities are right, and the smaller the likelier the target chooses just that action."""
    generator = np.random.default_rng(seed)
    log, targets = made_log(seed, rounds=3_000, logger=np.array([0.5, 0.5])), []
    rows = []
    for row in log.rows:
        p = float(generator.random() ** 4) * 0.5 + 1e-7
        chosen = int(generator.random() < p)
        rows.append(replace(row, chosen=chosen, probability=(1.0 - p, p)[chosen], pmf=[1.0 - p, p]))
        targets.append([0.0, 1.0])
    return Made(rows=rows, targets=targets)


@pytest.mark.parametrize("seed", range(5))
def test_heavy_tails_are_refused_or_warned_of(seed: int) -> None:
    found = heavy(seed).diagnostics().diagnosis()
    verdict = judge(CLEARLY_BETTER, found, reward_range=CLICKS)
    assert any("tail" in each or "tell no more" in each for each in [*verdict.reasons, *verdict.warnings])


@pytest.mark.parametrize("with_pmf", [True, False])
def test_actions_that_were_never_logged_are_refused(with_pmf: bool) -> None:
    logger = np.array([0.5, 0.5, 0.0, 0.0])
    log = made_log(3, logger=logger, target=np.array([0.0, 0.1, 0.1, 0.8]), with_pmf=with_pmf)
    verdict = judge(CLEARLY_BETTER, log.diagnostics().diagnosis(), reward_range=CLICKS)
    assert verdict.refused


def test_a_little_unsupported_mass_widens_the_interval_by_mass_times_reward_range() -> None:
    found = with_mass(0.01)
    verdict = judge(CLEARLY_BETTER, found, reward_range=(0.0, 2.0))
    assert verdict.outcome == "better"
    assert (verdict.low, verdict.high) == pytest.approx((0.03, 0.12))
    assert any("widened" in warning for warning in verdict.warnings)
    assert judge(CLEARLY_BETTER, found, reward_range=(0.0, 5.0)).refused
    assert judge(CLEARLY_BETTER, found).refused, "without a range of rewards it may be off by anything"


def test_rounds_without_a_distribution_are_counted() -> None:
    found = healthy(0)
    known = replace(found.support, known_share=1.0 - 1.0 / found.rounds)
    (warning,) = (
        one for one in judge(CLEARLY_BETTER, replace(found, support=known)).warnings if "full" in one
    )
    assert f"logged for {found.rounds - 1:,} of {found.rounds:,} rounds" in warning


def with_mass(mass: float) -> Diagnosis:
    found = healthy(0)
    support = Support(known_share=1.0, unsupported_mass=mass, unsupported_rounds=mass, zero_probabilities=15)
    return replace(found, support=support)


@given(st.floats(0.0, 0.5), st.floats(-1.0, 1.0).map(lambda low: round(low, 6)), st.floats(1e-5, 1.0))
def test_more_unsupported_mass_never_gives_a_firmer_verdict(mass: float, low: float, width: float) -> None:
    interval = Interval(low=low, high=low + width)
    without = judge(interval, with_mass(0.0), reward_range=CLICKS).outcome
    outcome = judge(interval, with_mass(mass), reward_range=CLICKS).outcome
    assert outcome in (without, "insufficient support")
    assert without == ("better" if low > 0.0 else "worse" if low + width < 0.0 else "no difference shown")


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        (CLEARLY_BETTER, "better"),
        (Interval(low=-0.2, high=-0.1), "worse"),
        (Interval(low=-0.1, high=0.1), "no difference shown"),
        (None, "insufficient support"),
        (Interval(low=float("nan"), high=float("nan")), "insufficient support"),
        (Interval(low=-float("inf"), high=float("inf")), "insufficient support"),
    ],
)
def test_outcome_follows_the_interval(interval: Interval | None, outcome: str) -> None:
    verdict = judge(interval, healthy(0), reward_range=CLICKS)
    assert verdict.outcome == outcome
    assert verdict.sentence
    assert verdict.reasons


def test_a_reference_policy_that_the_log_cannot_answer_for_is_refused_too() -> None:
    broken = made_log(1).spoilt(uniform).diagnostics().diagnosis()
    assert judge(CLEARLY_BETTER, healthy(0), reference=broken, reward_range=CLICKS).refused


def test_few_effective_rounds_are_refused() -> None:
    always_last = np.eye(10)[9]
    found = made_log(2, rounds=500, logger=skewed(first=0.82), target=always_last).diagnostics().diagnosis()
    verdict = judge(CLEARLY_BETTER, found, reward_range=CLICKS)
    assert verdict.refused
    assert any("least" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("subjects", "refused", "warned"),
    [(2.0, True, False), (9.9, True, False), (10.0, False, True), (39.9, False, True), (40.0, False, False),
     (None, False, False)],
)  # fmt: skip
def test_a_few_subjects_do_not_decide(subjects: float | None, refused: bool, warned: bool) -> None:
    verdict = judge(CLEARLY_BETTER, healthy(0), reward_range=CLICKS, subjects=subjects)
    assert verdict.refused == refused
    assert any("subjects of the log" in reason for reason in verdict.reasons) == refused
    assert any("subjects of the log" in warning for warning in verdict.warnings) == warned
