"""May we say so? Better, worse, no difference shown, or a log that cannot answer; each with its reasons.

Thresholds and their sources are in docs/evaluation.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from bandit.types import Value
from simulations.diagnostics.diagnosis import Diagnosis
from simulations.intervals import Interval

Outcome = Literal["better", "worse", "no difference shown", "insufficient support"]

#: A true log is called broken at most with this probability by each of its five tests.
ALPHA = 0.001
#: Deviations below this share are a warning only, however surely a very long log shows them.
TOLERATED = 0.01
#: Below, intervals of a nominal 95 % cover some 77 % (tests/statistical/test_thresholds.py).
FEWEST_EFFECTIVE = 100.0
#: Below, estimates of a variance are not stable (Vehtari et al. 2021, arXiv 1903.08008).
FEW_EFFECTIVE = 400.0
#: Below, intervals of a nominal 95 % cover .86 where one subject in ten differs from the others.
FEWEST_SUBJECTS = 10.0
#: From here on they cover .94 there (docs/evaluation.md).
FEW_SUBJECTS = 40.0
#: A generalized Pareto tail of shape 1 has no mean, so no sample is large enough.
NO_MEAN = 1.0
#: Smaller differences, as shares of the rewards' range, are rounding.
_ROUNDING = 1e-9
#: More of the value on ten rounds is a warning.
TOP_TEN = 0.5
#: Rows left out beyond this share are a warning.
MOST_LEFT_OUT = 0.01


class Verdict(Value, frozen=True, kw_only=True):
    """What may be said of a target policy against a reference."""

    outcome: Outcome
    #: For everybody.
    sentence: str
    #: Of target - reference, widened by what the log cannot know; None where it supports no interval.
    low: float | None
    high: float | None
    level: float
    #: What led to the outcome.
    reasons: list[str]
    #: What whoever relies on it must know.
    warnings: list[str]

    @property
    def refused(self) -> bool:
        """No estimate of this evaluation may be relied on."""
        return self.outcome == "insufficient support"


def judge(
    difference: Interval | None,
    target: Diagnosis,
    *,
    reference: Diagnosis | None = None,
    reward_range: tuple[float, float] | None = None,
    left_out: int = 0,
    subjects: float | None = None,
) -> Verdict:
    """From the paired interval of target - reference and what was found of the log.

    `reference`: the diagnosis of a reference policy; None: it is the logging policy itself, whose weights are
    all 1. `difference` None, or with ends that are not numbers: there is no interval. Which estimator's
    interval it is must have been fixed before any was seen. `left_out`: rows that could not be used.
    `subjects`: how many of equal size tell as much as those of the log; None: each round has its own.

    >>> from simulations.diagnostics import Diagnostics
    >>> judge(Interval(low=0.1, high=0.2), Diagnostics().diagnosis()).outcome
    'insufficient support'
    """
    both = [target] if reference is None else [target, reference]
    refusals = [reason for each in both for reason in _refusals(each)]
    warnings = [warning for each in both for warning in _warnings(each)]
    if left_out > MOST_LEFT_OUT * (target.rounds + left_out):
        warnings.append(f"{left_out:,} rows were left out: what is said holds for the others only.")
    if subjects is not None and subjects < FEWEST_SUBJECTS:
        refusals.append(f"{_by_subject(subjects)}; {FEWEST_SUBJECTS:.0f} are the least.")
    elif subjects is not None and subjects < FEW_SUBJECTS:
        warnings.append(f"{_by_subject(subjects)}; another few may differ from them.")
    level = difference.level if difference else 0.95
    if difference is None or not (math.isfinite(difference.low) and math.isfinite(difference.high)):
        refusals.append("The estimators gave no interval for the difference.")
        return _refused(refusals, warnings, level)
    mass = sum(each.support.unsupported_mass for each in both)
    reach = reach_of(mass, reward_range)
    if mass and (reach is None or _limits(reach, difference)):
        refusals.append(_unsupported(mass, reach))
    if refusals or reach is None:
        return _refused(refusals, warnings, level)
    if mass:
        warnings.append(f"{_unsupported(mass, reach)} The interval was widened by it.")
    low, high = difference.low - reach, difference.high + reach
    least = _ROUNDING * (reward_range[1] - reward_range[0] if reward_range else 1.0)
    if abs(low) < least and abs(high) < least:  # two policies that agree differ by rounding
        low = high = 0.0
    return _decided(low, high, warnings, level)


def _refusals(found: Diagnosis) -> Iterator[str]:
    if not found.rounds:
        yield "There are no rounds."
        return
    for check in found.checks:
        if check.p_value < ALPHA and check.off >= TOLERATED:
            wrong = f"{check.name}: {check.finding} (p {_p(check.p_value)})"
            yield f"The logged probabilities are wrong by their {wrong}."
    if found.contradictions > TOLERATED * found.rounds:
        yield (
            f"The logged probabilities are wrong: in {found.contradictions:,} of {found.rounds:,} rounds the "
            "probability is not the one that the logged distribution gives the chosen action."
        )
    if found.effective_sample_size < FEWEST_EFFECTIVE:
        yield (
            f"The {found.rounds:,} rounds tell no more of this policy than "
            f"{found.effective_sample_size:,.0f} of its own would; {FEWEST_EFFECTIVE:.0f} are the least."
        )
    if found.pareto_k is not None and found.pareto_k > NO_MEAN:
        yield (
            f"The weights' tail is so heavy (Pareto k {found.pareto_k:.2f}) that their mean does not settle, "
            "however long the log."
        )


def _warnings(found: Diagnosis) -> Iterator[str]:
    for check in found.checks:
        if check.p_value < ALPHA and check.off < TOLERATED:
            yield f"The logged probabilities are slightly off by their {check.name}: {check.finding}."
    if 0 < found.contradictions <= TOLERATED * found.rounds:
        yield f"In {found.contradictions:,} rounds probability and distribution contradict each other."
    if FEWEST_EFFECTIVE <= found.effective_sample_size < FEW_EFFECTIVE:
        yield (
            f"The log tells only as much as {found.effective_sample_size:,.0f} rounds of the policy itself "
            "would; intervals may be too narrow."
        )
    if found.pareto_k is not None and found.pareto_limit < found.pareto_k <= NO_MEAN:
        yield (
            f"The weights' tail is heavy (Pareto k {found.pareto_k:.2f}, over {found.pareto_limit:.2f}): a "
            "few rare rounds could still move the estimate beyond its interval."
        )
    if found.top_ten_share is not None and found.top_ten_share > TOP_TEN:
        yield f"Ten rounds make up {100 * found.top_ten_share:.0f} % of the estimated value."
    known = found.support.known_share
    if found.rounds and known < 1.0:
        yield (
            f"The full distribution is logged for {round(known * found.rounds):,} of {found.rounds:,} "
            "rounds: support and probabilities could be checked for those alone."
        )


def _by_subject(subjects: float) -> str:
    return f"The subjects of the log tell no more than {subjects:,.0f} with as many rounds each would"


def reach_of(mass: float, reward_range: tuple[float, float] | None) -> float | None:
    """How far an estimate may be off for a share `mass` of choices that the log cannot know.

    >>> reach_of(0.25, (0.0, 2.0))
    0.5
    """
    # Unsupported rewards count as 0, as the mean of the others, or as predicted: at most so far off.
    if not mass:
        return 0.0
    if reward_range is None:
        return None
    return mass * (max(reward_range[1], 0.0) - min(reward_range[0], 0.0))


def _limits(reach: float, difference: Interval) -> bool:
    # What is not supported, rather than chance, keeps us from an answer.
    includes_zero = difference.low - reach <= 0.0 <= difference.high + reach
    return includes_zero and (
        not difference.low <= 0.0 <= difference.high or 2 * reach > difference.high - difference.low
    )


def _unsupported(mass: float, reach: float | None) -> str:
    what = f"{100 * mass:.2g} % of the choices would be of actions that the log cannot know"
    if reach is None:
        return f"{what}, and no lowest and highest reward is given."
    return f"{what}; the difference may be off by {reach:.4g} for that alone."


def _refused(reasons: list[str], warnings: list[str], level: float) -> Verdict:
    return Verdict(
        outcome="insufficient support",
        sentence="This log cannot tell whether the target policy is better: do not use these figures.",
        low=None,
        high=None,
        level=level,
        reasons=reasons,
        warnings=warnings,
    )


def places_of(low: float, high: float) -> int:
    """Decimal places for two figures of half an interval's width; more would only look exact.

    >>> places_of(0.01, 0.05), places_of(0.0, 0.0)
    (3, 4)
    """
    return min(max(1 - math.floor(math.log10((high - low) / 2)), 0), 12) if high > low else 4


def _decided(low: float, high: float, warnings: list[str], level: float) -> Verdict:
    places = places_of(low, high)
    ends = f"between {low:+,.{places}f} and {high:+,.{places}f} a round, with {100 * level:g} % confidence"
    outcome: Outcome
    if low > 0.0:
        outcome, sentence = "better", f"The target policy earns more: {ends}."
        reason = "The whole interval of the difference lies above zero."
    elif high < 0.0:
        outcome, sentence = "worse", f"The target policy earns less: {ends}."
        reason = "The whole interval of the difference lies below zero."
    else:
        outcome, sentence = "no difference shown", f"No difference was shown: it lies {ends}."
        reason = "The interval of the difference includes zero."
    return Verdict(
        outcome=outcome,
        sentence=sentence,
        low=low,
        high=high,
        level=level,
        reasons=[reason],
        warnings=warnings,
    )


def _p(value: float) -> str:
    return f"at most {value:.0e}" if value >= 1e-99 else "below 1e-99"
