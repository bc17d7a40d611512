"""What a subject was shown before, as far as a configuration asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

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
    asked = _asked(config)
    return bool(asked.windows) or asked.running


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
    asked = _asked(config)
    if config.mode != "online" or config.paused or not counts(config):
        return None
    recent = [one for one in exposures[-MOST:] if decided_at - DAYS < one.at <= decided_at]
    actions, segments = {}, {}
    for name, length in asked.windows.items():
        within = [one for one in recent if one.at > decided_at - length]
        actions[name] = dict(Counter(one.action_id for one in within))
        segments[name] = dict(Counter(one.segment for one in within if one.segment is not None))
    return Seen(
        actions=actions,
        segments=segments,
        action=_running([one.action_id for one in recent]) if asked.running else None,
        segment=_running([one.segment for one in recent]) if asked.running else None,
    )


def of(decision: Decision, at: datetime) -> Exposure:
    """What its subject was shown by this decision at this time."""
    return Exposure(decision.action.action_id, decision.action.segment, at)


class _Asked(NamedTuple):
    """What a configuration asks about exposures."""

    #: By their names in `Seen`.
    windows: dict[str, timedelta]
    #: Whether it asks what came last, and how often running.
    running: bool


def _asked(config: BanditConfig) -> _Asked:
    """Remembered with the configuration, which serves many decisions."""
    found: _Asked | None = config.__dict__.get("exposures")
    if found is None:
        seconds = {one.cap.seconds for one in config.constraints if one.cap is not None}
        if config.novelty is not None:
            seconds.add(config.novelty.seconds)
        windows = {window(each): timedelta(seconds=each) for each in sorted(seconds)}
        running = any(one.in_a_row is not None for one in config.constraints)
        found = config.__dict__["exposures"] = _Asked(windows, running)
    return found


def _running(shown: Sequence[str | None]) -> tuple[str, int] | None:
    """What was shown last, and how often running."""
    if not shown or (last := shown[-1]) is None:
        return None
    return last, next((i for i, one in enumerate(reversed(shown)) if one != last), len(shown))
