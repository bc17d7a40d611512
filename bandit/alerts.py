"""Use case: tell owners what they should look at, once, and take it back when it is over."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import structlog

from bandit import collapse
from bandit.db import alerts, bandits, training
from bandit.db.pool import Connection, Database
from bandit.db.training import LogEntry
from bandit.steering import Alert, AlertKind, Finding
from bandit.types import Bandit, Decision, Value

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
    await _judge(connection, bandit, [entry.decision for entry in entries], entries[-1].seq)


async def judge_again(connection: Connection, bandit_key: str) -> None:
    """Raise or clear alerts by the configuration in force, though nothing was settled.

    Only who learns for the bandit does it, in a transaction of its own.
    """
    bandit = await bandits.get(connection, bandit_key)
    await _judge(connection, bandit, [], await training.end(connection, bandit_key))


async def _judge(connection: Connection, bandit: Bandit, settled: Sequence[Decision], seq: int) -> None:
    state = await alerts.tallies(connection, bandit.bandit_key)
    tallies = msgspec.json.decode(state, type=collapse.Tallies) if state else collapse.Tallies()
    tallies = collapse.counted(tallies, bandit.config, settled)
    state = msgspec.json.encode(tallies)
    await alerts.save_tallies(connection, bandit.bandit_key, bandit.config_version, state)
    found = collapse.findings(tallies, bandit.config)
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
    _log.warning(
        event, bandit_key=bandit_key, kind=what.kind, target=what.target, value=what.value, bound=what.bound
    )


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
    """What happened, since when, and what to do, for the owner; or what was, from when to when.

    >>> from datetime import UTC, datetime
    >>> alert = Alert(alert=1, bandit_key="hero", kind="segment_share", target="two", value=0.004, bound=0.01,
    ...     seq=9_000, raised_at=datetime(2026, 7, 1, 12, tzinfo=UTC), cleared_at=None)
    >>> print(sentence(alert).partition(" UTC")[0])
    The share of segment 'two' while it is offered is 0.4 %, below 1 %, since 2026-07-01 12:00
    """
    what, do = _what(alert), _to_do(alert)
    value, bound = f"{100 * alert.value:.3g} %", f"{100 * alert.bound:.3g} %"
    since = f"{alert.raised_at:%Y-%m-%d %H:%M}"
    if alert.cleared_at is not None:
        usual = f"the usual {bound} of its range" if alert.kind == "drift" else bound
        until = f"{alert.cleared_at:%Y-%m-%d %H:%M}"
        return f"{what} was below {usual} from {since} to {until} UTC; last measured: {value}."
    if alert.kind == "drift":
        return f"{what} fell to {value} of its range, where {bound} was usual, since {since} UTC. {do}"
    return f"{what} is {value}, below {bound}, since {since} UTC. {do}"


def _what(alert: Alert) -> str:
    if alert.kind == "drift":
        return "The mean reward"
    if alert.kind == "entropy":
        return "The evenness of the choices"
    return f"The share of {alert.kind.removesuffix('_share')} {alert.target!r} while it is offered"


def _to_do(alert: Alert) -> str:
    if alert.kind == "drift":
        return "The world has changed: see what did; where it goes on changing, let the policy forget."
    if alert.kind == "entropy":
        return (
            "Nearly everybody gets the same. If one action is to win, lower alerts.entropy; else give floors "
            "or raise exploration_floor."
        )
    return f"Give it a floor if it is to be seen, disable it if not, or lower alerts.{alert.kind}."
