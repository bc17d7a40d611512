"""How far an estimate may be off. One construction a module; each gives an `Interval`. `choose` picks one."""

from __future__ import annotations

import math

from bandit.errors import InvalidInputError
from bandit.types import Value


class Interval(Value, frozen=True, kw_only=True):
    """A confidence interval, in the unit of the estimate; low <= high.

    An end of which the data say nothing is infinite (in JSON: null).
    """

    low: float
    high: float
    #: Confidence level, in (0, 1).
    level: float = 0.95
    #: By which construction, as it stands in reports.
    method: str = ""


def nothing_known(level: float) -> Interval:
    """What data without rounds, or without any that the target could have chosen, say.

    >>> nothing_known(0.95).high
    inf
    """
    return Interval(low=-math.inf, high=math.inf, level=level, method="nothing known")


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1).

    Raises:
        InvalidInputError: it is.
    """
    if not 0.0 < level < 1.0:
        raise InvalidInputError(f"level: expected a number between 0 and 1, got {level}.", target="level")
