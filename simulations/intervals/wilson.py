"""Wilson's score interval for a proportion.

E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
Statistical Association 22 (1927), 209-212. It keeps its level for rare events, where the textbook interval
(estimate +- 1.96 standard errors) leaves [0, 1] or shrinks to a point.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from bandit.errors import InvalidInputError
from simulations.intervals import Interval, check_level


def wilson(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """The proportions p for which a score test would not reject `successes` out of `trials`.

    Without trials nothing is known: the interval is [0, 1].

    Raises:
        InvalidInputError: not 0 <= successes <= trials, or `level` not in (0, 1).

    >>> interval = wilson(81, 263)  # Newcombe (1998), Statistics in Medicine 17, table I: .2553 to .3662
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.2553, 0.3662)
    """
    if not 0 <= successes <= trials:
        raise InvalidInputError(f"successes: expected 0 to {trials} (all trials), got {successes}.")
    check_level(level)
    if trials == 0:
        return Interval(low=0.0, high=1.0, level=level, method="wilson")
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)
    rate = successes / trials
    shrink = 1.0 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / shrink
    half = z / shrink * math.sqrt(rate * (1.0 - rate) / trials + (z / (2 * trials)) ** 2)
    # At 0 and at all successes the bound is exactly 0 or 1; rounding must not say otherwise.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return Interval(low=low, high=high, level=level, method="wilson")
