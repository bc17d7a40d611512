"""The importance weights of a log: their moments exactly, the largest of them, and how they are spread."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from simulations.columns.exact import Floats, number
from simulations.columns.moments import Moments
from simulations.diagnostics.diagnosis import Bar
from simulations.diagnostics.tail import pareto_k

#: So many of the largest weights are kept, enough for the tail of 100,000 rounds.
KEPT = 1_000
_TOP = 10
#: Powers of two; smaller and larger weights count with the outermost.
_LOWEST, _HIGHEST = -20, 40
_BARS = _HIGHEST - _LOWEST + 1


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """Exact whatever the order: `a + b` equals the weights of all rounds at once."""

    #: Of weight and weight times reward.
    moments: Moments = Moments.none(2)
    #: The largest weights, each with its weight times reward, falling.
    largest: tuple[tuple[float, float], ...] = ()
    #: Weights of zero; weights in [2^e, 2^(e+1)) for each e.
    counts: tuple[int, ...] = (0,) * (1 + _BARS)

    @classmethod
    def of(cls, weight: Floats, reward: Floats) -> Weights:
        """Of rounds (n,)."""
        earned = weight * reward
        top = np.lexsort((-earned, -weight))[:KEPT]
        exponent = np.clip(np.frexp(weight)[1] - 1, _LOWEST, _HIGHEST) - _LOWEST + 1
        counts = np.bincount(np.where(weight == 0.0, 0, exponent), minlength=1 + _BARS)
        return cls(
            moments=Moments.of([weight, earned]),
            largest=tuple(zip(weight[top].tolist(), earned[top].tolist(), strict=True)),
            counts=tuple(counts.tolist()),
        )

    def __add__(self, other: Weights) -> Weights:
        """Of the rounds of both."""
        return Weights(
            moments=self.moments + other.moments,
            largest=tuple(sorted(self.largest + other.largest, reverse=True)[:KEPT]),
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
        )

    @property
    def effective_sample_size(self) -> float:
        """Kish 1965, Survey Sampling: (sum of weights)^2 / sum of squared weights; 0 where all are zero."""
        squares = number(self.moments.products[0])
        return number(self.moments.sums[0]) ** 2 / squares if squares else 0.0

    @property
    def largest_weight(self) -> float:
        """0 without rounds."""
        return self.largest[0][0] if self.largest else 0.0

    @property
    def top_ten_share(self) -> float | None:
        """Of the sum of weight times reward; None: that sum is zero."""
        whole = number(self.moments.sums[1])
        return math.fsum(earned for _, earned in self.largest[:_TOP]) / whole if whole else None

    @property
    def pareto_k(self) -> float | None:
        """See `tail.pareto_k`."""
        return pareto_k(np.array([weight for weight, _ in self.largest]), self.moments.count)

    @property
    def bars(self) -> list[Bar]:
        """From the first that is not empty to the last; zero weights apart, first."""
        bars = [Bar(low=0.0, high=0.0, count=self.counts[0])] if self.counts[0] else []
        filled = [index for index, count in enumerate(self.counts) if index and count]
        for index in range(filled[0], filled[-1] + 1) if filled else ():
            low = math.ldexp(1.0, index - 1 + _LOWEST)
            bars.append(Bar(low=low, high=2.0 * low, count=self.counts[index]))
        return bars
