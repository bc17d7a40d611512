"""`segbandit bandits`: look at decision points and create them, straight in the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from api.body import convert, parse
from api.schemas import BanditCreate, bandit_answer
from bandit import catalogue, rehearsal
from bandit.readiness import Between, Readiness
from bandit.types import Bandit
from cli.author import NOT_SAID, Who, Why, author
from cli.service import DataDir, migrated, prepared, with_database
from cli.terminal import print_json, visible

app = typer.Typer(
    help="List, show, create, edit, pause and resume bandits; kill and revive actions.", no_args_is_help=True
)
Key = Annotated[str, typer.Argument(help="The bandit's key.")]


@app.command("list")
def list_(data_dir: DataDir = None) -> None:
    """All bandits with mode, policy and state.

    Example: segbandit bandits list
    """
    table = Table("bandit", "version", "mode", "exploration", "actions", "state")
    for bandit in with_database(prepared(data_dir), catalogue.listed):
        table.add_row(
            bandit.bandit_key,
            str(bandit.config_version),
            bandit.config.mode,
            type(bandit.config.policy.exploration).__name__,
            str(len(bandit.config.actions)),
            _state(bandit),
        )
    Console().print(table)


@app.command()
def show(bandit_key: Key, data_dir: DataDir = None) -> None:
    """One bandit's whole configuration as JSON.

    Example: segbandit bandits show hero
    """
    bandit = with_database(prepared(data_dir), lambda database: catalogue.get(database, bandit_key))
    print_json(bandit_answer(bandit))


@app.command()
def create(
    bandit_key: Key,
    action: Annotated[list[str] | None, typer.Option(help="An action_id; repeat it for more.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="JSON as for POST /v1/bandits, without the key.", exists=True, dir_okay=False),
    ] = None,
    why: Why = NOT_SAID,
    who: Who = None,
    data_dir: DataDir = None,
) -> None:
    """Create a bandit from action ids or from a JSON file.

    Example: segbandit bandits create hero --action summer --action new-in
    """
    if config is not None:
        fields = convert(parse(config.read_bytes()), dict[str, Any])
    elif action:
        fields = {"actions": [{"action_id": action_id} for action_id in action]}
    else:
        raise typer.BadParameter("expected --action (one or more) or --config FILE, got neither.")
    wanted = convert({**fields, "bandit_key": bandit_key}, BanditCreate)
    by = author(who, why)
    bandit = with_database(
        migrated(data_dir), lambda database: catalogue.create(database, bandit_key, wanted.config(), by)
    )
    print_json(bandit_answer(bandit))


def _state(bandit: Bandit) -> str:
    if bandit.archived:
        return "archived"
    killed = len(bandit.config.killed_actions) + len(bandit.config.killed_segments)
    state = "paused" if bandit.config.paused else "in service"
    return state + (f", {killed} killed" if killed else "")


@app.command()
def readiness(bandit_key: Key, data_dir: DataDir = None) -> None:
    """Whether a bandit in mode apprentice may go online, by what its baseline earned.

    Example: segbandit bandits readiness hero
    """
    found = with_database(prepared(data_dir), lambda database: rehearsal.readiness(database, bandit_key))
    console = Console(highlight=False)
    console.print(visible(found.verdict), markup=False)
    if found.decisions:
        console.print(_readiness(found))


def _readiness(found: Readiness) -> Table:
    table = Table("what", "by the log", "95 %")
    table.add_row("decisions counted", f"{found.decisions:,}", "")
    table.add_row("baseline's action is the most probable", f"{found.match_rate:.1%}", "")
    table.add_row("probability of the baseline's action", f"{found.agreement:.3f}", "")
    table.add_row("what the baseline earned", f"{found.baseline:.4f}", _between(found.baseline_between))
    table.add_row("what the policy is worth", "", _between(found.policy_between))
    table.add_row("policy - baseline", "", _between(found.difference_between))
    return table


def _between(ends: Between | None) -> str:
    return "" if ends is None else f"{ends.low:.4f} to {ends.high:.4f}"
