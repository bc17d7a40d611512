"""Is the mean of some nonnegative numbers 1? Tests that hold for any number of them, however skewed.

A z-test rejects far too often where most of a mean stands on few large weights. Here a gambler stakes a
share b of his capital on each x - 1: on average his capital does not grow if E[x] <= 1, so it ever reaches
1 / alpha with probability alpha at most (Ville 1939), also where the logger learned meanwhile. (Waudby-Smith
& Ramdas 2024, JRSS B 86, arXiv 2010.09686.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from simulations.columns.exact import Floats, exact_sum, number

#: Shares staked, side by side; the best one for skewed numbers is small.
STAKES = tuple(0.5 / 4.0**k for k in range(9))
#: What is left of a capital that a stake lost; its logarithm is finite.
_LOST = 2.0**-1000


class Wagers(msgspec.Struct, frozen=True, kw_only=True):
    """Logarithms of the gamblers' capitals, exact; `a + b` has seen the numbers of both.

    >>> fair, unfair = np.array([0.0, 2.0] * 100), np.array([0.0, 4.0] * 100)
    >>> Wagers.of(fair).p_above(), Wagers.of(unfair).p_above() < 1e-6
    (1.0, True)
    """

    #: One for each stake, on numbers above 1.
    above: tuple[int, ...] = (0,) * len(STAKES)
    #: And on numbers below 1.
    below: tuple[int, ...] = (0,) * len(STAKES)

    @classmethod
    def of(cls, numbers: Floats) -> Wagers:
        """After these numbers (n,), each >= 0."""
        surplus = numbers - 1.0
        return cls(
            above=tuple(exact_sum(np.log1p(stake * surplus)) for stake in STAKES),
            below=tuple(exact_sum(np.log(np.maximum(1.0 - stake * surplus, _LOST))) for stake in STAKES),
        )

    def __add__(self, other: Wagers) -> Wagers:
        """After the numbers of both."""
        return Wagers(
            above=tuple(a + b for a, b in zip(self.above, other.above, strict=True)),
            below=tuple(a + b for a, b in zip(self.below, other.below, strict=True)),
        )

    def p_above(self) -> float:
        """At most the probability of such evidence if the mean is not above 1."""
        return p_value([number(capital) for capital in self.above])

    def p_below(self, largest: float) -> float:
        """At most the probability of such evidence if the mean is not below 1 and no number above `largest`.

        Without such a limit nothing could be said: one number to come may make up for all so far.
        """
        pairs = zip(self.below, STAKES, strict=True)
        return p_value([number(capital) for capital, stake in pairs if stake * (largest - 1.0) < 1.0])


def p_value(capitals: Sequence[float]) -> float:
    """Of gamblers who shared a capital of 1 equally; `capitals` are logarithms of what a whole one became.

    >>> round(p_value([math.log(30.0), math.log(10.0)]), 9)
    0.05
    """
    if not capitals:
        return 1.0
    top = max(capitals)
    evidence = top + math.log(sum(math.exp(capital - top) for capital in capitals) / len(capitals))
    return math.exp(-evidence) if evidence > 0.0 else 1.0
