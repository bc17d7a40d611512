from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from cli.simulate import simulate
from simulations.environments.catalogue import CATALOGUE
from simulations.simulation.summaries import Simulation

_app = typer.Typer()
_app.command()(simulate)
_SMALL = ["--rounds", "40", "--seeds", "2", "--workers", "1"]


def _run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(_app, arguments, env={"COLUMNS": "160"})
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def test_every_option_is_explained_and_the_help_has_an_example() -> None:
    _, shown = _run("--help")
    assert "Example: segbandit simulate drift" in shown
    for parameter in typer.main.get_command(_app).params:
        assert getattr(parameter, "help", None), parameter.name


def test_all_environments_are_listed() -> None:
    code, shown = _run("--list")
    assert code == 0
    for name, entry in CATALOGUE.items():
        assert name in shown
        assert entry.sentence in shown


def test_a_table_and_all_files_come_out(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("found.json", "plot.svg", "page.html")]
    code, shown = _run("new-actions", *_SMALL, "--json", files[0], "--plot", files[1], "--html", files[2])
    assert code == 0, shown
    for word in ("new-actions: 40 rounds, 2 seeds", "uniform", "default", "best fixed action", "optimum"):
        assert word in shown
    found = msgspec.json.decode(Path(files[0]).read_bytes(), type=Simulation)
    assert (found.environment, len(found.runs)) == ("new-actions", 4)
    assert f"{found.summaries[1].value.mean:.4f}" in shown
    assert "<svg" in Path(files[1]).read_text()
    assert "<h1>new-actions</h1>" in Path(files[2]).read_text()


def test_a_policy_and_data_from_files(tmp_path: Path) -> None:
    policy, data = tmp_path / "greedy.json", tmp_path / "fruit.csv"
    policy.write_text(json.dumps({"exploration": {"algorithm": "epsilon_greedy", "epsilon": 0.1}}))
    data.write_text("red,kind\n" + "1,apple\n0,pear\n" * 20)
    code, shown = _run(
        str(data), "--label", "kind", "--policy", str(policy), "--seeds", "1", "--workers", "1"
    )
    assert code == 0, shown
    assert "fruit.csv: 40 rounds, 1 seed" in shown
    assert "greedy" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mars"], "expected one of personas, drift"),
        (["nowhere.csv"], "expected a readable CSV"),
        (["--policy", "best"], "expected uniform, default, fixed:ACTION_ID, a .json or .csv file"),
        (["--plot", "plot.gif"], "expected a plot ending in .svg, .png, .pdf"),
        (["--json", "no/such/folder.json"], "expected a folder to write"),
    ],
)
def test_an_error_of_ours_is_one_line_and_exit_code_1(arguments: list[str], message: str) -> None:
    code, shown = _run(*arguments, *_SMALL)
    assert code == 1
    assert message in shown
    assert shown.startswith("segbandit: ")
