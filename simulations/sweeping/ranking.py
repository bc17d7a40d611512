"""Candidates in their order, with intervals that hold for all at once, and what may be said of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from bandit.types import PolicySettings, Value
from simulations.columns.exact import Floats
from simulations.evaluation.values import Estimate
from simulations.evaluation.verdict import Verdict, judge, reach_of
from simulations.intervals import Interval
from simulations.intervals.paired import Difference
from simulations.intervals.simultaneous import Standing, against_best, bonferroni_level, joint_level
from simulations.sweeping.candidates import Candidate
from simulations.sweeping.replay import Estimated, Replayed


class Ranked(Value, frozen=True, kw_only=True):
    """A candidate; its intervals hold together with those of all others."""

    #: From 1; None: the log cannot tell what it is worth.
    rank: int | None
    name: str
    #: Of a candidate that was given by them.
    settings: PolicySettings | None
    value: Estimate
    #: Candidate - reference.
    difference: Estimate
    #: Candidate - best of the others; None: not ranked, or there are no others.
    against_best: Estimate | None
    #: False: another candidate was shown to be better.
    may_be_best: bool
    #: Against the reference.
    verdict: Verdict
    effective_sample_size: float
    largest_weight: float
    pareto_k: float | None


class Ranking(NamedTuple):
    """All candidates, those first that look best, and at which levels their single intervals were made."""

    candidates: list[Ranked]
    value_level: float
    difference_level: float
    #: What they would be if it were not counted how alike the candidates are.
    bonferroni_level: float


class _Judged(NamedTuple):
    candidate: Candidate
    replayed: Replayed
    value: Interval
    difference: Interval
    verdict: Verdict
    #: How far the value may be off besides chance.
    unsure: float


def ranked(
    candidates: Sequence[Candidate],
    replayed: Sequence[Replayed],
    *,
    level: float,
    reward_range: tuple[float, float] | None,
    excluded: int = 0,
) -> Ranking:
    """Judge each candidate against the reference, and all that can be judged against the best of them.

    `reward_range`: as declared; None where only what was seen is known.
    """
    value_level = joint_level(_scores([each.value for each in replayed]), level)
    difference_level = joint_level(_scores([each.difference for each in replayed]), level)
    judged = [
        _judged(candidate, each, (value_level, difference_level), level, reward_range, excluded)
        for candidate, each in zip(candidates, replayed, strict=True)
    ]
    judged.sort(key=lambda each: (each.verdict.refused, -each.replayed.value.running.value))
    usable = [each for each in judged if not each.verdict.refused]
    values = [each.replayed.value.running.value for each in usable]
    found = [
        _ranked(each, at + 1, standing, max(values[:at] + values[at + 1 :], default=math.nan))
        for at, (each, standing) in enumerate(zip(usable, _standings(usable, level), strict=True))
    ]
    found += [_ranked(each, None, None, math.nan) for each in judged[len(usable) :]]
    return Ranking(
        found,
        value_level,
        difference_level,
        bonferroni_level(len(judged), level),
    )


def _judged(
    candidate: Candidate,
    replayed: Replayed,
    levels: tuple[float, float],
    level: float,
    reward_range: tuple[float, float] | None,
    excluded: int,
) -> _Judged:
    diagnosis = replayed.diagnosis
    unsure = reach_of(diagnosis.support.unsupported_mass, reward_range) or 0.0
    value = _together(replayed.value.interval(levels[0]), level)
    difference = _together(replayed.difference.interval(levels[1]), level)
    verdict = judge(
        difference,
        diagnosis,
        reference=replayed.reference_diagnosis,
        reward_range=reward_range,
        left_out=excluded,
        subjects=replayed.difference.spread and replayed.difference.spread.effective,
    )
    widened = msgspec.structs.replace(value, low=value.low - unsure, high=value.high + unsure)
    return _Judged(candidate, replayed, widened, difference, verdict, unsure)


def _together(found: Interval, level: float) -> Interval:
    # Made at a higher level, so that all hold together at this one.
    return msgspec.structs.replace(found, level=level, method=f"{found.method}, simultaneous")


def _standings(usable: Sequence[_Judged], level: float) -> list[Standing]:
    if not usable:
        return []
    return against_best(
        [each.replayed.value.running.value for each in usable],
        _scores([each.replayed.value for each in usable]),
        level,
        unsure=[each.unsure for each in usable],
    )


def _ranked(judged: _Judged, rank: int | None, standing: Standing | None, best_other: float) -> Ranked:
    replayed, settings = judged.replayed, judged.candidate.policy
    refused = judged.verdict.sentence if judged.verdict.refused else ""
    # What the log cannot know widens the verdict's interval.
    low = judged.difference.low if judged.verdict.low is None else judged.verdict.low
    high = judged.difference.high if judged.verdict.high is None else judged.verdict.high
    ahead = None
    if standing is not None and math.isfinite(best_other):
        between = Interval(low=standing.low, high=standing.high, method="best of the others")
        ahead = estimate(replayed.value, replayed.value.running.value - best_other, between)
    difference = msgspec.structs.replace(judged.difference, low=low, high=high)
    return Ranked(
        rank=rank,
        name=judged.candidate.name,
        settings=settings if isinstance(settings, PolicySettings) else None,
        value=estimate(replayed.value, replayed.value.running.value, judged.value, refused),
        difference=estimate(replayed.difference, replayed.difference.running.value, difference, refused),
        against_best=ahead,
        may_be_best=standing is not None and standing.may_be_best,
        verdict=judged.verdict,
        effective_sample_size=replayed.diagnosis.effective_sample_size,
        largest_weight=replayed.diagnosis.largest_weight,
        pareto_k=replayed.diagnosis.pareto_k,
    )


def estimate(estimated: Estimated, value: float, found: Interval, warning: str = "") -> Estimate:
    """What a report says of a value with this interval."""
    estimator = estimated.running.estimator
    return Estimate(
        estimator=estimator.first.name if isinstance(estimator, Difference) else estimator.name,
        value=value,
        standard_error=estimated.standard_error,
        low=found.low,
        high=found.high,
        method=found.method,
        warning=warning,
    )


def _scores(estimated: Sequence[Estimated]) -> Floats:
    return np.stack([each.scores for each in estimated], axis=1)
