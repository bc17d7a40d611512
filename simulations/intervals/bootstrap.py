"""A bootstrap of any estimator: subjects are resampled, and the estimate is made anew from each resample.

Subjects are put by their hash into a fixed number of buckets, each wholly into one, and buckets are
resampled. So rounds of one subject stay together, ratios are normalized anew, and memory is constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from simulations.columns.exact import Floats, exact_sums_by, number
from simulations.columns.parallel import by_blocks
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Estimator
from simulations.intervals import Interval

#: A power of two; with fewer, intervals are a little narrower than they should be.
BUCKETS = 1_024
#: Numbers other than those that a simulation with the same seed has used.
_STREAM = 1979


class Buckets(msgspec.Struct, frozen=True, kw_only=True):
    """What a bootstrap needs of the rounds that an estimator has seen; `a + b` has seen the rounds of both.

    A round's bucket is chosen by `Rounds.subject`; without, by its `draw`; without that, rounds take turns
    (and then only what is seen at once is the same however the log is cut).

    >>> from simulations.estimators.ips import IPS
    >>> rounds = Rounds(reward=np.array([1.0, 0.0]), probability=np.ones(2), target_probability=np.ones(2))
    >>> Buckets.of(IPS(), rounds).value
    0.5
    """

    estimator: Estimator
    #: Rounds of each bucket.
    counts: tuple[int, ...]
    #: For each column an exact sum per bucket, in units of 2**-1074.
    sums: tuple[tuple[int, ...], ...]

    @classmethod
    def start(cls, estimator: Estimator) -> Buckets:
        """Nothing seen yet."""
        nothing = (0,) * BUCKETS
        return cls(estimator=estimator, counts=nothing, sums=(nothing,) * estimator.size)

    @classmethod
    def of(cls, estimator: Estimator, rounds: Rounds) -> Buckets:
        """These rounds seen."""
        return cls.of_columns(estimator, estimator.columns(rounds), rounds)

    @classmethod
    def of_columns(cls, estimator: Estimator, columns: Sequence[Floats], rounds: Rounds) -> Buckets:
        """These rounds seen, of which the estimator's columns (n,) were made already, as for a difference."""
        bucket = _bucket(rounds)

        def see(rows: slice) -> Buckets:
            counts = np.bincount(bucket[rows], minlength=BUCKETS).tolist()
            sums = tuple(tuple(exact_sums_by(bucket[rows], BUCKETS, column[rows])) for column in columns)
            return cls(estimator=estimator, counts=tuple(counts), sums=sums)

        return sum(by_blocks(see, len(rounds)), cls.start(estimator))

    def __add__(self, other: Buckets) -> Buckets:
        """Both seen.

        Raises:
            ValueError: the estimators differ.
        """
        if self.estimator != other.estimator:
            raise ValueError(f"expected two states of {self.estimator}, got one of {other.estimator}")
        return Buckets(
            estimator=self.estimator,
            counts=_add(self.counts, other.counts),
            sums=tuple(map(_add, self.sums, other.sums)),
        )

    @property
    def value(self) -> float:
        """The estimate."""
        counts, sums = self.used
        means = sums.sum(axis=0) / counts.sum() if len(counts) else np.full(self.estimator.size, np.nan)
        return self.estimator.value(means)

    @property
    def totals(self) -> tuple[Floats, Floats]:
        """Counts (`BUCKETS`,) and sums (`BUCKETS`, c) of all buckets."""
        sums = np.array([[number(total) for total in column] for column in self.sums]).T
        return np.array(self.counts, dtype=np.float64), sums

    @property
    def used(self) -> tuple[Floats, Floats]:
        """Counts (b,) and sums (b, c) of the buckets that have rounds."""
        counts, sums = self.totals
        return counts[counts > 0], sums[counts > 0]


