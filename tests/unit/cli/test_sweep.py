from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.sweep import sweep

_app = typer.Typer()
_app.command()(sweep)


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two banners, shown alike; b is clicked by the young, a by the others."""
    path = tmp_path_factory.mktemp("log") / "visits.csv"
    lines = ["banner,click,propensity,age"]
    for number in range(1_200):
        young, b = number % 3 == 0, number % 2
        click = int((young == bool(b)) and number % 5 < 3)
        lines.append(f"{'ab'[b]},{click},0.5,{'young' if young else 'old'}")
    path.write_text("\n".join(lines))
    return path


COLUMNS = ["--column", "action=banner", "--column", "reward=click", "--column", "probability=propensity"]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(_app, list(arguments), env={"COLUMNS": "160"})
    return result.exit_code, result.output


def test_every_option_is_explained_and_the_help_ends_with_an_example() -> None:
    _, shown = run("--help")
    assert "Example: segbandit sweep visits.csv --column reward=click --html sweep.html" in shown
    for parameter in typer.main.get_command(_app).params:
        assert getattr(parameter, "help", None), parameter.name


def test_a_grid_beside_named_policies(csv: Path, tmp_path: Path) -> None:
    grid, to_json, to_html = (tmp_path / name for name in ("grid.json", "sweep.json", "sweep.html"))
    grid.write_text('{"learning_rate": [0.02, 0.1], "exploration": [{"algorithm": "epsilon_greedy"}]}')
    code, output = run(
        str(csv), *COLUMNS, "--policy", "fixed:a", "--grid", str(grid),
        "--json", str(to_json), "--html", str(to_html), "--workers", "1",
    )  # fmt: skip
    assert code == 0, output
    candidates = json.loads(to_json.read_bytes())["candidates"]
    names = {each["name"] for each in candidates}
    assert names == {"fixed:a", "epsilon_greedy, learning_rate 0.02", "epsilon_greedy, learning_rate 0.1"}
    assert candidates[0]["verdict"]["outcome"] == "better"
    assert "epsilon_greedy, learning_rate 0.1" in to_html.read_text()
    assert candidates[0]["name"] in output


def test_without_candidates_those_of_ours_are_tried(csv: Path) -> None:
    code, output = run(str(csv), *COLUMNS, "--sample", "3", "--seed", "4", "--workers", "1")
    assert code == 0, output
    assert "3 candidates by dr" in output
    assert "default" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a log: a file, --dataset or --bandit"),
        (["a.csv", "--dataset", "hillstrom"], "expected one log"),
        (["--dataset", "criteo"], "dataset: expected one of"),
        (["no.csv"], "no.csv"),
        (["{csv}", "--grid", "no.json"], "no.json: expected lists of values"),
        (["{csv}", "--html", "no/such/place.html"], "expected a folder"),
        (["{csv}", "--policy", "nonsense"], "expected a policy"),
        (["{csv}", "--policy", "uniform", "--sample", "2"], "expected no --sample beside --policy"),
        (["{csv}", "--until", "2026-01-01"], "expected no --until without --bandit"),
        (["{csv}", "--reward-range", "1", "0"], "reward_range: expected the lowest and the highest"),
        (["--dataset", "open-bandit/bts/men", "--reward-range", "0", "1"], "expected no --reward-range"),
    ],
)
def test_an_error_of_ours_is_one_line_and_exit_code_1(csv: Path, arguments: list[str], message: str) -> None:
    given = [each.format(csv=csv) for each in arguments]
    code, output = run(*given, *(COLUMNS if str(csv) in given else []))
    assert code == 1
    assert message in output
    assert "Traceback" not in output
