"""A report for a terminal: the verdict first, in words; no refused figure without its warning."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from simulations.diagnostics.diagnosis import Breakdown, Diagnosis
from simulations.evaluation.values import BoostCost, Estimate, Report
from simulations.report.words import (
    check_state,
    figure,
    lines,
    p_value,
    places,
    printable,
    rows,
    short,
)

_COLOURS = {"better": "green", "worse": "red", "no difference shown": "blue", "insufficient support": "red"}
_STATES = {"good": "[green]ok[/]", "doubtful": "[yellow]look[/]", "bad": "[bold red]bad[/]", "known": ""}
#: More groups of a breakdown are in the JSON and the page.
MOST_GROUPS = 12


def print_report(report: Report, console: Console) -> None:
    """Write it to a console of any width from 80."""
    console.print(_verdict(report))
    console.print(_facts(report))
    if report.boosts is not None:
        console.print(_boosts(report.boosts))
    for title, estimates in _tables(report):
        console.print(_estimates(title, estimates, refused=report.verdict.refused))
    console.print(_sequence(report))
    console.print(_diagnostics(f"Can the log answer for {report.target}?", report.diagnostics))
    if report.reference_diagnostics is not None:
        title = f"Can the log answer for {report.reference}?"
        console.print(_diagnostics(title, report.reference_diagnostics))
    console.print(_checks(report.diagnostics))
    for title, breakdown in _breakdowns(report.diagnostics):
        console.print(_groups(title, breakdown, refused=report.verdict.refused))
    if report.verdict.refused:  # whoever scrolled past the first one sees this
        console.print(_verdict(report))


def to_text(report: Report, width: int = 100) -> str:
    """The same without colours."""
    written = io.StringIO()
    plain = Console(file=written, width=width, force_terminal=False, force_jupyter=False, color_system=None)
    print_report(report, plain)
    return written.getvalue()


def _text(words: str, style: str = "") -> Text:
    # Not as rich's markup, and without a log's control characters.
    return Text(printable(words), style)


def _verdict(report: Report) -> RenderableType:
    verdict = report.verdict
    parts: list[RenderableType] = [_text(verdict.sentence, style="bold")]
    parts += [_text(f"• {reason}") for reason in verdict.reasons]
    parts += [_text(f"Warning: {warning}", style="yellow") for warning in verdict.warnings]
    return Panel(
        Group(*parts),
        title=_text(verdict.outcome.upper(), style="bold"),
        title_align="left",
        border_style=_COLOURS[verdict.outcome],
        box=box.HEAVY if verdict.refused else box.ROUNDED,
        padding=(1, 2),
    )


def _facts(report: Report) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    left_out = ", ".join(f"{cause}: {count:,}" for cause, count in report.excluded.items())
    for name, value in (
        ("Target policy", report.target),
        ("Reference", report.reference),
        ("Log", report.log),
        ("Rounds", f"{report.rounds:,}"),
        ("Rows left out", left_out or "none"),
        ("Intervals", f"{100 * report.level:g} %; the verdict is decided by {report.primary}"),
    ):
        grid.add_row(_text(name, style="dim"), _text(value))
    return Padding(grid, (1, 2))


def _boosts(found: BoostCost) -> RenderableType:
    parts = [_text(found.sentence, style="bold"), *(_text(f"• {reason}") for reason in found.reasons)]
    parts += [_text(f"Warning: {warning}", style="yellow") for warning in found.warnings]
    return Padding(Group(*parts), (0, 2, 1, 2))


def _tables(report: Report) -> list[tuple[str, Sequence[Estimate]]]:
    return [
        (f"Value of {report.target}", report.estimates),
        (f"Value of {report.reference}", report.reference_estimates),
        (f"{report.target} less {report.reference}", report.differences),
    ]


def _table(title: str, *columns: str, names: int = 1) -> Table:
    table = Table(title=_text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < names else "right", overflow="fold")
    return table


def _estimates(title: str, estimates: Sequence[Estimate], *, refused: bool) -> RenderableType:
    if refused:
        title = f"NOT USABLE: {title}"
    table = _table(title, "estimator", "value", "standard error", "from", "to", "interval")
    digits = places(estimates)
    for each in estimates:
        numbers = (each.value, each.standard_error, each.low, each.high)
        look = "strike dim" if refused else ""
        cells = [
            _text(f"({figure(number, digits)})" if refused else figure(number, digits), look)
            for number in numbers
        ]
        table.add_row(_text(each.estimator), *cells, _text("; ".join(filter(None, (each.method, each.note)))))
    return table


def _sequence(report: Report) -> RenderableType:
    if report.sequence is None or not report.sequence.peeks:
        return _text("")
    last = report.sequence.peeks[-1]
    ends = f"from {short(last.low)} to {short(last.high)} after {last.rounds:,} rounds"
    stamp = "NOT USABLE: " if report.verdict.refused else ""
    words = f"{stamp}{report.sequence.label}, valid at every round at once: {ends} ({report.sequence.method})"
    return Padding(_text(words, "strike dim" if report.verdict.refused else ""), (0, 0, 1, 0))


def _diagnostics(title: str, found: Diagnosis) -> RenderableType:
    table = _table(title, "diagnostic", "value", "expected", "", names=1)
    for name, value, expected, state in lines(found):
        table.add_row(name, value, expected, _STATES[state])
    return table


def _checks(found: Diagnosis) -> RenderableType:
    table = _table(
        "Are the logged probabilities true?", "check", "at the worst place", "p at most", "", names=2
    )
    for check in found.checks:
        state = _STATES[check_state(check.p_value, check.off)]
        table.add_row(check.name, _text(check.finding), p_value(check.p_value), state)
    return table


def _breakdowns(found: Diagnosis) -> list[tuple[str, Breakdown]]:
    pairs = [("By action", found.actions), ("By segment", found.segments), ("By day", found.days)]
    return [(title, breakdown) for title, breakdown in pairs if len(breakdown.groups) > 1 or breakdown.other]


def _groups(title: str, breakdown: Breakdown, *, refused: bool) -> RenderableType:
    columns = ("rounds", "log's share", "target's share", "mean reward", "mean weight", "adds to the value")
    table = _table(f"NOT USABLE: {title}" if refused else title, "", *columns)
    for row in rows(breakdown, MOST_GROUPS, latest=title == "By day"):
        added = _text(f"({row.contribution})", "strike dim") if refused else row.contribution
        table.add_row(_text(row.name), *row[1:-1], added)
    if len(breakdown.groups) > MOST_GROUPS:
        table.caption = f"{len(breakdown.groups) - MOST_GROUPS:,} more are in the page and in the JSON."
    return table
