"""Were actions chosen as often as their logged probabilities say?

Choices less their probabilities are martingale differences of known variance, so how far their sum may stray
is bounded without any approximation, also for a logger that learned meanwhile. (Freedman 1975, Annals of
Probability 3, theorem 1.6.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from simulations.columns.exact import exact_sums_by, number
from simulations.diagnostics.diagnosis import Check, Expected
from simulations.diagnostics.flat import Flat

#: Logged probabilities that are looked at together lie between neighbours of these.
EDGES = (0.0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
BINS = len(EDGES) - 1
#: Probabilities are written with a limited number of digits.
_ROUNDING = 1e-6


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Choices and logged probabilities by range of these, exact; `a + b` has seen the rounds of both."""

    offers: tuple[int, ...] = (0,) * BINS
    chosen: tuple[int, ...] = (0,) * BINS
    #: Exact sums.
    expected: tuple[int, ...] = (0,) * BINS
    variance: tuple[int, ...] = (0,) * BINS

    @classmethod
    def of(cls, flat: Flat) -> Calibration:
        """Of rounds whose distribution is logged."""
        known = ~np.isnan(flat.pmf)
        pmf, rounds = flat.pmf[known], flat.round[known]
        bins = np.clip(np.searchsorted(EDGES, pmf, side="right") - 1, 0, BINS - 1)
        chosen = np.zeros(len(flat.pmf), dtype=bool)
        chosen[flat.chosen] = True
        # Of a round one action is chosen, so those in one range are one draw with their joint probability.
        cells, cell = np.unique(rounds * BINS + bins, return_inverse=True)
        joint = np.minimum(np.bincount(cell, weights=pmf, minlength=len(cells)), 1.0)
        return cls(
            offers=tuple(np.bincount(bins, minlength=BINS).tolist()),
            chosen=tuple(np.bincount(bins[chosen[known]], minlength=BINS).tolist()),
            expected=tuple(exact_sums_by(bins, BINS, pmf)),
            variance=tuple(exact_sums_by(cells % BINS, BINS, joint * (1.0 - joint))),
        )

    def __add__(self, other: Calibration) -> Calibration:
        """Of the rounds of both."""
        return Calibration(
            offers=_added(self.offers, other.offers),
            chosen=_added(self.chosen, other.chosen),
            expected=_added(self.expected, other.expected),
            variance=_added(self.variance, other.variance),
        )

    def found(self) -> list[Expected]:
        """One for each range of probabilities that occurs."""
        return [
            Expected(
                name=f"{EDGES[index]:g} to {EDGES[index + 1]:g}",
                offers=self.offers[index],
                expected=number(self.expected[index]),
                chosen=self.chosen[index],
                deviation=math.sqrt(number(self.variance[index])),
            )
            for index in range(BINS)
            if self.offers[index]
        ]


def _added(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def check(name: str, found: Sequence[Expected]) -> Check | None:
    """At the place that speaks most against the probabilities; None: there is none."""
    if not found:
        return None
    p_values = [p_value(each.chosen - each.expected, each.deviation**2) for each in found]
    worst = min(range(len(found)), key=lambda index: (p_values[index], -off(found[index])))
    each = found[worst]
    return Check(
        name=name,
        p_value=min(1.0, len(found) * p_values[worst]),
        off=off(each),
        finding=f"{each.name}: expected {each.expected:,.1f} choices, found {each.chosen:,}",
    )


def off(each: Expected) -> float:
    """How far choices are from what was expected, as a share of it."""
    return abs(each.chosen - each.expected) / max(each.expected, _ROUNDING)


def p_value(strayed: float, variance: float) -> float:
    """At most the probability that steps of at most 1, of that variance in all, stray so far to either side.

    >>> p_value(0.0, 10.0), round(p_value(10.0, 10.0), 3), p_value(2.0, 0.0)
    (1.0, 0.042, 0.0)
    """
    distance = abs(strayed)
    if distance <= _ROUNDING:
        return 1.0
    if variance <= 0.0:
        return 0.0
    return min(1.0, 2.0 * math.exp(distance - (variance + distance) * math.log1p(distance / variance)))
