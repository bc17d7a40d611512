"""How far an estimate may be off. One construction a module; each gives an `Interval`."""

from __future__ import annotations

from bandit.types import Value


class Interval(Value, frozen=True, kw_only=True):
    """A confidence interval, in the unit of the estimate; low <= high."""

    low: float
    high: float
    #: Confidence level, in (0, 1).
    level: float = 0.95