def bootstrap(
    buckets: Buckets,
    *,
    level: float = 0.95,
    resamples: int = 1_000,
    seed: int = 1,
    kind: Literal["studentized", "bca", "percentile"] = "studentized",
) -> Interval:
    """An interval from so many resamples; the whole line where nothing can be said, as from one bucket.

    `studentized` (Hall 1988, Ann. Stat. 16) measures each resample in its own standard errors. It covers .955
    to .97 for a nominal .95 at reward rates of .01 to .5 (tests/statistical/test_bootstrap.py), where `bca`
    (Efron 1987, JASA 82) covers from .93 and `percentile` from .875; these are narrower where rewards are
    rare.
    """
    counts, sums = buckets.used
    if len(counts) < 2:
        return Interval(low=-math.inf, high=math.inf, level=level)
    estimate, errors = _estimates(buckets.estimator, counts, sums, np.ones((1, len(counts))))
    times = _times(len(counts), resamples, seed)
    found, their_errors = _estimates(buckets.estimator, counts, sums, times)
    tail = (1.0 - level) / 2.0
    if kind == "studentized":
        with np.errstate(divide="ignore", invalid="ignore"):
            away = (found - estimate[0]) / their_errors
        low, high = estimate[0] - errors[0] * _quantiles(away, tail, 1.0 - tail)[::-1]
    elif kind == "bca":
        tails = _corrected(found, estimate[0], _influence(buckets.estimator, counts, sums), level)
        low, high = _quantiles(found, *tails)
    else:
        low, high = _quantiles(found, tail, 1.0 - tail)
    if math.isnan(low) or math.isnan(high):
        return Interval(low=-math.inf, high=math.inf, level=level)
    return Interval(low=float(low), high=float(high), level=level)


def _times(count: int, resamples: int, seed: int) -> Floats:
    """How often each of `count` things is drawn in each resample (r, count)."""
    drawn = np.random.default_rng([seed, _STREAM]).multinomial(count, np.full(count, 1.0 / count), resamples)
    return drawn.astype(np.float64)


def _estimates(estimator: Estimator, counts: Floats, sums: Floats, times: Floats) -> tuple[Floats, Floats]:
    """Estimates and standard errors (r,) where each bucket is seen so many `times` (r, b)."""
    totals = times @ counts
    means = times @ sums / totals[:, None]
    gradients = np.array([estimator.gradient(of) for of in means])
    away = gradients @ sums.T - np.einsum("rc,rc->r", gradients, means)[:, None] * counts
    errors = np.sqrt(np.einsum("rb,rb->r", times, away**2) * len(counts) / (len(counts) - 1)) / totals
    return np.array([estimator.value(of) for of in means]), errors


def _influence(estimator: Estimator, counts: Floats, sums: Floats) -> Floats:
    """How each bucket moves the estimate (b,), up to a factor."""
    means = sums.sum(axis=0) / counts.sum()
    gradient = estimator.gradient(means)
    return np.asarray(sums @ gradient - gradient @ means * counts)


def _corrected(found: Floats, estimate: float, influence: Floats, level: float) -> tuple[float, float]:
    """The tails that correct for bias and acceleration (Efron 1987, equation 2.3)."""
    below = np.mean(found < estimate) + np.mean(found == estimate) / 2.0
    spread = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6.0 * spread**1.5) if spread else 0.0
    bias, point = ndtri(below), ndtri((1.0 - level) / 2.0)
    low, high = (bias + (bias + z) / (1.0 - acceleration * (bias + z)) for z in (point, -point))
    return float(ndtr(low)), float(ndtr(high))


def _quantiles(values: Floats, low: float, high: float) -> Floats:
    """Two quantiles; values that are not defined count as the farthest off."""
    if not 0.0 <= low <= high <= 1.0:
        return np.array([-np.inf, np.inf])
    below, above = (np.where(np.isnan(values), end, values) for end in (-np.inf, np.inf))
    return np.array(
        [np.quantile(below, low, method="inverted_cdf"), np.quantile(above, high, method="inverted_cdf")]
    )


def _bucket(rounds: Rounds) -> npt.NDArray[np.int64]:
    if rounds.subject is not None:
        return (rounds.subject % np.uint64(BUCKETS)).astype(np.int64)
    if rounds.draw is not None:
        return (rounds.draw * BUCKETS).astype(np.int64)
    return np.arange(len(rounds)) % BUCKETS


def _add(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))
