"""`segbandit evaluate`: what a policy would have earned, by a log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

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
    pairs,
    policy_named,
    refuse,
    write,
)
from cli.service import DataDir, prepared

Dataset = Annotated[
    str | None,
    typer.Option(help="Instead of a file: open-bandit, or what `datasets list` names.", show_default=False),
]
Policy = Annotated[
    str, typer.Option(help="logged, unboosted, uniform, default, fixed:ACTION, FILE.json, FILE.csv, "
                           "MODULE:FUNCTION; with --bandit also model:VERSION.")
]  # fmt: skip
Against = Annotated[str, typer.Option(help="The policy that it is compared with.")]
Estimators = Annotated[
    list[str] | None,
    typer.Option(
        "--estimator", help="Such as dr, snips, clipped_ips:limit=10; repeatable. The first one decides.",
        show_default=False,
    ),
]  # fmt: skip
Loggers = Annotated[
    list[str] | None,
    typer.Option(
        "--logger", help="NAME=POLICY of everyone who logged, for balanced_ips.", show_default=False
    ),
]


def evaluate(
    context: typer.Context,
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

    Without a log: the Open Bandit sample, both of its policies by the log of the other, for both campaigns;
    of pages there are four then, such as report-men-bts.html.

    Example: segbandit evaluate visits.csv --column reward=click --policy fixed:banner-b --html report.html
    """
    with clean_exit("Nothing was written."), laboratory():
        from simulations.evaluation import evaluate as evaluation
        from simulations.report import html as page
        from simulations.report.text import print_report

        console = Console()
        one_log(context, log, dataset, bandit)
        check_places(json, html)
        if (log, bandit) == (None, None) and dataset in (None, "open-bandit"):
            others = {parameter.name or "" for parameter in context.command.params}
            refuse(context, "with the whole Open Bandit sample; evaluate one log of it, such as "
                   "--dataset open-bandit/random/men", *others - {"dataset", "json", "html"})  # fmt: skip
            _open_bandit(console, json, html)
            return
        settings = prepared(data_dir) if bandit is not None else Settings()
        asked = opened(settings, log, dataset, bandit, column, reward_range, reward, since, until)
        with _progress() as told:
            report = evaluation.evaluate(
                asked,
                policy_named(policy, bandit, settings),
                against=policy_named(against, bandit, settings),
                estimators=estimator or evaluation.ESTIMATORS,
                level=level,
                learn_first=learn_first,
                loggers=pairs("--logger", logger),
                exclude=exclude,
                progress=told,
            )
        print_report(report, console)
        write(json, report.to_json())
        write(html, page.to_html(report).encode() if html else b"")


def _open_bandit(console: Console, json: Path | None, html: Path | None) -> None:
    from simulations.evaluation import open_bandit
    from simulations.report import html as page

    with _progress() as told:
        judged = open_bandit.evaluate_all(progress=told)
    open_bandit.print_all(judged, console)
    write(json, open_bandit.to_json(judged))
    if html is None:
        return
    for one in judged:
        place = html.with_stem(f"{html.stem}-{one.campaign}-{one.report.target}")
        write(place, page.to_html(one.report).encode())
        console.print(f"Written: {place}", highlight=False)


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Shows how many rows were read; a log is read several times."""
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} rows read"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda rows: bar.update(task, completed=rows)
