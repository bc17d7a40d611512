"""`segbandit simulate`: policies in a world where it is known what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bandit.errors import SetupError
from bandit.settings import Settings
from cli.errors import clean_exit, laboratory
from cli.lab_options import check_places, write

if TYPE_CHECKING:
    from simulations.environments.contract import Environment
    from simulations.simulation.summaries import Figure, Simulation

PLOTS = (".svg", ".png", ".pdf")

Name = Annotated[
    str,
    typer.Argument(
        metavar="ENV", help="An environment, see --list; a CSV of labelled data; or a log (.parquet)."
    ),
]
Listed = Annotated[bool, typer.Option("--list", help="Say which environments there are, and end.")]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        help="uniform, default, fixed:ACTION_ID, FILE.json with a bandit's policy, FILE.csv, "
        "MODULE:FUNCTION, the last two as `evaluate` takes them; may be repeated. "
        "Default: uniform and default.",
        show_default=False,
    ),
]
Rounds = Annotated[int, typer.Option(help="Rounds of each run; data sets end where they end.", min=1)]
Seeds = Annotated[int, typer.Option(help="Runs of each policy, by seeds 1, 2, ...", min=1)]
Label = Annotated[str, typer.Option(help="Of a CSV file: the column with the labels.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write all results to this file.", show_default=False)
]
PlotFile = Annotated[
    Path | None, typer.Option(help="Plot regret to this file: .svg, .png or .pdf.", show_default=False)
]
HtmlFile = Annotated[
    Path | None, typer.Option("--html", help="Write figures and plot to this page.", show_default=False)
]
Workers = Annotated[
    int | None, typer.Option(help="Processes. Default: one per core.", min=1, show_default=False)
]


def simulate(
    env: Name = "personas",
    policy: Policies = None,
    rounds: Rounds = 10_000,
    seeds: Seeds = 10,
    label: Label = "label",
    json: JsonFile = None,
    plot: PlotFile = None,
    html: HtmlFile = None,
    workers: Workers = None,
    listed: Listed = False,
) -> None:
    """Run policies in an environment with known values, through the code that runs in production.

    Example: segbandit simulate drift --policy default --policy uniform --plot regret.svg
    """
    console = Console()
    with clean_exit("Nothing was written."):
        with laboratory():
            from simulations.environments import catalogue
            from simulations.simulation import page, regret_plot  # noqa: F401  before minutes are spent
        if listed:
            _list(console)
            return
        check_places(json, plot, html)
        _check_plot(plot)
        world = catalogue.environment(env, Settings(), label=label)
        found = _simulated(world, policy or ("uniform", "default"), rounds, seeds, workers)
        console.print(_table(found))
        _save(found, json, plot, html)


def _simulated(
    world: Environment, policies: Sequence[str], rounds: int, seeds: int, workers: int | None
) -> Simulation:
    from simulations.simulation import simulate as simulation

    with _bar() as bar:
        task = bar.add_task(world.name, total=None)
        return simulation.simulate(
            world, policies, rounds=rounds, seeds=seeds, workers=workers,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip


def _save(found: Simulation, json: Path | None, plot: Path | None, html: Path | None) -> None:
    from simulations.simulation import page, regret_plot

    write(json, msgspec.json.encode(found))
    if plot is not None:
        regret_plot.save(found, plot)
    if html is not None:
        page.save_page(found, html)


def _check_plot(plot: Path | None) -> None:
    if plot is not None and plot.suffix not in PLOTS:
        raise SetupError(f"expected a plot ending in {', '.join(PLOTS)}, got {plot}.")


def _list(console: Console) -> None:
    from simulations.environments.catalogue import CATALOGUE

    table = Table(show_header=False, box=None)
    for name, entry in CATALOGUE.items():
        table.add_row(name, entry.sentence)
    console.print(table)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _table(found: Simulation) -> Table:
    seeds = f"{len(found.seeds)} seeds" if len(found.seeds) > 1 else "1 seed"
    table = Table(title=f"{found.environment}: {found.rounds:,} rounds, {seeds}")
    table.add_column("policy")
    for name in ("reward per round", "share of optimum", "regret to optimum", "to best fixed"):
        table.add_column(name, justify="right")
    for one in found.summaries:
        table.add_row(
            one.policy, _cell(one.value, ".4f"), _cell(one.share, ".1%"), _cell(one.regret, ",.1f"),
            _cell(one.regret_best_fixed, ",.1f"),
        )  # fmt: skip
    table.add_section()
    table.add_row("best fixed action", _cell(found.best_fixed, ".4f"))
    table.add_row("optimum", _cell(found.optimum, ".4f"))
    table.caption = _caption(found)
    return table


def _caption(found: Simulation) -> str:
    said = "Regret: reward missed over a whole run. Below 0: better than any fixed action."
    if len(found.seeds) > 1:
        said += " Below each figure: its 95 % interval over seeds."
    failed = [f"{one.policy} ({one.fallbacks:,} rounds)" for one in found.summaries if one.fallbacks]
    return said + (f" Failed, so that the first action was served: {', '.join(failed)}." if failed else "")


def _cell(figure: Figure, form: str) -> str:
    if figure.interval is None:
        return format(figure.mean, form)
    return f"{figure.mean:{form}}\n[dim]{figure.interval.low:{form}} to {figure.interval.high:{form}}[/dim]"
