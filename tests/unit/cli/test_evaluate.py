from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from cli.evaluate import evaluate
from simulations.evaluation.open_bandit import Judged
from simulations.evaluation.values import Report

_app = typer.Typer()
_app.command()(evaluate)


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(_app, [str(each) for each in arguments], env={"COLUMNS": "160"})
    assert "Traceback" not in result.output
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """A uniform log in which b earns more on phones and a elsewhere."""
    drawn = random.Random(7)
    lines = ["variant,device,p,clicked,visitor"]
    for number in range(3_000):
        device, variant = drawn.choice(("phone", "desktop")), drawn.choice("ab")
        rate = 0.6 if (variant == "b") == (device == "phone") else 0.2
        lines.append(f"{variant},{device},0.5,{int(drawn.random() < rate)},v{number}")
    path = tmp_path / "visits.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


COLUMNS = ["--column", "action=variant", "--column", "probability=p", "--column", "reward=clicked",
           "--column", "subject=visitor"]  # fmt: skip


def test_every_option_is_explained_and_the_help_has_an_example() -> None:
    _, shown = run("--help")
    assert "Example: segbandit evaluate visits.csv" in shown
    for parameter in typer.main.get_command(_app).params:
        assert getattr(parameter, "help", None) or parameter.name == "log", parameter.name


def test_a_csv_from_the_first_line_to_the_verdict(visits: Path, tmp_path: Path) -> None:
    table, report, page = tmp_path / "by-device.csv", tmp_path / "r.json", tmp_path / "r.html"
    table.write_text("device,action\nphone,b\n,a\n")
    code, shown = run(visits, *COLUMNS, "--policy", table, "--json", report, "--html", page)
    assert code == 0
    assert "BETTER" in shown
    written = Report.of_json(report.read_bytes())
    assert written.target == "by-device"
    assert written.rounds == 3_000
    assert written.estimates[0].value == pytest.approx(0.6, abs=0.05)
    assert written.verdict.sentence.replace("\n", " ")[:40] in page.read_text()


def test_what_is_learned_along_the_log_comes_near_what_is_best(visits: Path) -> None:
    code, shown = run(visits, *COLUMNS, "--policy", "default", "--learn-first", "0.5", "--estimator", "snips")
    assert code == 0
    assert "BETTER" in shown
    assert "learned before the evaluation: 1,500" in shown


def test_bad_rows_are_named_and_left_out_only_if_somebody_says_so(visits: Path) -> None:
    lines = visits.read_text().splitlines()
    lines[11] = "a,phone,1.5,1,v10"
    lines[21] = "a,phone,0.5,nan,v20"
    visits.write_text("\n".join(lines) + "\n")
    code, shown = run(visits, *COLUMNS)
    assert code == 1
    assert "2 of 3,000 rows cannot be used" in shown
    assert "probability above one: 1 row: 11." in shown
    assert "reward not finite: 1 row: 21." in shown
    code, shown = run(visits, *COLUMNS, "--exclude-bad-rows")
    assert code == 0
    assert "probability above one: 1" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dataset", "hillstrom", "--bandit", "hero"], "expected one log"),
        (["--column", "reward"], "--column: expected NAME=VALUE"),
        (["--column", "rewards=clicked"], "expected action, reward"),
        (["--policy", "model:3"], "name it with --bandit"),
        (["--policy", "fixed:z"], "fixed:z: expected one of the actions offered"),
        (["--estimator", "magic"], "estimator: expected one of"),
        (["--against", "nobody"], "expected a policy"),
        (["--logger", "x=uniform", "--estimator", "balanced_ips"], "got none for"),
        (["--reward-range", "1", "0"], "reward_range: expected the lowest and the highest"),
        (["--since", "2026-01-01"], "expected no --since without --bandit"),
        (["--reward", "spend"], "expected no --reward without --dataset hillstrom"),
        (
            ["--dataset", "open-bandit/bts/men", "--column", "reward=click"],
            "expected no --column without a file",
        ),
        (["--dataset", "open-bandit/bts/men", "--reward-range", "0", "1"], "expected no --reward-range"),
        (["--bandit", "hero", "--reward-range", "0", "1"], "expected no --reward-range without a file"),
        (
            ["--dataset", "open-bandit", "--policy", "uniform"],
            "expected no --policy with the whole Open Bandit",
        ),
    ],
)
def test_what_cannot_be_done_is_said(visits: Path, arguments: list[str], said: str) -> None:
    log = [] if {"--dataset", "--bandit"} & set(arguments) else [str(visits), *COLUMNS]
    code, shown = run(*log, *arguments)
    assert code == 1
    assert said in shown


def test_without_a_log_no_option_is_passed_over() -> None:
    code, shown = run("--level", "0.9", "--estimator", "ips")
    assert code == 1
    assert "expected no --estimator, --level with the whole Open Bandit sample" in shown


def test_the_open_bandit_sample_as_json_and_pages(tmp_path: Path) -> None:
    report, page = tmp_path / "all.json", tmp_path / "all.html"
    code, shown = run("--dataset", "open-bandit", "--json", report, "--html", page)
    assert code == 0
    judged = msgspec.json.decode(report.read_bytes(), type=list[Judged])
    names = [f"{one.campaign}-{one.report.target}" for one in judged]
    assert names == ["all-bts", "all-uniform", "men-bts", "men-uniform"]
    for name, one in zip(names, judged, strict=True):
        assert f"{one.on_policy:.5f}" in shown
        assert one.report.verdict.sentence in (tmp_path / f"all-{name}.html").read_text()


def test_dsjson_has_no_columns_to_be_named(tmp_path: Path) -> None:
    (tmp_path / "log.dsjson").write_text("{}")
    code, shown = run(tmp_path / "log.dsjson", "--column", "reward=click")
    assert code == 1
    assert "columns: expected none for dsjson" in shown


def test_a_file_that_is_no_log(tmp_path: Path) -> None:
    for name, said in (("log.txt", "expected a name that ends in"), ("missing.csv", "missing.csv")):
        code, shown = run(tmp_path / name)
        assert code == 1
        assert said in shown
