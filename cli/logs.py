"""`segbandit export`, `import` and `datasets`: logs into files and out of them, and data sets to try with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress
from rich.table import Column, Table

from bandit import history, importing
from bandit.db.pool import Database
from bandit.settings import Settings
from cli.author import NOT_SAID, Who, Why, author
from cli.errors import clean_exit, laboratory
from cli.progress import shown
from cli.service import DataDir, migrated, prepared, with_database

Key = Annotated[str, typer.Argument(help="The bandit's key.")]
To = Annotated[Path, typer.Option(help="File to write: .parquet, .dsjson, .dsjson.gz.", show_default=False)]
File = Annotated[Path, typer.Argument(help="A file that `segbandit export` wrote.", show_default=False)]
Format = Annotated[
    str | None, typer.Option("--format", help="parquet or dsjson. Default: by the name.", show_default=False)
]
Encoded = Annotated[
    bool,
    typer.Option("--encoded", help="dsjson from which plain Vowpal Wabbit learns the same."),
]
NewKey = Annotated[
    str | None,
    typer.Option("--bandit", help="The new bandit's key. Default: as it was.", show_default=False),
]
Name = Annotated[str, typer.Argument(help="One that `segbandit datasets list` names.")]
Reward = Annotated[
    str | None, typer.Option(help="visit, conversion or spend of hillstrom.", show_default=False)
]
CsvPath = Annotated[
    Path | None, typer.Option(help="hillstrom's CSV, fetched by other means.", show_default=False)
]

datasets = typer.Typer(help="Real logs to try with.", no_args_is_help=True)


def export(
    bandit: Key, to: To, form: Format = None, encoded: Encoded = False, data_dir: DataDir = None
) -> None:
    """Write a bandit's settled decisions to a file: Parquet or dsjson, with nothing left out of them.

    `segbandit import` makes the same bandit of it again. Decisions that are not settled yet are not in it.
    The file holds the secret of the bandit's draws.

    Example: segbandit export hero --to hero.parquet
    """
    with clean_exit(f"{to} was not written."):
        written_as = history.format_of(to, form)

        async def run(database: Database) -> history.Exported:
            return await shown(
                lambda told: history.export(database, bandit, to, written_as, encoded=encoded, progress=told)
            )

        written = with_database(prepared(data_dir), run)
        typer.echo(
            f"{to}: {written.decisions:,} settled decisions of {bandit}, {to.stat().st_size:,} bytes. "
            f"{written.left_out:,} are not settled, and not in it."
        )


def import_(
    file: File,
    bandit: NewKey = None,
    form: Format = None,
    why: Why = NOT_SAID,
    who: Who = None,
    data_dir: DataDir = None,
) -> None:
    """Make a bandit of a file that was exported, with its whole log, and learn its model from it.

    All of it is imported, or nothing.

    Example: segbandit import hero.parquet --bandit hero-copy
    """
    with clean_exit("Nothing was imported."):
        by = author(who, why)
        read_as = history.format_of(file, form)

        async def run(database: Database) -> importing.Imported:
            return await shown(
                lambda told: importing.import_(
                    database, file, read_as, bandit_key=bandit, author=by, progress=told
                )
            )

        made = with_database(migrated(data_dir), run)
        typer.echo(
            f"{made.bandit_key}: {made.decisions:,} decisions imported and learned as model "
            f"{made.model_version}, with weights {made.weights_sha256}."
        )


@datasets.command("list")
def list_() -> None:
    """All data sets.

    Example: segbandit datasets list
    """
    with clean_exit("Nothing was changed."):
        with laboratory():
            from simulations.datasets import CATALOGUE

        table = Table(Column("data set", no_wrap=True), "rows", "actions", "what it is", "source")
        for one in CATALOGUE:
            table.add_row(one.name, f"{one.rows:,}", str(one.actions), one.about, one.source)
        Console().print(table)


@datasets.command()
def fetch(name: Name, reward: Reward = None, path: CsvPath = None, data_dir: DataDir = None) -> None:
    """Download a data set unless it is here, check it, and say what was earned in it.

    Example: segbandit datasets fetch hillstrom
    """
    with clean_exit("Nothing was kept."):
        with laboratory():
            from simulations import datasets as lab

        settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
        console = Console(stderr=True)
        with Progress("downloading", BarColumn(), DownloadColumn(), console=console, transient=True) as bar:
            task = bar.add_task("", visible=False)
            log = lab.log(
                name, settings, path=path, reward=reward,
                progress=lambda done, total: bar.update(task, completed=done, total=total, visible=True),
            )  # fmt: skip
        rows, earned = 0, 0.0
        for chunk in log.chunks():
            rows += len(chunk.rows)
            earned += sum(row.reward for row in chunk.rows)
        typer.echo(f"{log.name}: {rows:,} rows, mean reward {earned / rows:.4g}.")
