"""Many policies by the same rounds: intervals that hold for all at once, so also for whichever looks best.

Of twenty intervals of 95 % one misses on average, and the policy that looks best is the one that luck
flattered most. So each interval is made at the level at which all of them hold together: by the distribution
of the largest error of all (Hothorn, Bretz & Westfall 2008, Biometrical Journal 50, 346-363), which counts
how alike the policies are. Bonferroni's level, which does not, is never narrower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, stdtrit

from simulations.columns.exact import Floats
from simulations.intervals import check_level
from simulations.intervals.bootstrap import Buckets

#: Of the joint distribution of errors; its quantiles are off by about a hundredth.
_DRAWS = 20_000


class Standing(NamedTuple):
    """A policy against the best of the others: what it earns less what that one does."""

    low: float
    high: float
    #: False: another one was shown to be better.
    may_be_best: bool


def scores(buckets: Buckets) -> Floats:
    """How far each bucket of subjects moved the estimate (`BUCKETS`,), so that it varies as their sum does.

    Their root sum of squares is the standard error of `clustered`; estimates by the same rounds vary together
    as their scores do.
    """
    counts, sums = buckets.totals
    used, total = np.count_nonzero(counts), counts.sum()
    if used < 2:
        return np.full(len(counts), np.nan)
    means = sums.sum(axis=0) / total
    gradient = buckets.estimator.gradient(means)
    away = sums @ gradient - counts * float(means @ gradient)
    return np.asarray(away / total * math.sqrt(used / (used - 1)))


def joint_level(scores: Floats, level: float = 0.95, *, seed: int = 1) -> float:
    """The level at which the interval of each must be made, so that all hold at once with `level`.

    `scores` (b, m) of m estimates; one that cannot vary, or of which nothing is known, does not count.

    Raises:
        InvalidInputError: `level` not in (0, 1).

    >>> apart, alike = np.eye(50)[:, :10], np.ones((50, 10))
    >>> round(joint_level(apart), 3), round(joint_level(alike), 2)  # Bonferroni: .995 for both
    (0.995, 0.95)
    """
    check_level(level)
    errors = _errors(scores)
    counted = np.isfinite(errors) & (errors > 0.0)
    if not counted.any():
        return level
    largest = np.abs(_drawn(scores[:, counted] / errors[counted], seed)).max(axis=1)
    found = float(2.0 * ndtr(np.quantile(largest, level)) - 1.0)
    return min(found, bonferroni_level(int(counted.sum()), level))  # draws may exceed it by chance


def bonferroni_level(count: int, level: float = 0.95) -> float:
    """The same for so many estimates, however they hang together.

    >>> round(bonferroni_level(20), 4)
    0.9975
    """
    return 1.0 - (1.0 - level) / max(count, 1)


def against_best(
    estimates: Sequence[float],
    scores: Floats,
    level: float = 0.95,
    *,
    unsure: Sequence[float] | None = None,
    seed: int = 1,
) -> list[Standing]:
    """Each policy less the best of the others; with `level`, all of these intervals hold at once.

    Multiple comparisons with the best (Hsu 1996, "Multiple comparisons", section 4.2): only against the truly
    best one need errors be bounded, and nobody must know which one that is. `scores` (b, m) are finite;
    `unsure` (m,): how far an estimate may be off besides chance.

    Where few buckets tell two policies apart, Student's t stands for the normal, with as many degrees of
    freedom as equal scores would tell as much.

    Raises:
        InvalidInputError: `level` not in (0, 1).

    >>> scores = 0.01 * np.random.default_rng(1).normal(size=(100, 3))
    >>> [standing.may_be_best for standing in against_best([0.0, 0.9, 1.0], scores)]
    [False, True, True]
    """
    check_level(level)
    drawn, value = _drawn(scores, seed), np.array(estimates)
    slack = np.zeros(len(value)) if unsure is None else np.array(unsure)
    away = np.stack([_allowance(scores, drawn, each, level) for each in range(len(value))])
    away += slack[:, None] + slack[None, :]
    ahead = value[:, None] - value[None, :]
    np.fill_diagonal(away, np.inf)
    highest = (ahead + away).min(axis=1)
    may_be = highest >= 0.0
    # What may be the best is compared by its own allowance; only it can be the one that counts.
    below = np.where(may_be[None, :], ahead - away.T, np.inf)
    np.fill_diagonal(below, np.inf)
    lowest = below.min(axis=1)  # infinite: none of the others may be the best
    return [
        Standing(low=min(float(low), 0.0), high=max(float(high), 0.0), may_be_best=bool(may))
        for low, high, may in zip(lowest, highest, may_be, strict=True)
    ]


def _allowance(scores: Floats, drawn: Floats, control: int, level: float) -> Floats:
    """How far one policy may truly be ahead of each other one (m,), beyond what it seems to be."""
    apart = scores[:, [control]] - scores
    errors = _errors(apart)
    differ = errors > 0.0
    if not differ.any():
        return np.zeros(len(errors))
    beyond = (drawn[:, differ] - drawn[:, [control]]) / errors[differ]
    bound = np.quantile(beyond.max(axis=1), level)
    found = np.zeros(len(errors))
    found[differ] = stdtrit(_freedom(apart[:, differ]), ndtr(bound)) * errors[differ]
    return found


def _freedom(apart: Floats) -> Floats:
    squares = apart**2
    return np.asarray(squares.sum(axis=0) ** 2 / (squares**2).sum(axis=0))


def _errors(scores: Floats) -> Floats:
    return np.asarray(np.sqrt((scores**2).sum(axis=0)))


def _drawn(scores: Floats, seed: int) -> Floats:
    """Errors as normal as many rounds make them, which hang together as those of the estimates (r, m)."""
    sizes, directions = np.linalg.eigh(scores.T @ scores)
    spread = directions * np.sqrt(np.maximum(sizes, 0.0))
    normal = np.random.default_rng(seed).standard_normal((_DRAWS, len(sizes)))
    return np.asarray(normal @ spread.T)
