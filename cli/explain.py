"""`segbandit explain`: why a decision came out as it did."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bandit import explain as explaining
from bandit.explanation import Explanation
from cli.service import DataDir, prepared, with_database
from cli.terminal import cells, visible

DecisionId = Annotated[str, typer.Argument(help="The decision's id.")]


def explain(decision_id: DecisionId, data_dir: DataDir = None) -> None:
    """Which fields moved the score of what was chosen, what else had a part, and one plain sentence.

    Example: segbandit explain 019b76da-a800-7c4e-9d1f-3a5b8c2e7f60
    """
    found = with_database(prepared(data_dir), lambda db: explaining.explain(db, decision_id))
    console = Console(highlight=False)
    console.print(Text(visible(found.sentence)))
    console.print(Text(visible(_facts(found))))
    if found.score is None:
        return
    console.print(Text(visible(_scores(found))))
    if found.reshaped_by:
        console.print(_reshaped(found))
    if found.features:
        console.print(_features(found))
        console.print("Each figure is what is gone without that field; they need not add up.")


def _facts(found: Explanation) -> str:
    explored = ", although another one was more probable (explored)" if found.explored else ""
    return (
        f"{found.bandit_key} chose {found.action_id} with probability {found.probability:.4f}{explored}; "
        f"{found.offered} of {found.actions} actions could be chosen. Mode {found.mode}, model "
        f"{found.model_version}, configuration {found.config_version}."
    )


def _scores(found: Explanation) -> str:
    other = found.compared_with
    beside = f", beside {other.score:.4f} of {other.action_id}" if other else ""
    return (
        f"Its score is {found.score:.4f}{beside}; the policy alone would have chosen it with probability "
        f"{found.probability_by_policy:.4f}."
    )


def _reshaped(found: Explanation) -> Table:
    table = Table("rule", "name", "moved the probability by")
    for one in found.reshaped_by:
        table.add_row(*cells(one.kind, one.name or "", f"{one.moved_by:+.4f}"))
    return table


def _features(found: Explanation) -> Table:
    table = Table("feature", "value", "moved the score by")
    for one in found.features:
        table.add_row(*cells(one.feature, str(one.value), f"{one.moved_by:+.4f}"))
    return table
