"""Choosing the limit of an estimator by the data, and never without the doubly robust estimate beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from scipy.special import ndtri

from simulations.estimators.contract import Running
from simulations.intervals import Interval
from simulations.intervals.delta import Spread

#: From the least biased to the one that varies least.
LIMITS = (10_000.0, 1_000.0, 500.0, 100.0, 50.0, 10.0, 5.0, 2.0, 1.0)


class Tuned(msgspec.Struct, frozen=True, kw_only=True):
    """A tuned estimate, and the untuned doubly robust one that it is to be read with."""

    #: "slope" or "pas-if".
    method: str
    chosen: Running
    untuned: Running
    #: Covers the policy's value and what the chosen estimator estimates, whichever was chosen: it holds the
    #: untuned interval, for a limit biases by an amount that only the untuned estimate can tell, and the
    #: chosen one's at a level that allows for the number of candidates.
    interval: Interval
    untuned_interval: Interval


def tuned(
    method: str,
    candidates: Sequence[Running],
    chosen: int,
    untuned: Running,
    untuned_interval: Interval | None = None,
    *,
    level: float = 0.95,
    spread: Spread | None = None,
) -> Tuned:
    """The chosen one of some candidates with an interval that allows for the choice.

    `untuned_interval` is of `untuned`, at `level`; None: by the delta method, which rewards must not be too
    rare for. `spread`: of the chosen one, where its rounds are not independent.
    """
    of_chosen = around(candidates[chosen], 1.0 - (1.0 - level) / len(candidates), spread)
    of_untuned = untuned_interval or around(untuned, level)
    return Tuned(
        method=method,
        chosen=candidates[chosen],
        untuned=untuned,
        interval=Interval(
            low=min(of_chosen.low, of_untuned.low), high=max(of_chosen.high, of_untuned.high), level=level
        ),
        untuned_interval=of_untuned,
    )


def around(seen: Running, level: float, spread: Spread | None = None) -> Interval:
    """By the delta method; the whole line where nothing is known."""
    normal = -float(ndtri((1.0 - level) / 2.0))
    half = spread.half_width(level) if spread else normal * seen.standard_error
    if math.isnan(half):
        return Interval(low=-math.inf, high=math.inf, level=level)
    return Interval(low=seen.value - half, high=seen.value + half, level=level)
