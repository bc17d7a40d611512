"""The delta method: estimate and standard error, as wide as Student's t for the number of rounds demands.

It covers where many rounds carry reward; with few it is too short below and far too short above (`gamma`).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtrit

from bandit.errors import InvalidInputError
from simulations.columns.exact import Floats
from simulations.estimators.contract import Estimator, Running
from simulations.intervals import Interval, check_level, nothing_known


def delta(running: Running, *, level: float = 0.95, standard_error: float | None = None) -> Interval:
    """Of any estimator; with another standard error (such as `clustered`) instead of that of single rounds.

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
    error = running.standard_error if standard_error is None else standard_error
    if not (math.isfinite(value) and math.isfinite(error)):
        return nothing_known(level)
    half = error * float(stdtrit(running.count - 1, (1.0 + level) / 2.0))
    return Interval(low=value - half, high=value + half, level=level, method="delta")


def clustered(estimator: Estimator, sums: Floats, counts: Floats) -> float:
    """Standard error where the rounds of one subject, but not those of two, may depend on each other.

    `sums` (b, c) are the sums of the estimator's columns over the rounds of each subject, or of each bucket
    of subjects; `counts` (b,) the rounds there. Empty buckets do not count. Not a number with fewer than two.
    (Liang & Zeger 1986, Biometrika 73, with b / (b - 1) for few clusters.)

    Raises:
        InvalidInputError: shapes that do not fit each other or the estimator.

    >>> from simulations.estimators.ips import IPS
    >>> alone = clustered(IPS(), np.array([[1.0], [0.0], [1.0], [0.0]]), np.ones(4))
    >>> together = clustered(IPS(), np.array([[2.0], [0.0]]), np.array([2.0, 2.0]))
    >>> round(alone, 3), together  # two subjects tell less than four
    (0.289, 0.5)
    """
    if sums.shape != (len(counts), estimator.size):
        raise InvalidInputError(
            f"sums: expected buckets by columns, ({len(counts)}, {estimator.size}), got {sums.shape}.",
            target="sums",
        )
    total, used = float(counts.sum()), int(np.count_nonzero(counts))
    if used < 2:
        return math.nan
    means = sums.sum(axis=0) / total
    gradient = estimator.gradient(means)
    scores = sums @ gradient - counts * float(means @ gradient)
    return math.sqrt(float(scores @ scores) * used / (used - 1)) / total
