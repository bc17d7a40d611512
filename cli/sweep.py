"""`segbandit sweep`: many configurations side by side by one log, ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bandit.errors import InvalidInputError
from bandit.settings import Settings
from cli.errors import clean_exit, laboratory
from cli.lab_options import (
    BanditKey,
    ColumnMap,
    Exclude,
    HtmlFile,
    JsonFile,
    LearnFirst,
    Level,
    LogFile,
    Reward,
    RewardRange,
    Since,
    Until,
    check_places,
    one_log,
    opened,
    policy_named,
    refuse,
    write,
)
from cli.service import DataDir, prepared

if TYPE_CHECKING:
    from simulations.sweeping.candidates import Candidate

Dataset = Annotated[
    str | None, typer.Option(help="Instead of a file: what `datasets list` names.", show_default=False)
]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy", help="A candidate, as `evaluate` takes policies; repeatable. Default: a grid of ours.",
        show_default=False,
    ),
]  # fmt: skip
GridFile = Annotated[
    Path | None,
    typer.Option(
        "--grid", help='Candidates: all combinations of a JSON file, such as {"learning_rate": [0.02, 0.1]}.',
        show_default=False,
    ),
]  # fmt: skip
Sample = Annotated[
    int | None,
    typer.Option(help="Of the grid, so many candidates at random.", min=1, show_default=False),
]
Seed = Annotated[int, typer.Option(help="Of the sample.")]
Against = Annotated[str, typer.Option(help="The policy that all are compared with.")]
EstimatorName = Annotated[
    str, typer.Option("--estimator", help="By which values are estimated, such as dr, snips, ips.")
]
Workers = Annotated[
    int | None, typer.Option(help="Processes. Default: one per core.", min=1, show_default=False)
]


def sweep(
    context: typer.Context,
    log: LogFile = None,
    dataset: Dataset = None,
    bandit: BanditKey = None,
    policy: Policies = None,
    grid: GridFile = None,
    sample: Sample = None,
    seed: Seed = 1,
    against: Against = "logged",
    estimator: EstimatorName = "dr",
    level: Level = 0.95,
    learn_first: LearnFirst = 0.0,
    exclude: Exclude = False,
    column: ColumnMap = None,
    reward_range: RewardRange = None,
    reward: Reward = None,
    since: Since = None,
    until: Until = None,
    json: JsonFile = None,
    html: HtmlFile = None,
    workers: Workers = None,
    data_dir: DataDir = None,
) -> None:
    """Try many configurations on a log, and rank them with intervals that hold for the one that looks best.

    Each candidate learns along the log by itself, and each round is predicted before it is learned.

    Example: segbandit sweep visits.csv --column reward=click --html sweep.html
    """
    with clean_exit("Nothing was written."), laboratory():
        from simulations.report import sweep_html, sweep_text
        from simulations.sweeping import sweep as sweeping

        one_log(context, log, dataset, bandit)
        if log is None and dataset is None and bandit is None:
            raise InvalidInputError(
                "expected a log: a file, --dataset or --bandit; got none. See `segbandit datasets list`."
            )
        if policy and grid is None:
            refuse(context, "beside --policy without --grid: nothing is drawn", "sample", "seed")
        check_places(json, html)
        settings = prepared(data_dir) if bandit is not None else Settings()
        asked = opened(settings, log, dataset, bandit, column, reward_range, reward, since, until)
        with _progress() as told:
            found = sweeping.sweep(
                asked,
                [*_named(policy, bandit, settings), *_of_grid(grid, sample, seed, otherwise=not policy)],
                against=policy_named(against, bandit, settings),
                estimator=estimator,
                level=level,
                learn_first=learn_first,
                exclude=exclude,
                workers=workers,
                progress=told,
            )
        sweep_text.print_sweep(found, Console())
        write(json, found.to_json())
        write(html, sweep_html.to_html(found).encode() if html else b"")


def _named(names: list[str] | None, bandit: str | None, settings: Settings) -> list[Candidate]:
    from simulations.sweeping.candidates import candidate

    return [candidate(policy_named(name, bandit, settings)) for name in names or ()]


def _of_grid(path: Path | None, sample: int | None, seed: int, *, otherwise: bool) -> list[Candidate]:
    """Of the file; `otherwise` those of ours, unless there is one."""
    from simulations.sweeping import candidates

    if path is not None:
        return candidates.grid_at(path).candidates(sample=sample, seed=seed)
    return candidates.sampled(candidates.built_in(), sample, seed) if otherwise else []


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, of: bar.update(task, description=what, completed=done, total=of)
