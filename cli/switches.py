"""`segbandit bandits pause`, `resume`, `kill`, `revive`, `archive` and `changes`: an owner's switches."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table

from api.body import convert
from bandit import catalogue, switches
from bandit.changes import Change
from bandit.db.pool import Database
from bandit.switches import Switched, Target
from bandit.types import Bandit
from cli.author import NOT_SAID, Who, Why, author
from cli.bandits import Key
from cli.service import DataDir, prepared, with_database
from cli.terminal import cells, visible

ActionId = Annotated[str | None, typer.Argument(help="The action's id.", show_default=False)]
Segment = Annotated[str | None, typer.Option(help="All actions of this segment instead.", show_default=False)]
#: Characters of a value, and names, that are shown at most.
_SHOWN, _NAMED = 60, 10
Limit = Annotated[int, typer.Option(help="How many changes to show, newest first.", min=1, max=1_000)]


def pause(bandit_key: Key, why: Why = NOT_SAID, who: Who = None, data_dir: DataDir = None) -> None:
    """Serve the baseline alone, with probability 1, until it is resumed. Rewards are learned on.

    Example: segbandit bandits pause hero --why "odd figures, looking into it"
    """
    by = author(who, why)
    bandit = with_database(prepared(data_dir), lambda db: switches.pause(db, bandit_key, by))
    typer.echo(
        f"{bandit_key} is paused: {visible(switches.baseline_served(bandit.config))} alone is served, "
        f"{_version(bandit)}."
    )
    warn(switches.warning(bandit.config))


def resume(bandit_key: Key, why: Why = NOT_SAID, who: Who = None, data_dir: DataDir = None) -> None:
    """End a pause.

    Example: segbandit bandits resume hero
    """
    by = author(who, why)
    bandit = with_database(prepared(data_dir), lambda db: switches.resume(db, bandit_key, by))
    typer.echo(f"{bandit_key} is in mode {bandit.config.mode} again, {_version(bandit)}.")


def kill(
    bandit_key: Key,
    action: ActionId = None,
    segment: Segment = None,
    why: Why = NOT_SAID,
    who: Who = None,
    data_dir: DataDir = None,
) -> None:
    """Never serve an action, or a segment, again, whoever brings it, until it is revived.

    Example: segbandit bandits kill hero summer --why "its page is broken"
    """
    target, by = _target(action, segment), author(who, why)
    switched = with_database(prepared(data_dir), lambda db: switches.kill(db, bandit_key, target, by))
    typer.echo(
        f"{visible(target.name)} is killed in {bandit_key}, {_version(switched.bandit)}. The baseline is "
        f"{visible(switched.baseline_served)}."
    )
    warn(switched.warning)
    _warn_of_unknown(switched, target)


def revive(
    bandit_key: Key,
    action: ActionId = None,
    segment: Segment = None,
    why: Why = NOT_SAID,
    who: Who = None,
    data_dir: DataDir = None,
) -> None:
    """Undo a kill.

    Example: segbandit bandits revive hero summer
    """
    target, by = _target(action, segment), author(who, why)
    switched = with_database(prepared(data_dir), lambda db: switches.revive(db, bandit_key, target, by))
    typer.echo(
        f"{visible(target.name)} is not killed in {bandit_key}, {_version(switched.bandit)}. The baseline is "
        f"{visible(switched.baseline_served)}."
    )
    warn(switched.warning)
    _warn_of_unknown(switched, target)


def archive(bandit_key: Key, why: Why = NOT_SAID, who: Who = None, data_dir: DataDir = None) -> None:
    """Take a bandit out of service for good. Its log and models stay; late rewards still settle.

    Example: segbandit bandits archive hero --why "the page is gone"
    """
    by = author(who, why)
    with_database(prepared(data_dir), lambda db: catalogue.archive(db, bandit_key, by))
    typer.echo(f"{bandit_key} is out of service: it makes no more decisions.")


def changes(bandit_key: Key, limit: Limit = 20, data_dir: DataDir = None) -> None:
    """Who changed what, and why, newest first.

    Example: segbandit bandits changes hero
    """

    async def run(database: Database) -> list[Change]:
        return await catalogue.changes(database, bandit_key, limit=limit)

    table = Table(
        Column("when (UTC)", no_wrap=True),
        "who",
        "what",
        "why",
        "config",
        Column("in detail", overflow="fold"),
    )
    for change in with_database(prepared(data_dir), run):
        when = f"{change.changed_at:%Y-%m-%d %H:%M:%S}"
        config, detail = str(change.config_version), said(change.details)
        table.add_row(*cells(when, change.who, change.what, change.why, config, detail))
    Console().print(table)


def said(details: dict[str, Any]) -> str:
    """What was changed in detail, for people: of objects the fields that differ.

    >>> said({"paused": {"from": False, "to": True}, "actions": {"added": ["a", "b"]}})
    'paused: false -> true; actions: added a, b'
    >>> said({"alerts": {"from": {"decisions": 500}, "to": {"decisions": 500, "action_share": 0.05}}})
    'alerts.action_share: null -> 0.05'
    """
    return "; ".join(part for name, value in details.items() for part in _parts(name, value))


def _parts(name: str, value: Any) -> list[str]:
    if not isinstance(value, dict):
        return [f"{name}: {value}"]
    if value.keys() != {"from", "to"}:
        return [f"{name}: " + ", ".join(f"{how} {', '.join(names)}" for how, names in value.items())]
    return _differing(name, value["from"], value["to"])


def _differing(name: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            part
            for field in {**old, **new}
            if old.get(field) != new.get(field)
            for part in _differing(f"{name}.{field}", old.get(field), new.get(field))
        ]
    shown, then = (msgspec.json.encode(each).decode() for each in (old, new))
    if shown[:_SHOWN] != then[:_SHOWN]:  # else what differs would be cut off
        shown, then = _short(shown), _short(then)
    return [f"{name}: {shown} -> {then}"]


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " ..."


def _target(action: str | None, segment: str | None) -> Target:
    if (action is None) == (segment is None):
        raise typer.BadParameter("expected an action's id or --segment, got both or none.")
    return convert({"action_id": action, "segment": segment}, Target)


def warn(warning: str | None) -> None:
    """Say it on standard error, if there is something to say."""
    if warning is not None:
        typer.secho(visible(warning), fg=typer.colors.YELLOW, err=True)


def _warn_of_unknown(switched: Switched, target: Target) -> None:
    """A misspelt name was killed to no effect, and whoever did it is in a hurry."""
    if switched.known:
        return
    kind = "segment" if target.action_id is None else "action_id"
    there = sorted({str(name) for a in switched.bandit.config.actions if (name := getattr(a, kind))})
    alike = get_close_matches(target.name, there, n=1)
    warn(
        f"The catalogue has no such {kind}: only what requests bring is meant by it. "
        + (f"Did you mean {alike[0]}?" if alike else f"It has {', '.join(there[:_NAMED]) or 'none'}.")
    )


def _version(bandit: Bandit) -> str:
    return f"by configuration {bandit.config_version}"
