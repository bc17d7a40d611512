"""`segbandit demo`: a service, a storefront's visitors, and what it learns from them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.errors import clean_exit, laboratory
from cli.service import DataDir, Port, started_service

if TYPE_CHECKING:
    from simulations.live.storefront import Row

#: Rows that the table shows at a time, so that it fits a small terminal.
_SHOWN = 16


Visitors = Annotated[int, typer.Option(help="How many visitors to send.", min=1)]
Seed = Annotated[int, typer.Option(help="Of the visitors; the same seed sends the same ones.")]
Url = Annotated[
    str | None, typer.Option(help="A running service to use. Default: start one.", show_default=False)
]


def demo(
    url: Url = None, port: Port = 8080, visitors: Visitors = 4_000, seed: Seed = 1, data_dir: DataDir = None
) -> None:
    """Start the service, send simulated visitors to a demo bandit, show what it learns, and keep serving.

    The visitors' true preferences are known, so the service is shown beside uniform choice, the best fixed
    variant and the optimum.

    Example: segbandit demo --visitors 2000
    """
    console = Console()
    with clean_exit("What was logged and learned is kept."):
        with laboratory():  # before a service is started for nothing
            import simulations.live.storefront  # noqa: F401
        if url is not None:
            run_demo(url, visitors, seed, console)
            return
        with started_service(port, data_dir) as (address, process):
            run_demo(address, visitors, seed, console)
            console.print(
                f"\nThe service goes on serving until Ctrl-C:\n"
                f"  decisions    POST {address}/v1/decisions\n"
                f"  rewards      POST {address}/v1/rewards\n"
                f"  bandits      {address}/v1/bandits\n"
                f"  API pages    {address}/docs",
                highlight=False,
            )
            process.wait()


def run_demo(url: str, visitors: int, seed: int, console: Console) -> None:
    """Serve `visitors` of the storefront by the service at `url` and show how it does while it learns.

    In a terminal a table that grows; elsewhere one plain line per chunk of visitors. Ctrl-C is passed on.

    Raises:
        SegbanditError: the service does not answer, or refuses.

    Example: run_demo("http://127.0.0.1:8080", 4_000, 1, Console())
    """
    with laboratory():
        from simulations.live.client import HttpService
        from simulations.live.storefront import run

    async def main() -> None:
        async with HttpService(url) as service:
            rows = run(service, visitors=visitors, seed=seed)
            await (_live(rows, console) if console.is_terminal else _plain(rows, console))

    asyncio.run(main())


async def _live(rows: AsyncIterator[Row], console: Console) -> None:
    seen: list[Row] = []
    with Live(Text("Waiting for the first visitors ..."), console=console, auto_refresh=False) as live:
        async for row in rows:
            seen.append(row)
            live.update(Group(_table(seen[-_SHOWN:]), Text(_verdict(row))), refresh=True)


async def _plain(rows: AsyncIterator[Row], console: Console) -> None:
    last: Row | None = None
    async for last in rows:
        now = last.chunk
        console.print(
            f"visitors {last.visitors:>6}  service {now.service:.3f} (overall {last.overall.service:.3f})  "
            f"uniform {now.uniform:.3f}  best fixed {now.best_fixed:.3f}  optimum {now.optimum:.3f}  "
            f"share of optimum {now.share:.0%}",
            highlight=False,
            soft_wrap=True,
        )
    if last is not None:
        console.print(_verdict(last), highlight=False, soft_wrap=True)


def _table(rows: list[Row]) -> Table:
    table = Table(title=f"{rows[-1].bandit_key}: expected clicks per visitor")
    table.add_column("visitors", justify="right")
    table.add_column("service", justify="right", style="bold green")
    for name in ("overall", "uniform", "best fixed", "optimum", "share of optimum"):
        table.add_column(name, justify="right")
    for row in rows:
        now = row.chunk
        figures = (now.service, row.overall.service, now.uniform, now.best_fixed, now.optimum)
        table.add_row(f"{row.visitors:,}", *(f"{figure:.3f}" for figure in figures), f"{now.share:.0%}")
    return table


def _verdict(row: Row) -> str:
    now = row.chunk
    return (
        f"{row.bandit_key}: {row.visitors:,} visitors, {row.clicks:,} clicks. The latest ones were served at "
        f"{now.service:.3f} clicks per visitor: {now.service / now.uniform - 1:+.0%} against uniform, "
        f"{now.service / now.best_fixed - 1:+.0%} against the best fixed one, {now.share:.0%} of the optimum."
    )
