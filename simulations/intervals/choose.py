"""Which interval is presented: chosen by how many rewards there are, never by what they say.

Where the rewards that count are worth fewer than `ENOUGH` equal ones, their part of the estimate is taken as
a weighted sum of rare events (`gamma`), once for what raised the estimate and once for what lowered it; the
distances of both are joined with the normal spread of the rest by the method of variance estimates recovery
(Zou & Donner 2008, Statistics in Medicine 27, 1693-1702). Otherwise by the delta method. Measured in
docs/intervals.md.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Protocol

from simulations.estimators.contract import Running
from simulations.intervals import Interval, check_level, nothing_known
from simulations.intervals.delta import Spread, delta
from simulations.intervals.gamma import effective_count, jeffreys, mid_p
from simulations.intervals.rewarded import MANY, Rewarded, Side


class Form(Protocol):
    """`mid_p` or `jeffreys`."""

    def __call__(self, total: float, squares: float, step: float, *, level: float) -> tuple[float, float]:
        """See there."""
        ...


#: From so many equal rewards on, the delta method covers as well, and is symmetric as the normal is.
ENOUGH = 200.0
#: A variance as small, beside that of the rewards' part, is none: the same reward came in every round.
_ROUNDING = 1e-12


def interval(
    running: Running, rewarded: Rewarded | None, *, level: float = 0.95, spread: Spread | None = None
) -> Interval:
    """The interval to present for what `running` estimates; `rewarded` has seen the same rounds.

    A value, or a difference (`paired`). Without `rewarded`: by the delta method. `spread`: another than
    that of independent rounds, such as `clustered` gives.

    Raises:
        InvalidInputError: `level` not in (0, 1).

    >>> import numpy as np
    >>> from simulations.estimators.ips import IPS
    >>> from simulations.columns.rounds import Rounds
    >>> rounds = Rounds(reward=np.zeros(1000), probability=np.full(1000, 0.5),
    ...                 target_probability=np.full(1000, 0.5))
    >>> found = interval(Running.of(IPS(), rounds), Rewarded.of(IPS(), rounds))
    >>> found.low, round(found.high, 4), found.method  # no reward in a thousand: at most 3 in a thousand
    (0.0, 0.003, 'gamma')
    """
    check_level(level)
    by_delta = delta(running, level=level, spread=spread)
    # As a normal error that is as wide as Student's t: few subjects do not tell well how far they vary.
    normal = NormalDist().inv_cdf((1.0 + level) / 2.0)
    error = running.standard_error if spread is None else spread.half_width(level) / normal
    if running.count < 2 or not (math.isfinite(running.value) and math.isfinite(error)):
        return nothing_known(level)
    if rewarded is None or rewarded.count > MANY:
        return by_delta
    # Where subjects' rewards come in clumps, there are fewer events, each of more (the design effect).
    clump = max(error / running.standard_error, 1.0) ** 2 if running.standard_error else 1.0
    sides = rewarded.sides(running.estimator.gradient(running.moments.means))
    raised, lowered = (side.in_clumps(clump) for side in sides)
    if not raised.step and not lowered.step:  # no reward could have moved it
        known = error > 0.0 or rewarded.covered > 0  # two policies that agree wherever either has weight
        return by_delta if known else nothing_known(level)
    count = effective_count(raised.total + lowered.total, raised.squares + lowered.squares)
    varies = (error * running.count) ** 2 > _ROUNDING * (raised.squares + lowered.squares)
    if count >= ENOUGH and varies:
        return by_delta
    return _of_rare(running, raised, lowered, error if varies else 0.0, level)


def _of_rare(running: Running, raised: Side, lowered: Side, error: float, level: float) -> Interval:
    count, value = running.count, running.value
    # Joined, two mid-p forms would cover too often: .977 where Jeffreys' cover .966.
    form = jeffreys if raised.step and lowered.step else mid_p
    raised_below, raised_above = _distances(raised, form, level)
    lowered_below, lowered_above = _distances(lowered, form, level)
    below, above = math.hypot(raised_below, lowered_above), math.hypot(raised_above, lowered_below)
    own = raised.squares + lowered.squares
    rest = (error * count) ** 2 - own
    # A rest below 0: what else is in the estimate (its control variates) takes variance away.
    shrunk = math.sqrt(1.0 + rest / own) if own and rest < 0.0 < error else 1.0
    normal = NormalDist().inv_cdf((1.0 + level) / 2.0) * math.sqrt(max(rest, 0.0))
    return Interval(
        low=value - math.hypot(below * shrunk, normal) / count,
        high=value + math.hypot(above * shrunk, normal) / count,
        level=level,
        method="gamma",
    )


def _distances(side: Side, form: Form, level: float) -> tuple[float, float]:
    if not side.step:
        return 0.0, 0.0
    low, high = form(side.total, side.squares, side.step, level=level)
    return max(side.total - low, 0.0), max(high - side.total, 0.0)
