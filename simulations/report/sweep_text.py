"""A sweep for a terminal: what may be said first, then the candidates in their order."""

from __future__ import annotations

import io

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from simulations.evaluation.values import Estimate
from simulations.report.sweep_words import adjusted, best, left_out, reference, warnings
from simulations.report.words import figure, places, printable
from simulations.sweeping.sweep import Sweep


def print_sweep(found: Sweep, console: Console) -> None:
    """Write it to a console of any width from 100."""
    console.print(Panel(_text(found.sentence, "bold"), box=box.ROUNDED, padding=(1, 2)))
    console.print(_table(found))
    for words in (reference(found), adjusted(found), left_out(found)):
        console.print(_text(words, "dim"))
    for warning in warnings(found):
        console.print(_text(f"Warning: {warning}", "yellow"))


def to_text(found: Sweep, width: int = 120) -> str:
    """The same without colours."""
    written = io.StringIO()
    print_sweep(found, Console(file=written, width=width, force_terminal=False, color_system=None))
    return written.getvalue()


def _table(found: Sweep) -> Table:
    title = f"{len(found.candidates)} candidates by {found.estimator} on {found.log}, {found.rounds:,} rounds"
    table = Table(title=_text(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("", justify="right")
    table.add_column("candidate", overflow="fold")
    for name in ("value", "less the reference", "effective rounds"):
        table.add_column(name, justify="right")
    table.add_column("the best?")
    table.add_column("against the reference")
    value_places = places([each.value for each in found.candidates])
    difference_places = places([each.difference for each in found.candidates])
    for each in found.candidates:
        look = "strike dim" if each.rank is None else ""
        table.add_row(
            "-" if each.rank is None else str(each.rank),
            _text(each.name, "" if each.rank is None or not each.may_be_best else "bold"),
            _cell(each.value, value_places, look),
            _cell(each.difference, difference_places, look),
            f"{each.effective_sample_size:,.0f}",
            best(each),
            each.verdict.outcome,
        )
    return table


def _cell(estimate: Estimate, digits: int, look: str) -> Text:
    said = figure(estimate.value, digits)
    said += f"\n{figure(estimate.low, digits)} to {figure(estimate.high, digits)}"
    return _text(f"({said})" if look else said, look, lines=True)


def _text(words: str, style: str = "", *, lines: bool = False) -> Text:
    # Not as rich's markup, and without a log's control characters.
    return Text("\n".join(map(printable, words.split("\n"))) if lines else printable(words), style)
