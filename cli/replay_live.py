"""`segbandit replay-live`: measure the running service on real logged data, without bias."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from bandit.errors import InvalidInputError
from bandit.settings import Settings
from cli.errors import clean_exit, laboratory

if TYPE_CHECKING:
    from simulations.datasets import Customer
    from simulations.live import replay as lab

#: The learner is some tenths of a second behind; a machine under load may need longer.
_SETTLE_WITHIN = 60.0

Dataset = Annotated[str, typer.Option(help="The data set; there is one: hillstrom.")]
CsvPath = Annotated[
    Path | None,
    typer.Option(help="The data set's CSV, plain or gzipped. Default: found, else downloaded once."),
]
Url = Annotated[str, typer.Option(help="Address of the running service.")]
Seeds = Annotated[
    int, typer.Option(help="How many runs, each in the order shuffled by seed 1, 2, ...", min=1)
]
Batch = Annotated[
    int, typer.Option(help="Rows decided by one model; more is faster and learns later.", min=1, max=1_000)
]
Limit = Annotated[int | None, typer.Option(help="Go through this many rows only. Default: all.", min=1)]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of downloaded data sets; SEGBANDIT_DATA_DIR, else .data", show_default=False),
]


def replay_live(
    dataset: Dataset = "hillstrom",
    path: CsvPath = None,
    url: Url = "http://127.0.0.1:8080",
    seeds: Seeds = 1,
    batch: Batch = 64,
    limit: Limit = None,
    data_dir: DataDir = None,
) -> None:
    """Replay a uniformly logged data set through the running service (Li et al. 2011).

    The service decides for every row; only rows whose logged action it chose too count, are rewarded and
    learned. Each run creates a bandit of its own, which stays with its log.

    Example: segbandit replay-live --dataset hillstrom --seeds 3
    """
    console = Console()
    with clean_exit("The bandits created so far keep what they learned; a new run starts with a new one."):
        if dataset != "hillstrom":
            raise InvalidInputError(f"dataset: expected 'hillstrom', got {dataset!r}.", target="dataset")
        results = _run(_customers(path, data_dir, console), url, seeds, batch, limit, console)
        for result in results:
            console.print(_table(result))
        if len(results) > 1:
            console.print(_means(results))


def _customers(path: Path | None, data_dir: Path | None, console: Console) -> list[Customer]:
    with laboratory():
        from simulations.datasets import hillstrom

    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    bar = _bar("downloading", "bytes", console=console)

    def received(done: int, total: int | None) -> None:
        if not bar.tasks:  # only now is there something to show
            bar.add_task("")
            bar.start()
        bar.update(bar.task_ids[0], completed=done, total=total)

    try:
        return hillstrom(path, settings, progress=received)
    finally:
        if bar.tasks:
            bar.stop()


def _run(
    customers: Sequence[Customer], url: str, seeds: int, batch: int, limit: int | None, console: Console
) -> list[lab.Replayed]:
    with laboratory():
        from simulations.live import replay as lab
        from simulations.live.client import HttpService

    async def runs(bar: Progress) -> list[lab.Replayed]:
        results = []
        async with HttpService(url) as service:
            for seed in range(1, seeds + 1):
                total = min(limit or len(customers), len(customers))
                task = bar.add_task("", total=total, seed=seed, used=0, rate="-")
                results.append(
                    await lab.replay(
                        service, customers, seed=seed, batch=batch, limit=limit,
                        progress=partial(_show, bar, task),
                        settle_within=_SETTLE_WITHIN,
                    )
                )  # fmt: skip
        return results

    columns = ("seed {task.fields[seed]}", "{task.fields[used]} used, rate {task.fields[rate]}")
    with _bar(*columns, console=console) as bar:
        return asyncio.run(runs(bar))


def _bar(title: str, figures: str, *, console: Console) -> Progress:
    return Progress(
        TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn(figures), TimeRemainingColumn(),
        console=console,
    )  # fmt: skip


def _show(bar: Progress, task: TaskID, at: lab.Progress) -> None:
    rate = "-" if math.isnan(at.rate) else f"{at.rate:.4f}"
    bar.update(task, completed=at.rows, used=f"{at.used:,}", rate=rate)


def _table(result: lab.Replayed) -> Table:
    table = Table(title=f"{result.bandit_key}, seed {result.seed}: {result.rows:,} rows, reward = visit")
    table.add_column("policy")
    for name in ("rounds", "reward rate", "95 % interval"):
        table.add_column(name, justify="right")
    for figure in (result.service, result.uniform, *result.fixed):
        bounds = figure.interval
        table.add_row(
            figure.policy, f"{figure.rounds:,}", f"{figure.rate:.4f}", f"{bounds.low:.4f} - {bounds.high:.4f}"
        )
    if result.settled is False:
        table.caption = (
            f"The last rounds were not learned {_SETTLE_WITHIN:.0f} s after the end: is a learner running?"
        )
    return table


def _means(results: Sequence[lab.Replayed]) -> Table:
    """The runs share their rows, so their intervals cannot be pooled; the spread over seeds is shown."""
    table = Table(title=f"Mean over {len(results)} seeds")
    for name in ("policy", "reward rate", "lowest", "highest"):
        table.add_column(name, justify="left" if name == "policy" else "right")
    for figures in zip(*((r.service, r.uniform, *r.fixed) for r in results), strict=True):
        rates = [figure.rate for figure in figures]
        table.add_row(figures[0].policy, f"{fmean(rates):.4f}", f"{min(rates):.4f}", f"{max(rates):.4f}")
    return table
