"""Clopper & Pearson's interval, for weighted rewards between 0 and a bound: conservative.

C. J. Clopper & E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
binomial", Biometrika 26 (1934), 404-413. The sum, in units of the bound, is taken as that many successes: of
all variables in [0, bound] with the same mean, the one that is either 0 or the bound varies most.
"""

from __future__ import annotations

from scipy.special import betaincinv

from bandit.errors import InvalidInputError
from simulations.estimators.contract import Running
from simulations.intervals import Interval, check_level, nothing_known


def clopper_pearson(running: Running, *, largest: float, level: float = 0.95) -> Interval:
    """Of an estimator that is the mean of one column in [0, `largest`], such as IPS.

    `largest` is the largest possible weight times the largest possible reward, known beforehand.

    Raises:
        InvalidInputError: the mean is not in [0, `largest`], or `level` not in (0, 1).

    >>> import numpy as np
    >>> from simulations.estimators.ips import IPS
    >>> from simulations.columns.rounds import Rounds
    >>> rounds = Rounds(reward=np.array([1.0] + [0.0] * 9), probability=np.ones(10),
    ...                 target_probability=np.ones(10))
    >>> interval = clopper_pearson(Running.of(IPS(), rounds), largest=1.0)
    >>> round(interval.low, 4), round(interval.high, 4)  # one success in ten
    (0.0025, 0.445)
    """
    check_level(level)
    if not running.count:
        return nothing_known(level)
    trials, share = running.count, running.value / largest if largest > 0.0 else -1.0
    if not 0.0 <= share <= 1.0:
        raise InvalidInputError(
            f"largest: expected the largest weighted reward that is possible, so at least the mean, which is "
            f"{running.value:g}, and no negative reward, got {largest:g}.",
            target="largest",
        )
    successes, tail = share * trials, (1.0 - level) / 2.0
    low = betaincinv(successes, trials - successes + 1.0, tail) if successes > 0.0 else 0.0
    high = betaincinv(successes + 1.0, trials - successes, 1.0 - tail) if successes < trials else 1.0
    return Interval(
        low=float(low) * largest, high=float(high) * largest, level=level, method="clopper-pearson"
    )
