"""An interval for the mean of bounded numbers that holds for any n and any distribution: wide.

A. Maurer & M. Pontil, "Empirical Bernstein bounds and sample variance penalization", COLT 2009, theorem 4,
once for each end.
"""

from __future__ import annotations

import math

from bandit.errors import InvalidInputError
from simulations.estimators.contract import Running
from simulations.intervals import Interval, check_level, nothing_known


def empirical_bernstein(running: Running, *, lowest: float, largest: float, level: float = 0.95) -> Interval:
    """Of an estimator that is the mean of one column in [`lowest`, `largest`], bounds known beforehand.

    For IPS: 0 and the largest weight; for DR with predictions in [0, 1]: minus that, and that plus 1.

    Raises:
        InvalidInputError: the mean is not within the bounds, or `level` not in (0, 1).

    >>> import numpy as np
    >>> from simulations.estimators.ips import IPS
    >>> from simulations.columns.rounds import Rounds
    >>> rounds = Rounds(reward=np.array([1.0, 0.0] * 500), probability=np.ones(1000),
    ...                 target_probability=np.ones(1000))
    >>> interval = empirical_bernstein(Running.of(IPS(), rounds), lowest=0.0, largest=1.0)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.443, 0.557)
    """
    check_level(level)
    if running.count < 2:
        return nothing_known(level)
    if not lowest <= running.value <= largest:
        raise InvalidInputError(
            f"lowest, largest: expected bounds of the column, so around the mean, {running.value:g}, "
            f"got {lowest:g} and {largest:g}.",
            target="largest",
        )
    doubt = math.log(4.0 / (1.0 - level))
    half = running.standard_error * math.sqrt(2.0 * doubt)
    half += 7.0 * (largest - lowest) * doubt / (3.0 * (running.count - 1))
    return Interval(
        low=max(running.value - half, lowest),
        high=min(running.value + half, largest),
        level=level,
        method="empirical bernstein",
    )
