"""The delta method: estimate and standard error, as wide as Student's t for the number of rounds demands.

It covers where many rounds carry reward; with few it is too short below and far too short above (`gamma`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from bandit.errors import InvalidInputError
from simulations.columns.exact import Floats
from simulations.estimators.contract import Estimator, Running
from simulations.intervals import Interval, check_level, nothing_known


class Spread(NamedTuple):
    """A standard error, and how many independent parts of the log told of it."""

    standard_error: float
    #: Rounds, or as many subjects of equal size as tell as much.
    effective: float

    def half_width(self, level: float) -> float:
        """Of an interval at this level, by Student's t."""
        freedom = max(self.effective - 1.0, 1.0)
        return self.standard_error * float(stdtrit(freedom, (1.0 + level) / 2.0))


def delta(running: Running, *, level: float = 0.95, spread: Spread | None = None) -> Interval:
    """Of any estimator; with another spread (such as `clustered`) instead of that of single rounds.

    With fewer than two rounds, or an estimate that is undefined, nothing is known.

    Raises:
        InvalidInputError: `level` not in (0, 1).

    >>> from simulations.estimators.ips import IPS
    >>> from simulations.columns.rounds import Rounds
    >>> rounds = Rounds(reward=np.array([1.0, 0.0] * 50), probability=np.full(100, 0.5),
    ...                 target_probability=np.full(100, 0.5))
    >>> interval = delta(Running.of(IPS(), rounds))
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.4, 0.6)
    """
    check_level(level)
    value = running.value
    half = (spread or Spread(running.standard_error, running.count)).half_width(level)
    if not (math.isfinite(value) and math.isfinite(half)):
        return nothing_known(level)
    return Interval(low=value - half, high=value + half, level=level, method="delta")


def clustered(estimator: Estimator, sums: Floats, counts: Floats) -> Spread:
    """The spread where the rounds of one subject, but not those of two, may depend on each other.

    `sums` (b, c) are the sums of the estimator's columns over the rounds of each subject, or of each bucket
    of subjects; `counts` (b,) the rounds there. Empty buckets do not count. Not a number with fewer than two.
    (Liang & Zeger 1986, Biometrika 73, with b / (b - 1) for few clusters. The effective number is (sum of
    counts)^2 / sum of counts^2, by which Carter, Schnepel & Steigerwald 2017, Review of Economics and
    Statistics 99, discount clusters for being unequal.)

    Raises:
        InvalidInputError: shapes that do not fit each other or the estimator.

    >>> from simulations.estimators.ips import IPS
    >>> alone = clustered(IPS(), np.array([[1.0], [0.0], [1.0], [0.0]]), np.ones(4))
    >>> together = clustered(IPS(), np.array([[2.0], [0.0]]), np.array([2.0, 2.0]))
    >>> round(alone.standard_error, 3), together.standard_error  # two subjects tell less than four
    (0.289, 0.5)
    >>> together.effective
    2.0
    """
    if sums.shape != (len(counts), estimator.size):
        raise InvalidInputError(
            f"sums: expected buckets by columns, ({len(counts)}, {estimator.size}), got {sums.shape}.",
            target="sums",
        )
    total, used = float(counts.sum()), int(np.count_nonzero(counts))
    if used < 2:
        return Spread(math.nan, float(used))
    means = sums.sum(axis=0) / total
    gradient = estimator.gradient(means)
    scores = sums @ gradient - counts * float(means @ gradient)
    error = math.sqrt(float(scores @ scores) * used / (used - 1)) / total
    return Spread(error, total**2 / float(counts @ counts))
