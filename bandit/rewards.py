"""A bandit's reward definition: raw events -> one scalar. Order of arrival never matters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from bandit.types import KindRule, ReceivedEvent, RewardDefinition


def settle(
    definition: RewardDefinition, default: float, events: Iterable[ReceivedEvent], *, until: datetime
) -> float:
    """The reward of one decision: its counting events that occurred by `until`, aggregated and clipped.

    A correction counts whenever it occurred, in place of the event that it corrects. "First" and "last" go by
    `occurred_at`, ties by (source, event_id), so that the result depends on the set of events alone.
    Without a counting event it is `default`, clipped too.

    >>> from datetime import datetime, timezone
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
    >>> settle(RewardDefinition(), 0.25, [], until=noon)
    0.25
    """
    ordered = sorted(events, key=lambda e: (e.occurred_at, e.source, e.event_id))
    corrected = _corrected(ordered)
    values = [
        _contribution(definition.kinds[e.kind], e.value, corrected.get((e.source, e.event_id)))
        for e in ordered
        if e.corrects is None and e.kind in definition.kinds and e.occurred_at <= until
    ]
    low, high = definition.clip
    return min(max(_aggregate(definition, values) if values else default, low), high)


def scale(definition: RewardDefinition, reward: float) -> float:
    """A settled reward as a share of the clipping range, in [0, 1]: the unit in which models learn.

    >>> scale(RewardDefinition(clip=(-1.0, 3.0)), 1.0)
    0.5
    """
    low, high = definition.clip
    return min(max((reward - low) / (high - low), 0.0), 1.0)


def _corrected(ordered: Sequence[ReceivedEvent]) -> dict[tuple[str, str], float]:
    """The values that take the place of others, by (source, event_id); a correction may be corrected too."""
    corrects = {(e.source, e.event_id): e.corrects for e in ordered}
    values = {}
    for event in ordered:
        at, seen = event.event_id, set[str]()
        while (further := corrects.get((event.source, at))) is not None and at not in seen:
            seen.add(at)
            at = further
        if at != event.event_id:
            values[event.source, at] = event.value
    return values


def _contribution(rule: KindRule, value: float, corrected: float | None) -> float:
    """A corrected value counts even where the kind has a fixed one: or no such event could be taken back."""
    if corrected is not None:
        return rule.weight * corrected
    return rule.value if rule.value is not None else rule.weight * value


def _aggregate(definition: RewardDefinition, values: list[float]) -> float:
    match definition.aggregation:
        case "sum":
            return sum(values)
        case "first":
            return values[0]
        case "last":
            return values[-1]
        case "max":
            return max(values)
        case "min":
            return min(values)
        case "mean":
            return sum(values) / len(values)
