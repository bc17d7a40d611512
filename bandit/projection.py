"""The distribution nearest to another that keeps floors and ceilings; nearest in Kullback-Leibler divergence.

It is clip(c * p, floor, ceiling) with one c for all actions, and one more for each segment that would leave
its own bounds. Found by fixing what breaks its bounds on the side that breaks them more, and sharing the rest
out again (the way in which CSS flexible boxes get their lengths, css-flexbox-1, 9.7): exact, in few passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import compress
from operator import gt, le, lt, not_, sub

from bandit.bounds import Bounds, Group

#: What a probability of 0 counts as where it has to grow.
_TINY = 1e-12
#: Sums of segments are taken as kept this near to their bounds.
_NEAR = 1e-12


def raised(pmf: list[float], floor: float) -> list[float]:
    """With no probability under the floor, which is 1 / len(pmf) at most; the same where there was none.

    >>> raised([0.7, 0.25, 0.05], 0.1)
    [0.6631578947368421, 0.2368421052631579, 0.1]
    """
    if min(pmf) >= floor:
        return pmf
    over, scale = pmf, 1.0
    while True:  # most decisions of a model that has learned much pass here, so it is not `_leveled`
        left = [p for p in over if p * scale > floor]
        if not left or len(left) == len(over):
            break
        over, scale = left, (1.0 - floor * (len(pmf) - len(left))) / math.fsum(left)
    return [max(floor, p * scale) for p in pmf]


def projected(pmf: list[float], bounds: Bounds) -> list[float]:
    """Within bounds that can hold together (`bounds.reconciled`); the same where it already is.

    >>> from bandit.bounds import Group
    >>> projected([0.5, 0.25, 0.25], Bounds([0.0] * 3, [1.0] * 3, [Group([1, 2], 0.75, 1.0)]))
    [0.25, 0.375, 0.375]
    """
    floors, ceilings, groups = bounds
    found = pmf
    if not _within(pmf, floors, ceilings):
        found = _leveled(pmf, floors, ceilings, 1.0)
    free, rest = list(range(len(pmf))), 1.0
    while fixed := _broken(found, groups):
        found = list(found)
        for group, total in fixed:
            _level(found, group.members, pmf, bounds, total)
            rest -= total
            free = sorted(set(free).difference(group.members))
        groups = [group for group in groups if group not in [one for one, _ in fixed]]
        _level(found, free, pmf, bounds, rest)
    return found


def _broken(pmf: Sequence[float], groups: Sequence[Group]) -> list[tuple[Group, float]]:
    """The segments on that side of their bounds which is broken more, and the bound of each."""
    low, high, lacking, excess = [], [], 0.0, 0.0
    for group in groups:
        total = math.fsum([pmf[i] for i in group.members])
        if total < group.floor - _NEAR:
            low.append((group, group.floor))
            lacking += group.floor - total
        elif total > group.ceiling + _NEAR:
            high.append((group, group.ceiling))
            excess += total - group.ceiling
    return low if lacking >= excess else high


def _level(
    found: list[float], members: Sequence[int], pmf: Sequence[float], bounds: Bounds, total: float
) -> None:
    """Share `total` out among these actions."""
    shares = _leveled(
        [pmf[i] for i in members],
        [bounds.floors[i] for i in members],
        [bounds.ceilings[i] for i in members],
        total,
    )
    _put(found, members, shares)


def _leveled(
    weights: Sequence[float], floors: Sequence[float], ceilings: Sequence[float], total: float
) -> list[float]:
    """clip(c * weight, floor, ceiling), with the c by which they sum to `total`."""
    weights = [weight if weight > _TINY else _TINY for weight in weights]
    found, places = [0.0] * len(weights), list(range(len(weights)))
    while places:
        scale = total / math.fsum(weights)
        scaled = [scale * weight for weight in weights]
        low, high = list(map(lt, scaled, floors)), list(map(gt, scaled, ceilings))
        if not (any(low) or any(high)):
            _put(found, places, scaled)
            break
        lacking = math.fsum(compress(map(sub, floors, scaled), low))
        excess = math.fsum(compress(map(sub, scaled, ceilings), high))
        broken, bounds = (low, floors) if lacking >= excess else (high, ceilings)
        fixed = list(compress(bounds, broken))
        _put(found, compress(places, broken), fixed)
        total -= math.fsum(fixed)
        free = list(map(not_, broken))
        places, weights = list(compress(places, free)), list(compress(weights, free))
        floors, ceilings = list(compress(floors, free)), list(compress(ceilings, free))
    return found


def _put(found: list[float], places: Iterable[int], shares: Iterable[float]) -> None:
    for place, share in zip(places, shares, strict=True):
        found[place] = share


def _within(pmf: Sequence[float], floors: Sequence[float], ceilings: Sequence[float]) -> bool:
    return all(map(le, floors, pmf)) and all(map(le, pmf, ceilings))
