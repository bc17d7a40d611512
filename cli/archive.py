"""`segbandit archive`: old days leave the database, and stand in files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from bandit import retention
from bandit.db.archive import Part
from bandit.db.pool import Database
from bandit.errors import SetupError
from bandit.retention import Progress
from cli.errors import clean_exit
from cli.progress import shown
from cli.service import DataDir, prepared, with_database

KeepDays = Annotated[
    int | None,
    typer.Option(help="Days (UTC) to keep; SEGBANDIT_KEEP_DAYS.", min=1, max=36_500, show_default=False),
]
To = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the files; SEGBANDIT_ARCHIVE_DIR, else `archive` in the data directory.",
        show_default=False,
    ),
]


def archive(keep_days: KeepDays = None, to: To = None, data_dir: DataDir = None) -> None:
    """Export old decisions, their lines of the training log and their rewards as Parquet, and drop them.

    What is still needed stays: decisions that wait for their reward, and those from which a model goes on
    learning. A learner does the same every hour if SEGBANDIT_KEEP_DAYS is set.

    Example: segbandit archive --keep-days 90
    """
    with clean_exit("What was archived until then stands in its files; archive again for the rest."):
        settings = prepared(data_dir)
        os.nice(10)  # the service comes first
        days = keep_days or settings.keep_days
        if days is None:
            raise SetupError(
                "expected to hear how many days to keep, got nothing. Give --keep-days N, or set "
                "SEGBANDIT_KEEP_DAYS."
            )
        folder = to.absolute() if to else settings.archive
        done = 0

        async def run(database: Database) -> None:
            await shown(lambda told: _archive(database, told))

        async def _archive(database: Database, told: Progress) -> None:
            nonlocal done
            async with database.connection() as connection:
                async for part in retention.archive(connection, folder, days, progress=told):
                    done += 1
                    typer.echo(_said(part))

        with_database(settings, run)
        if not done:
            typer.echo(f"Nothing to archive: nothing that can go is older than {days} days.")


def _said(part: Part) -> str:
    return (
        f"{part.day}: {part.decisions:,} decisions, {part.training_log:,} lines of the training log and "
        f"{part.reward_events:,} reward events are in {part.folder}; {part.kept:,} decisions are still "
        "needed and stay."
    )
