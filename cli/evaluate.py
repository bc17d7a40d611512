"""`segbandit evaluate`: what a policy would have earned, by a log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bandit import serving
from bandit.errors import InvalidInputError
from bandit.settings import Settings
from cli.errors import clean_exit, laboratory
from cli.service import DataDir, prepared, with_database

if TYPE_CHECKING:
    from simulations.logs.rows import Log
    from simulations.policies import Target

LogFile = Annotated[
    Path | None, typer.Argument(metavar="[LOG]", help="Parquet, dsjson or CSV.", show_default=False)
]
Dataset = Annotated[
    str | None,
    typer.Option(help="Instead of a file: open-bandit, or what `datasets list` names.", show_default=False),
]
BanditKey = Annotated[
    str | None, typer.Option("--bandit", help="Instead: our own log of this bandit.", show_default=False)
]
Policy = Annotated[
    str, typer.Option(help="logged, uniform, default, fixed:ACTION, FILE.json, FILE.csv, MODULE:FUNCTION; "
                           "with --bandit also model:VERSION.")
]  # fmt: skip
Against = Annotated[str, typer.Option(help="The policy that it is compared with.")]
Estimators = Annotated[
    list[str] | None,
    typer.Option(
        "--estimator", help="Such as dr, snips, clipped_ips:limit=10; repeatable. The first one decides.",
        show_default=False,
    ),
]  # fmt: skip
Level = Annotated[float, typer.Option(help="Confidence level.", min=0.5, max=0.9999)]
LearnFirst = Annotated[
    float,
    typer.Option(
        help="Share of the rounds that are learned from before any is evaluated.", min=0.0, max=0.99
    ),
]
Exclude = Annotated[
    bool, typer.Option("--exclude-bad-rows", help="Leave out, and count, rows that cannot be used.")
]
Loggers = Annotated[
    list[str] | None,
    typer.Option(
        "--logger", help="NAME=POLICY of everyone who logged, for balanced_ips.", show_default=False
    ),
]
ColumnMap = Annotated[
    list[str] | None,
    typer.Option("--column", help="OURS=THEIRS, such as reward=click; repeatable.", show_default=False),
]
RewardRange = Annotated[
    tuple[float, float] | None,
    typer.Option(
        help="Lowest and highest reward possible. Default: what the log says, or holds.", show_default=False
    ),
]
Reward = Annotated[
    str | None, typer.Option(help="Of hillstrom: visit, conversion, spend.", show_default=False)
]
Since = Annotated[
    datetime | None, typer.Option(help="With --bandit: decisions from then on.", show_default=False)
]
Until = Annotated[datetime | None, typer.Option(help="With --bandit: decisions before.", show_default=False)]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the report to this file.", show_default=False)
]
HtmlFile = Annotated[Path | None, typer.Option("--html", help="Write it as a page.", show_default=False)]


def evaluate(
    log: LogFile = None,
    dataset: Dataset = None,
    bandit: BanditKey = None,
    policy: Policy = "uniform",
    against: Against = "logged",
    estimator: Estimators = None,
    level: Level = 0.95,
    learn_first: LearnFirst = 0.0,
    exclude: Exclude = False,
    logger: Loggers = None,
    column: ColumnMap = None,
    reward_range: RewardRange = None,
    reward: Reward = None,
    since: Since = None,
    until: Until = None,
    json: JsonFile = None,
    html: HtmlFile = None,
    data_dir: DataDir = None,
) -> None:
    """What a policy would have earned on a log, how sure that is, and whether it may be said at all.

    Without a log: the Open Bandit sample, both of its policies by the log of the other, for both campaigns.

    Example: segbandit evaluate visits.csv --column reward=click --policy fixed:banner-b --html report.html
    """
    with clean_exit("Nothing was written."), laboratory():
        from simulations import evaluation
        from simulations.report import html as page
        from simulations.report.text import print_report

        console = Console()
        if sum(given is not None for given in (log, dataset, bandit)) > 1:
            raise InvalidInputError("expected one log: a file, --dataset or --bandit; got several.")
        if (log, bandit) == (None, None) and dataset in (None, "open-bandit"):
            _open_bandit(console)
            return
        settings = prepared(data_dir) if bandit is not None else Settings()
        opened = _opened(settings, log, dataset, bandit, column, reward_range, reward, since, until)
        with _progress() as told:
            report = evaluation.evaluate(
                opened,
                _policy(policy, bandit, settings),
                against=_policy(against, bandit, settings),
                estimators=estimator or evaluation.ESTIMATORS,
                level=level,
                learn_first=learn_first,
                loggers=_pairs("--logger", logger),
                exclude=exclude,
                progress=told,
            )
        print_report(report, console)
        if json is not None:
            json.write_bytes(report.to_json())
        if html is not None:
            html.write_text(page.to_html(report), encoding="utf-8")


def _open_bandit(console: Console) -> None:
    from simulations import open_bandit

    with _progress() as told:
        reports = open_bandit.evaluate_all(progress=told)
    open_bandit.print_all(reports, console)


def _opened(
    settings: Settings,
    log: Path | None,
    dataset: str | None,
    bandit: str | None,
    column: list[str] | None,
    reward_range: tuple[float, float] | None,
    reward: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Log:
    from simulations import datasets
    from simulations.logs.named import log_at
    from simulations.logs.postgres import PostgresLog

    if bandit is not None:
        return PostgresLog(settings.database_url or "", bandit, since=since, until=until)
    if log is not None:
        return log_at(log, columns=_pairs("--column", column), reward_range=reward_range)
    return datasets.log(dataset or "", settings, reward=reward)


def _policy(name: str, bandit: str | None, settings: Settings) -> str | Target:
    from simulations.policies import Static

    kind, _, version = name.partition(":")
    if kind != "model" or bandit is None:
        return name
    if not version.isdecimal():
        raise InvalidInputError(f"--policy: expected model:VERSION with a number, got {name!r}.")
    saved, published = with_database(settings, lambda db: serving.saved_policy(db, bandit, int(version)))
    return Static(name, saved, learned_until=published)


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in given or ()]
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise InvalidInputError(f"{option}: expected NAME=VALUE, got {name + equals + value!r}.")
    return {name: value for name, _, value in pairs}


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Shows how many rows were read; a log is read several times."""
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} rows read"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda rows: bar.update(task, completed=rows)
