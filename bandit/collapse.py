"""Does an action or a segment sink out of sight? By their shares of the distributions that were drawn from.

Each is averaged over the decisions in which it was offered, `AlertBounds.decisions` of them at a time: what
is seldom offered is judged by its own offers, and what is new not before it had as many. So little has to be
remembered, and the same settled decisions in the same order always give the same. Pure.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from bandit.base import Value
from bandit.constraints import servable
from bandit.steering import AlertKind, Finding
from bandit.types import BanditConfig, Decision

#: An alert is over once the value is so many times the bound, so that it does not come and go at its edge.
CLEARED = 1.5


class Tally(Value, frozen=True, kw_only=True, array_like=True):
    """The share of one action or segment.

    >>> tally = Tally()
    >>> for share in (0.25, 0.75, 1.0):
    ...     tally = tally.add(share, length=2)
    >>> tally
    Tally(offers=1, total=1.0, mean=0.5)
    """

    #: Decisions in which it was offered, and the sum of its shares in them, since `mean` was last taken.
    offers: int = 0
    total: float = 0.0
    #: Over the last whole block of decisions; None: there was none yet.
    mean: float | None = None

    def add(self, share: float, *, length: int) -> Tally:
        """With one decision more in which it was offered; a block has `length` of them."""
        offers, total = self.offers + 1, self.total + share
        if offers >= length:
            return Tally(mean=total / offers)
        return Tally(offers=offers, total=total, mean=self.mean)


class Tallies(Value, frozen=True, kw_only=True):
    """All that is remembered of the settled decisions of a bandit."""

    #: By action_id, and by segment.
    actions: dict[str, Tally] = {}
    segments: dict[str, Tally] = {}


def counted(tallies: Tallies, config: BanditConfig, decisions: Iterable[Decision]) -> Tallies:
    """With more settled decisions, of which those of mode online count.

    What the configuration disables, kills or no longer has is forgotten: should it come back, it begins anew.
    """
    segment_of, length = _watched(config), config.alerts.decisions
    actions = {key: tally for key, tally in tallies.actions.items() if key in segment_of}
    segments = {key: tally for key, tally in tallies.segments.items() if key in segment_of.values()}
    for decision in decisions:
        if decision.mode != "online":
            continue
        together: defaultdict[str, float] = defaultdict(float)
        for action, probability in zip(decision.offered, decision.pmf, strict=True):
            key = action.action_id
            if key in segment_of:
                actions[key] = actions.get(key, Tally()).add(probability, length=length)
                if (segment := segment_of[key]) is not None:
                    together[segment] += probability
        for segment, share in together.items():
            segments[segment] = segments.get(segment, Tally()).add(share, length=length)
    return Tallies(actions=actions, segments=segments)


def findings(tallies: Tallies, config: BanditConfig) -> list[Finding]:
    """What the bounds of the configuration say of these; nothing of what has no whole block yet.

    Nothing either while no decision counts: paused, or in another mode than online.

    >>> from bandit.types import Action
    >>> config = BanditConfig(actions=[Action(action_id="a"), Action(action_id="b")])
    >>> tallies = Tallies(actions={"a": Tally(mean=0.999), "b": Tally(mean=0.001)})
    >>> [(one.kind, round(one.value, 3), one.alarming) for one in findings(tallies, config)]
    [('entropy', 0.011, True)]
    """
    if config.mode != "online" or config.paused:
        return []
    bounds, watched = config.alerts, _watched(config)
    shares = _means(tallies.actions, watched)
    segments = _means(tallies.segments, {segment for segment in watched.values() if segment is not None})
    found = [*_each("action_share", shares, bounds.action_share)]
    found += _each("segment_share", segments, bounds.segment_share)
    if bounds.entropy is not None and len(shares) > 1:
        found.append(_finding("entropy", "", _evenness(list(shares.values())), bounds.entropy))
    return found


def _watched(config: BanditConfig) -> dict[str, str | None]:
    """The segment of each catalogue action that can be served at all."""
    return {action.action_id: action.segment for action in servable(config)}


def _means(tallies: dict[str, Tally], watched: Iterable[str]) -> dict[str, float]:
    known = {key: tallies[key].mean for key in watched if key in tallies}
    return {key: mean for key, mean in known.items() if mean is not None}


def _each(kind: AlertKind, means: dict[str, float], bound: float | None) -> Iterator[Finding]:
    # One alone has all there is to have, or was offered beside what is not watched.
    if bound is not None and len(means) > 1:
        yield from (_finding(kind, target, mean, bound / len(means)) for target, mean in means.items())


def _finding(kind: AlertKind, target: str, value: float, bound: float) -> Finding:
    well = value >= min(CLEARED * bound, (1.0 + bound) / 2.0)
    alarming = True if value < bound else False if well else None
    return Finding(kind=kind, target=target, value=value, bound=bound, alarming=alarming)


def _evenness(shares: Sequence[float]) -> float:
    """Their entropy over that of equal shares; what is offered at times only counts as if it always was."""
    total = math.fsum(shares)
    parts = [share / total for share in shares if share > 0.0]
    return -math.fsum([part * math.log(part) for part in parts]) / math.log(len(shares))
