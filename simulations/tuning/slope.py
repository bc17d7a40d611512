"""SLOPE (Su, Srinath & Krishnamurthy 2020, ICML): the last candidate that agrees with all less biased."""

from __future__ import annotations

import math
from collections.abc import Sequence

from simulations.estimators.contract import Running
from simulations.intervals import Interval
from simulations.intervals.delta import Spread
from simulations.tuning import Tuned, around, tuned


def slope(
    candidates: Sequence[Running],
    untuned: Running,
    untuned_interval: Interval | None = None,
    *,
    level: float = 0.95,
    spreads: Sequence[Spread | None] = (),
) -> Tuned:
    """Tuned by states of one family of estimators that saw the same rounds, so in one pass of any log.

    Candidates (one or more) are in order of their settings, the least biased first. The last is chosen that
    agrees with all before it, each known up to an interval at a level that allows for their number. For
    `untuned_interval` see `tuned`; `spreads`: of each candidate, where rounds are not independent.

    >>> import numpy as np
    >>> from simulations.estimators.contract import run
    >>> from simulations.estimators.named import estimator
    >>> from simulations.columns.rounds import Rounds
    >>> rounds = Rounds(reward=np.array([1.0, 0.0] * 50), probability=np.full(100, 0.5),
    ...                 target_probability=np.full(100, 0.5))
    >>> states = run([estimator(f"clipped_ips:limit={limit}") for limit in (100, 10, 1)], rounds)
    >>> slope(states, states[0]).chosen.estimator.name
    'clipped_ips(limit=1)'
    """
    spreads = spreads or [None] * len(candidates)
    chosen = _chosen(candidates, spreads, level)
    return tuned("slope", candidates, chosen, untuned, untuned_interval, level=level, spread=spreads[chosen])


def _chosen(candidates: Sequence[Running], spreads: Sequence[Spread | None], level: float) -> int:
    """Equation 3 of the paper: the largest index that is compatible with all smaller ones."""
    corrected = 1.0 - (1.0 - level) / len(candidates)
    known = [
        (seen.value, _half_width(seen, corrected, spread))
        for seen, spread in zip(candidates, spreads, strict=True)
    ]
    for index, (value, width) in enumerate(known):
        if any(abs(value - other) > width + (math.sqrt(6.0) - 1.0) * wider for other, wider in known[:index]):
            return index - 1
    return len(candidates) - 1


def _half_width(seen: Running, level: float, spread: Spread | None) -> float:
    interval = around(seen, level, spread)
    return (interval.high - interval.low) / 2.0
