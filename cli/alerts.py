"""`segbandit bandits alerts`: what owners should look at."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from bandit import alerts as use_case
from bandit.db.pool import Database
from bandit.steering import Alert
from cli.service import DataDir, prepared, with_database
from cli.terminal import visible

BanditKey = Annotated[
    str | None, typer.Argument(help="A bandit's key; without it, all in service.", show_default=False)
]
Limit = Annotated[int, typer.Option(help="How many past alerts of the bandit to show.", min=1, max=1_000)]


def alerts(bandit_key: BanditKey = None, limit: Limit = 20, data_dir: DataDir = None) -> None:
    """Open alerts, in words, and what to do; of one bandit those too that are over.

    Example: segbandit bandits alerts hero
    """

    async def run(database: Database) -> tuple[list[Alert], list[Alert]]:
        if bandit_key is None:
            return await use_case.all_open(database), []
        found = await use_case.of_bandit(database, bandit_key, limit=limit)
        return found.open, found.past

    opened, past = with_database(prepared(data_dir), run)
    console = Console()
    if not opened:
        console.print("No open alerts.")
    for alert in (*opened, *past):
        state = ("open", "bold red") if alert.cleared_at is None else ("over", "dim")
        console.print(Text.assemble(state, f" {alert.bandit_key}: {visible(use_case.sentence(alert))}"))
