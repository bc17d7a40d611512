"""`segbandit models`: which model versions there are, which one serves, and how to change that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from api.schemas import BranchAnswer, ModelList, model_list
from bandit import catalogue, rebuild
from bandit.db.pool import Database
from cli.author import NOT_SAID, Who, Why, author
from cli.bandits import Key
from cli.service import DataDir, prepared, with_database
from cli.terminal import cells

app = typer.Typer(help="List, promote and roll back model versions.", no_args_is_help=True)
Version = Annotated[int, typer.Argument(help="The model version.", min=1, max=2**31 - 1)]
Limit = Annotated[int, typer.Option(help="How many versions to show, newest first.", min=1, max=1_000)]


@app.command("list")
def list_(bandit_key: Key, limit: Limit = 20, data_dir: DataDir = None) -> None:
    """What serves, the branches and how they compare, and the newest model versions.

    Example: segbandit models list hero
    """
    _show(bandit_key, limit, data_dir)


@app.command()
def promote(
    bandit_key: Key, version: Version, why: Why = NOT_SAID, who: Who = None, data_dir: DataDir = None
) -> None:
    """Make the version's branch live: its newest version is served, and it goes on learning.

    Example: segbandit models promote hero 12
    """
    by = author(who, why)
    with_database(prepared(data_dir), lambda db: catalogue.promote(db, bandit_key, version, by))
    _show(bandit_key, 5, data_dir)


@app.command()
def rollback(
    bandit_key: Key, version: Version, why: Why = NOT_SAID, who: Who = None, data_dir: DataDir = None
) -> None:
    """Serve exactly this version until something is promoted; learning goes on beside it.

    A version whose bytes were pruned is folded again from the log, which takes its time.

    Example: segbandit models rollback hero 9
    """
    by = author(who, why)

    async def run(database: Database) -> None:
        await rebuild.restore(database, bandit_key, version)
        await catalogue.roll_back(database, bandit_key, version, by)

    with_database(prepared(data_dir), run)
    _show(bandit_key, 5, data_dir)


def _show(bandit_key: str, limit: int, data_dir: Path | None) -> None:
    overview = with_database(prepared(data_dir), lambda db: catalogue.overview(db, bandit_key, limit=limit))
    found = model_list(overview)
    console = Console()
    console.print(
        f"{bandit_key} serves model {found.served}" + (" until something is promoted" if found.pinned else "")
        + f", under configuration {found.config_version}.",
        highlight=False,
    )  # fmt: skip
    console.print(_branches(found))
    console.print(_models(found))


def _branches(found: ModelList) -> Table:
    table = Table("branch", "state", "config", "newest", "through", "compared", "why")
    for branch in found.branches:
        table.add_row(
            str(branch.branch),
            branch.state,
            str(branch.config_version),
            str(branch.newest_version),
            f"{branch.trained_through:,}",
            _compared(branch),
            *cells(branch.reason),
        )
    return table


def _compared(branch: BranchAnswer) -> str:
    found = branch.comparison
    if found is None:
        return ""
    return (
        f"{found.difference}: {found.estimate:+.4f} [{found.low:+.4f}, {found.high:+.4f}] "
        f"by {found.events:,} events"
    )


def _models(found: ModelList) -> Table:
    table = Table("model", "branch", "parent", "config", "through", "weights sha256", "bytes", "published")
    for model in found.models:
        table.add_row(
            str(model.model_version),
            str(model.branch),
            str(model.parent or ""),
            str(model.config_version),
            f"{model.trained_through_seq:,}",
            model.weights_sha256[:16],
            "kept" if model.kept else "pruned",
            f"{model.created_at:%Y-%m-%d %H:%M:%S}",
        )
    return table
