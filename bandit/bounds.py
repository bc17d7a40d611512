"""Between what the probabilities of the offered actions, and of their segments, have to lie."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from bandit.types import Action, BanditConfig


class Group(NamedTuple):
    """The offered actions of a segment that has a floor or a ceiling as a whole."""

    members: list[int]
    floor: float
    ceiling: float


class Bounds(NamedTuple):
    """One floor and one ceiling per offered action, and of segments where they are bounded as a whole."""

    floors: list[float]
    ceilings: list[float]
    groups: list[Group]


class Limits:
    """The floors and ceilings of a configuration by what they are about."""

    def __init__(self, config: BanditConfig) -> None:
        self._exploration = config.exploration_floor
        self._newcomers = config.newcomers
        added = sorted((a.added_at, a.action_id) for a in config.actions if a.added_at is not None)
        #: When actions came to the catalogue, and which, in this order.
        self._arrivals = [added_at for added_at, _ in added]
        self._arrived = [action_id for _, action_id in added]
        self._floors: dict[str, float] = {}
        self._ceilings: dict[str, float] = {}
        self._segment_floors: dict[str, float] = {}
        self._segment_ceilings: dict[str, float] = {}
        self._floor, self._ceiling = 0.0, 1.0
        for each in config.constraints:
            if each.floor is not None:
                _raise(self._floors, each.actions, each.floor)
                _raise(self._segment_floors, each.segments, each.floor)
            if each.ceiling is not None:
                _lower(self._ceilings, each.actions, each.ceiling)
                _lower(self._segment_ceilings, each.segments, each.ceiling)
            if not (each.actions or each.segments):
                self._floor = max(self._floor, each.floor or 0.0)
                self._ceiling = min(self._ceiling, 1.0 if each.ceiling is None else each.ceiling)
        #: Whether anything but the exploration's floor was asked for.
        self.given = any(each.floor is not None or each.ceiling is not None for each in config.constraints)

    def asked(self, actions: Sequence[Action], exploration: float) -> Bounds:
        """What the configuration asks for, and this much for all together; it need not be possible."""
        least = max(exploration / len(actions), self._floor)
        most = self._ceiling
        members = defaultdict(list)
        for index, action in enumerate(actions):
            if action.segment in self._segment_floors or action.segment in self._segment_ceilings:
                members[action.segment].append(index)
        return Bounds(
            [max(least, self._floors.get(a.action_id, 0.0)) for a in actions],
            [min(most, self._ceilings.get(a.action_id, 1.0)) for a in actions],
            [
                Group(at, self._segment_floors.get(s, 0.0), self._segment_ceilings.get(s, 1.0))
                for s, at in members.items()
                if s is not None
            ],
        )

    def aged(self, decided_at: datetime) -> int:
        """How many of those that came to the catalogue later are no newcomers any more; they age in order."""
        if not self._arrivals:
            return 0
        return bisect_right(self._arrivals, decided_at - timedelta(seconds=self._newcomers.seconds))

    def asks(self, aged: int) -> bool:
        """Whether there is anything but the exploration's floor, once so many are no newcomers any more."""
        return self.given or aged < len(self._arrivals)

    def possible(self, actions: Sequence[Action], aged: int) -> Bounds | None:
        """What can be had of it over these actions, with newcomers; None: the exploration's floor alone.

        What cannot hold together gives way: floors to ceilings, ceilings that leave no room for 1 by the same
        factor, then floors that sum to more. Newcomers get of their share what room is left.
        """
        recent = set(self._arrived[aged:])
        new = [i for i, action in enumerate(actions) if action.action_id in recent] if recent else []
        if not self.given and not new:
            return None
        bounds = reconciled(self.asked(actions, self._exploration))
        if not new:
            return bounds
        share = min(self._newcomers.share / len(new), 1.0 / len(actions))
        return _with_newcomers(bounds, new, share)


def reconciled(bounds: Bounds) -> Bounds:
    """Bounds that can hold together; see `Limits.possible`.

    >>> reconciled(Bounds([1.0, 1.0], [1.0, 1.0], []))
    Bounds(floors=[0.5, 0.5], ceilings=[1.0, 1.0], groups=[])
    """
    ceilings = _roomy(bounds)
    floors = [min(floor, most) for floor, most in zip(bounds.floors, ceilings.ceilings, strict=True)]
    groups = []
    for members, floor, ceiling in ceilings.groups:
        total = math.fsum(floors[i] for i in members)
        if total > ceiling:
            for i in members:
                floors[i] *= ceiling / total
        most = min(ceiling, math.fsum(ceilings.ceilings[i] for i in members))
        groups.append(Group(members, min(floor, most), ceiling))
    total = max(1.0, lowest(Bounds(floors, ceilings.ceilings, groups)))
    return Bounds(
        [floor / total for floor in floors],
        ceilings.ceilings,
        [group._replace(floor=group.floor / total) for group in groups],
    )


def highest(bounds: Bounds) -> float:
    """The most that the ceilings leave room for."""
    totals = [min(g.ceiling, math.fsum(bounds.ceilings[i] for i in g.members)) for g in bounds.groups]
    return _sum(bounds.ceilings, totals, bounds.groups)


def lowest(bounds: Bounds) -> float:
    """The least that the floors take."""
    totals = [max(g.floor, math.fsum(bounds.floors[i] for i in g.members)) for g in bounds.groups]
    return _sum(bounds.floors, totals, bounds.groups)


def _roomy(bounds: Bounds) -> Bounds:
    """With ceilings that leave room for 1."""
    room = highest(bounds)
    if room >= 1.0:
        return bounds
    if room == 0.0:
        ceilings = [1.0] * len(bounds.ceilings)
        return Bounds(bounds.floors, ceilings, [g._replace(ceiling=1.0) for g in bounds.groups])
    return Bounds(
        bounds.floors,
        [most / room for most in bounds.ceilings],
        [group._replace(ceiling=group.ceiling / room) for group in bounds.groups],
    )


def _with_newcomers(bounds: Bounds, new: Sequence[int], share: float) -> Bounds:
    more = [0.0] * len(bounds.floors)
    for i in new:
        more[i] = max(0.0, min(share, bounds.ceilings[i]) - bounds.floors[i])
    for members, _, ceiling in bounds.groups:
        wanted = math.fsum(more[i] for i in members)
        room = max(0.0, ceiling - math.fsum(bounds.floors[i] for i in members))
        if wanted > room:
            for i in members:
                more[i] *= room / wanted
    wanted, room = math.fsum(more), max(0.0, 1.0 - lowest(bounds))
    part = room / wanted if wanted > room else 1.0
    return bounds._replace(
        floors=[floor + part * one for floor, one in zip(bounds.floors, more, strict=True)]
    )


def _sum(alone: Sequence[float], totals: Sequence[float], groups: Sequence[Group]) -> float:
    """Of the groups' totals, and of what stands outside them."""
    if not groups:
        return math.fsum(alone)
    inside = {i for group in groups for i in group.members}
    return math.fsum([*totals, *(value for i, value in enumerate(alone) if i not in inside)])


def _raise(floors: dict[str, float], names: Sequence[str], floor: float) -> None:
    for name in names:
        floors[name] = max(floor, floors.get(name, 0.0))


def _lower(ceilings: dict[str, float], names: Sequence[str], ceiling: float) -> None:
    for name in names:
        ceilings[name] = min(ceiling, ceilings.get(name, 1.0))
