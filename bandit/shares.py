"""How a policy's distribution is reshaped before the draw: boosts, novelty, floors, ceilings. pmf -> pmf.

Floors and ceilings move it to the nearest distribution (in Kullback-Leibler divergence) that keeps them: what
lies between its bounds keeps its proportions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from operator import is_
from typing import NamedTuple

from bandit import projection
from bandit.bounds import Bounds, Limits
from bandit.situation import Situation
from bandit.steering import LEAST_BOOST, MOST_BOOST, Boost, Novelty, Seen, window
from bandit.types import Action, BanditConfig, Features


class Shaped(NamedTuple):
    """What is drawn from."""

    #: One probability per action, summing to 1 within 1e-9.
    pmf: list[float]
    #: The same without boosts; None: there were none, or they moved nothing.
    unboosted: list[float] | None


def shaped(
    config: BanditConfig,
    actions: Sequence[Action],
    pmf: list[float],
    context: Features,
    decided_at: datetime,
    seen: Seen | None,
    situation: Situation | None = None,
) -> Shaped:
    """The policy's distribution over these actions as the configuration wants it, for this context now.

    `situation`: that context and moment, where others have asked it before.

    First boosts, then novelty, then floors and ceilings, which hold whatever came before. What already is as
    it is wanted comes back as it was, bit by bit.

    >>> config = BanditConfig(actions=[Action(action_id="a"), Action(action_id="b")], exploration_floor=0.2)
    >>> shaped(config, config.actions, [1.0, 0.0], {}, datetime.fromisoformat("2026-07-01T12:00:00Z"), None)
    Shaped(pmf=[0.9, 0.1], unboosted=None)
    """
    known = _compiled(config)
    about, bounds = known.of(actions, decided_at)
    factors = None
    if config.boosts:
        situation = situation or Situation(config.time_zone, context, decided_at)
        factors = _factors(config.boosts, about, situation)
    unboosted = _shaped(config, actions, pmf, bounds, seen)
    if factors is None or len(set(factors)) == 1:
        return Shaped(unboosted, None)
    boosted = [p * factor for p, factor in zip(pmf, factors, strict=True)]
    total = math.fsum(boosted)
    found = _shaped(config, actions, [p / total for p in boosted], bounds, seen)
    return Shaped(found, None if found == unboosted else unboosted)


def _shaped(
    config: BanditConfig,
    actions: Sequence[Action],
    pmf: list[float],
    bounds: Bounds | None,
    seen: Seen | None,
) -> list[float]:
    """By novelty, floors and ceilings."""
    if config.novelty is not None and seen is not None:
        pmf = _with_novelty(pmf, _new(config.novelty, actions, seen), config.novelty.share)
    if bounds is None:
        return projection.raised(pmf, config.exploration_floor / len(pmf))
    return projection.projected(pmf, bounds)


def _new(novelty: Novelty, actions: Sequence[Action], seen: Seen) -> list[bool]:
    """Whether the subject was not shown each of them, or anything of its segment."""
    key = window(novelty.seconds)
    if novelty.by == "action":
        shown = seen.actions.get(key, {})
        return [action.action_id not in shown for action in actions]
    shown = seen.segments.get(key, {})
    return [action.segment is not None and action.segment not in shown for action in actions]


def _with_novelty(pmf: list[float], new: Sequence[bool], share: float) -> list[float]:
    """Mixed with what it is over the new actions alone, until these have their share."""
    mass = math.fsum([p for p, is_new in zip(pmf, new, strict=True) if is_new])
    if mass >= share or not any(new) or all(new):
        return pmf
    weight = (share - mass) / (1.0 - mass)
    if mass > 0.0:
        alone = [p / mass if is_new else 0.0 for p, is_new in zip(pmf, new, strict=True)]
    else:
        alone = [1.0 / sum(new) if is_new else 0.0 for is_new in new]
    return [(1.0 - weight) * p + weight * one for p, one in zip(pmf, alone, strict=True)]


class _Known(NamedTuple):
    """What holds for actions whatever their policy and context say."""

    #: For each action which boosts are about it, by their places in the configuration; empty: there are none.
    about: list[tuple[int, ...]]
    bounds: Bounds | None


class _Last(NamedTuple):
    """What was asked last, and what came of it."""

    actions: list[Action]
    aged: int
    known: _Known


_NOTHING = _Known([], None)


class _Compiled:
    """A configuration's limits, and its boosts by what they are about, so that a decision looks them up."""

    def __init__(self, config: BanditConfig) -> None:
        self._limits = Limits(config)
        self._boosted = bool(config.boosts)
        #: Only the exploration's floor holds, now and later.
        self._plain = not self._boosted and not self._limits.asks(aged=0)
        self._of_action = _indexed([boost.actions for boost in config.boosts])
        self._of_segment = _indexed([boost.segments for boost in config.boosts])
        self._of_all = [i for i, boost in enumerate(config.boosts) if not (boost.actions or boost.segments)]
        self._last: _Last | None = None

    def of(self, actions: Sequence[Action], decided_at: datetime) -> _Known:
        """Remembered until other actions are offered, or a newcomer is none any more."""
        if self._plain:
            return _NOTHING
        aged = self._limits.aged(decided_at)
        if not (self._boosted or self._limits.asks(aged)):
            return _NOTHING
        last = self._last
        if last is None or last.aged != aged or not _same(last.actions, actions):
            about = [self._boosts(action) for action in actions] if self._boosted else []
            known = _Known(about, self._limits.possible(actions, aged))
            last = self._last = _Last(list(actions), aged, known)
        return last.known

    def _boosts(self, action: Action) -> tuple[int, ...]:
        """Each once, though it may name both the action and its segment, and in their order."""
        named = self._of_action.get(action.action_id, ())
        grouped = self._of_segment.get(action.segment, ()) if action.segment is not None else ()
        return tuple(sorted({*named, *grouped, *self._of_all}))


def _same(some: Sequence[Action], others: Sequence[Action]) -> bool:
    return len(some) == len(others) and all(map(is_, some, others))


def _factors(
    boosts: Sequence[Boost], about: Sequence[tuple[int, ...]], situation: Situation
) -> list[float] | None:
    """What each action's probability is multiplied by; None: no boost is about any of them now."""
    applied = {
        index: boost.multiplier
        for index, boost in enumerate(boosts)
        if boost.multiplier != 1.0 and situation.fits(boost.schedule, boost.if_)
    }
    different = set(about)
    if applied.keys().isdisjoint(chain.from_iterable(different)):
        return None
    factor = {each: _product([applied[i] for i in each if i in applied]) for each in different}
    return [factor[each] for each in about]


def _compiled(config: BanditConfig) -> _Compiled:
    """Remembered with the configuration, which serves many decisions."""
    found: _Compiled | None = config.__dict__.get("shares")
    if found is None:
        found = config.__dict__["shares"] = _Compiled(config)
    return found


def _indexed(names: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index, each in enumerate(names):
        for name in each:
            found.setdefault(name, []).append(index)
    return found


def _product(multipliers: Sequence[float]) -> float:
    return min(max(math.prod(multipliers), LEAST_BOOST), MOST_BOOST)
