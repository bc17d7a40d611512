"""What a subject was shown before, as far as a configuration asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from bandit.steering import Exposure, Seen, window
from bandit.types import BanditConfig, Decision

#: So far back exposures are looked at, and so many of one subject: the newest.
DAYS, MOST = timedelta(days=30), 1_000


def counts(config: BanditConfig) -> bool:
    """Whether what subjects of this configuration are shown is counted, for limits on it.

    >>> from bandit.steering import Novelty
    >>> from bandit.types import Action
    >>> counts(BanditConfig(actions=[Action(action_id="a")], novelty=Novelty(share=0.1)))
    True
    """
    return config.novelty is not None or any(
        constraint.cap is not None or constraint.in_a_row is not None for constraint in config.constraints
    )


def seen(config: BanditConfig, exposures: Sequence[Exposure], decided_at: datetime) -> Seen | None:
    """What the configuration asks of these exposures of one subject, oldest first.

    An exposure is within a window of so many seconds if `decided_at` - seconds < at <= `decided_at`. None:
    the configuration asks nothing, or its policy does not choose (it is paused, or not online).

    >>> from bandit.steering import Cap, Constraint
    >>> from bandit.types import Action
    >>> cap = Constraint(name="twice an hour", cap=Cap(times=2, seconds=3600.0))
    >>> config = BanditConfig(actions=[Action(action_id="a"), Action(action_id="b")], constraints=[cap])
    >>> noon = datetime(2026, 1, 1, 12)
    >>> shown = [Exposure("a", "new", noon - timedelta(hours=hours)) for hours in (1, 0)]
    >>> found = seen(config, shown, noon)
    >>> found.actions, found.segments
    ({'3600': {'a': 1}}, {'3600': {'new': 1}})
    """
    if config.mode != "online" or config.paused or not counts(config):
        return None
    recent = [one for one in exposures[-MOST:] if decided_at - DAYS < one.at <= decided_at]
    actions, segments = {}, {}
    for seconds in _windows(config):
        since = decided_at - timedelta(seconds=seconds)
        within = [one for one in recent if one.at > since]
        actions[window(seconds)] = dict(Counter(one.action_id for one in within))
        segments[window(seconds)] = dict(Counter(one.segment for one in within if one.segment is not None))
    if all(constraint.in_a_row is None for constraint in config.constraints):
        return Seen(actions=actions, segments=segments)
    return Seen(
        actions=actions,
        segments=segments,
        action=_running([one.action_id for one in recent]),
        segment=_running([one.segment for one in recent]),
    )


def _windows(config: BanditConfig) -> list[float]:
    named: set[float] = {one.cap.seconds for one in config.constraints if one.cap is not None}
    return sorted(named if config.novelty is None else named | {config.novelty.seconds})


def _running(shown: Sequence[str | None]) -> tuple[str, int] | None:
    """What was shown last, and how often running."""
    if not shown or (last := shown[-1]) is None:
        return None
    return last, next((i for i, one in enumerate(reversed(shown)) if one != last), len(shown))


def of(decision: Decision, at: datetime) -> Exposure:
    """What its subject was shown by this decision at this time."""
    return Exposure(decision.action.action_id, decision.action.segment, at)
