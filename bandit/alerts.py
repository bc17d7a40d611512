"""Use case: tell owners what they should look at, once, and take it back when it is over."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import structlog

from bandit import afterwards, collapse
from bandit.db import alerts, bandits
from bandit.db.pool import Connection, Database
from bandit.db.training import LogEntry
from bandit.steering import Alert, AlertKind, Finding
from bandit.types import Bandit, Value

_log = structlog.get_logger()
#: Those of which `collapse` says all there is to say.
_COLLAPSE: tuple[AlertKind, ...] = ("action_share", "segment_share", "entropy")


class Alerts(Value, frozen=True, kw_only=True):
    """The alerts of a bandit, each newest first."""

    bandit_key: str
    open: list[Alert]
    #: Some of those that were cleared.
    past: list[Alert]


async def watch(connection: Connection, bandit: Bandit, entries: Sequence[LogEntry]) -> None:
    """Count newly settled decisions, in the transaction that settles them, and raise or clear alerts."""
    state = await alerts.tallies(connection, bandit.bandit_key)
    tallies = msgspec.json.decode(state, type=collapse.Tallies) if state else collapse.Tallies()
    tallies = collapse.counted(tallies, bandit.config, [entry.decision for entry in entries])
    await alerts.save_tallies(connection, bandit.bandit_key, msgspec.json.encode(tallies))
    found = collapse.findings(tallies, bandit.config)
    seq = entries[-1].seq
    await report(connection, bandit.bandit_key, seq, _COLLAPSE, found)
    old = seq - bandit.config.alerts.decisions
    for alert in await alerts.clear_unrenewed(connection, bandit.bandit_key, "drift", old):
        _say("alert cleared", bandit.bandit_key, alert)


async def drifted(connection: Connection, bandit_key: str, seq: int, *, before: float, after: float) -> None:
    """Rewards, scaled to [0, 1], were found at line `seq` of the log to have fallen without a cause we know.

    The alert is over once `AlertBounds.decisions` were settled without another one.
    """
    found = Finding(kind="drift", value=after, bound=before, alarming=True)
    await report(connection, bandit_key, seq, ["drift"], [found])


async def report(
    connection: Connection,
    bandit_key: str,
    seq: int,
    kinds: Collection[AlertKind],
    found: Sequence[Finding],
) -> None:
    """Raise, keep up to date and clear the bandit's alerts of these kinds by what was found up to line `seq`.

    An open one of which nothing was found any more is cleared: it is no longer watched.
    """
    held = [alert for alert in await alerts.opened(connection, bandit_key) if alert.kind in kinds]
    unheard = {(alert.kind, alert.target): alert for alert in held}
    for one in found:
        alert = unheard.pop((one.kind, one.target), None)
        if alert is None and one.alarming:
            await alerts.raise_(connection, bandit_key, seq, one)
            _say("alert raised", bandit_key, one)
        elif alert is not None and one.alarming is False:
            await alerts.update(connection, alert, seq, one)
            _say("alert cleared", bandit_key, one)
        elif alert is not None and (one.value, one.bound) != (alert.value, alert.bound):
            await alerts.update(connection, alert, seq, one)
    for alert in unheard.values():
        await alerts.clear(connection, alert)
        _say("alert cleared", bandit_key, alert)


def _say(event: str, bandit_key: str, what: Finding | Alert) -> None:
    afterwards.do(
        _log.warning, event,
        bandit_key=bandit_key, kind=what.kind, target=what.target, value=what.value, bound=what.bound,
    )  # fmt: skip


async def of_bandit(
    database: Database, bandit_key: str, *, before: int | None = None, limit: int = 100
) -> Alerts:
    """The bandit's open alerts, and up to `limit` past ones under `before`.

    Raises:
        NotFoundError: no such bandit.
    """
    async with database.snapshot() as connection:
        await bandits.get(connection, bandit_key)
        return Alerts(
            bandit_key=bandit_key,
            open=await alerts.opened(connection, bandit_key),
            past=await alerts.past(connection, bandit_key, before=before, limit=limit),
        )


async def all_open(database: Database) -> list[Alert]:
    """The open alerts of all bandits in service, newest first."""
    async with database.connection() as connection:
        return await alerts.opened(connection)


def sentence(alert: Alert) -> str:
    """What happened, since when, and what to do, for the owner."""
    value, bound = f"{alert.value:.3g}", f"{alert.bound:.3g}"
    if alert.kind == "entropy":
        what = f"The choices became one-sided: their evenness is {value}, below {bound}"
        do = "If one action is to win, lower alerts.entropy; else give floors or raise exploration_floor."
    elif alert.kind == "drift":
        what = f"Rewards fell to {value} of their range, where {bound} was usual: the world has changed"
        do = "See what changed; where it goes on changing, let the policy forget."
    else:
        kind = alert.kind.removesuffix("_share")
        what = f"The share of {kind} {alert.target!r} while it is offered is {value}, below {bound}"
        do = f"Give it a floor if it is to be seen, disable it if not, or lower alerts.{alert.kind}."
    since = f"{alert.raised_at:%Y-%m-%d %H:%M}"
    if alert.cleared_at is None:
        return f"{what}, since {since} UTC. {do}"
    return f"{what}, from {since} to {alert.cleared_at:%Y-%m-%d %H:%M} UTC; that is over."
