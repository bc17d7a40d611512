"""What policies miss, as it grows: cumulated regret over rounds, with intervals over seeds."""

from __future__ import annotations

import io
from itertools import cycle, islice
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from bandit.errors import SetupError
from simulations.columns.exact import Floats
from simulations.simulation.summaries import LEVEL, Simulation

_Look = tuple[str, str]
#: Colours that the colour-blind can tell apart (Okabe & Ito 2008), beside line styles that all can.
_LOOKS: tuple[_Look, ...] = (
    ("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."),
    ("#CC79A7", "-"), ("#56B4E9", "--"), ("#E69F00", "-."),
)  # fmt: skip
_GREY: _Look = ("#6b6b6b", ":")
#: Checkpoints over which the missed reward per round is averaged.
_WINDOW = 10


def save(found: Simulation, path: Path) -> None:
    """Write the plot in the format that the path's ending names: .svg, .png or .pdf.

    Raises:
        SetupError: it cannot be written there, or not in that format.
    """
    try:
        _write(found, path, path.suffix.removeprefix("."))
    except (OSError, ValueError) as error:
        raise SetupError(f"expected to write the plot to {path} (.svg, .png, .pdf), got {error}.") from error


def as_svg(found: Simulation) -> str:
    """The plot as an <svg> element, to stand in a page."""
    written = io.StringIO()
    _write(found, written, "svg")
    text = written.getvalue()
    return text[text.index("<svg") :]


def _write(found: Simulation, to: Path | io.StringIO, form: str) -> None:
    """The same simulation gives the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "segbandit"}):
        plot(found).savefig(to, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)


def plot(found: Simulation) -> Figure:
    """Two panels: regret cumulated from the first round on, and per round over the last tenth of a run."""
    figure = Figure(figsize=(11.0, 4.6), layout="constrained")
    total, recent = figure.subplots(1, 2)
    rounds = np.array([0, *found.checkpoints], float)
    lines = [
        (one.policy, [r.regret for r in found.runs if r.policy == one.policy]) for one in found.summaries
    ]
    looks = [*islice(cycle(_LOOKS), len(lines)), _GREY]
    fixed = [run.best_fixed_regret for run in found.runs if run.policy == found.summaries[0].policy]
    for (name, curves), (colour, style) in zip([*lines, ("best fixed action", fixed)], looks, strict=True):
        regret = np.column_stack([np.zeros(len(curves)), np.array(curves)])
        _band(total, rounds, regret, name, colour, style)
        _band(recent, rounds[1:], _recently(rounds, regret), name, colour, style)
    _label(total, "Cumulated regret", "Regret against the optimum (reward)")
    _label(recent, "Regret per round, moving mean", "Missed reward per round")
    total.legend(frameon=False, loc="upper left")
    seeds = len(found.seeds)
    shown = f"mean of {seeds} seeds, band: {LEVEL:.0%} interval" if seeds > 1 else "one seed"
    figure.suptitle(f"{found.environment}: {found.rounds:,} rounds, {shown}", fontsize=12)
    return figure


def _band(axes: Axes, rounds: Floats, curves: Floats, name: str, colour: str, style: str) -> None:
    mean = curves.mean(axis=0)
    axes.plot(rounds, mean, color=colour, linestyle=style, linewidth=1.8, label=name)
    if len(curves) > 1:
        half = stats.t.ppf(0.5 + LEVEL / 2, len(curves) - 1) * stats.sem(curves, axis=0)
        axes.fill_between(rounds, mean - half, mean + half, color=colour, alpha=0.18, linewidth=0)


def _recently(rounds: Floats, regret: Floats) -> Floats:
    """Regret per round over the last `_WINDOW` checkpoints (seeds, checkpoints)."""
    before = np.maximum(np.arange(1, len(rounds)) - _WINDOW, 0)
    missed: Floats = (regret[:, 1:] - regret[:, before]) / (rounds[1:] - rounds[before])
    return missed


def _label(axes: Axes, title: str, unit: str) -> None:
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("Rounds")
    axes.set_ylabel(unit)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.8)
    axes.set_axisbelow(True)
