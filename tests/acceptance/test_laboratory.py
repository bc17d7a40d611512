"""Each command of docs/laboratory.md is run as it stands, one after the other in one folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import serving

PAGE = (Path(__file__).parents[2] / "docs" / "laboratory.md").read_text()
OURS = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONWARNINGS": "error",
    "COLUMNS": "120",
}


def blocks(name: str) -> list[str]:
    return [str(found) for found in re.findall(rf"```{name}\n(.*?)```", PAGE, re.DOTALL)]


def ran(command: list[str], folder: Path, status: int = 0, **environment: str) -> str:
    """What a command said: on standard output, or where it fails, as it should, of its error."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | OURS | environment, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


def verdicts(text: str) -> list[str]:
    return re.findall(r"─ ([A-Z ]+) ─", text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laboratory")


@pytest.fixture(scope="module")
def printed(folder: Path) -> dict[str, str]:
    """What the blocks print; the shell's variables live on from one to the next."""
    made, verdict, policies, excluded = blocks("sh lab")
    (refused,) = blocks("sh refused")
    (columns,) = re.findall(r"^columns=.*\n", verdict, re.MULTILINE)
    shell = ["bash", "-euc"]
    return {
        "made": ran([*shell, made], folder),
        "verdict": ran([*shell, verdict], folder),
        "policies": ran([*shell, columns + policies], folder),
        "refused": ran([*shell, columns + refused], folder, status=1),
        "excluded": ran([*shell, columns + excluded], folder),
    }


def test_the_first_verdict(printed: dict[str, str], folder: Path) -> None:
    assert printed["made"].startswith("visitor,landing,returning,banner,propensity,clicked")
    assert verdicts(printed["verdict"]) == ["BETTER"]
    assert json.loads((folder / "report.json").read_text())["verdict"]["outcome"] == "better"
    assert "The target policy earns more" in (folder / "report.html").read_text()


def test_policies_of_three_kinds(printed: dict[str, str]) -> None:
    assert re.findall(r"Target policy +(\S+)", printed["policies"]) == [
        "by_landing", "shop:welcome", "cautious",
    ]  # fmt: skip
    assert verdicts(printed["policies"]) == ["BETTER", "WORSE", "BETTER"]


def test_a_bad_row_is_named_and_then_left_out(printed: dict[str, str]) -> None:
    assert "probability above one: 1 row: 5001" in printed["refused"]
    assert verdicts(printed["excluded"]) == ["BETTER"]
    assert re.search(r"Rows left out +probability above one: 1\b", printed["excluded"])


def test_a_bandit_of_ours_and_its_exports_say_the_same(database_url: str, tmp_path: Path) -> None:
    (script,) = blocks("sh service")
    with serving(database_url) as service:
        script = script.replace("http://127.0.0.1:8080", service.url)
        said = ran(["bash", "-euc", script], tmp_path, DATABASE_URL=database_url)
    assert len(set(verdicts(said)[:3])) == 1
    parquet, dsjson = (json.loads((tmp_path / f"{form}.json").read_text()) for form in ("parquet", "dsjson"))
    assert parquet["rounds"] == 2_000
    assert parquet["estimates"] == dsjson["estimates"]
    assert "open-bandit/random/men: 10,000 rows, mean reward 0.0046." in said


def test_python_on_the_same_log(printed: dict[str, str], folder: Path) -> None:
    assert printed
    by_function, by_array = [ran([sys.executable, "-c", block], folder) for block in blocks("python lab")]
    assert by_function.startswith(("better [('dr'", "worse [('dr'", "no difference shown [('dr'"))
    outcome, value = by_array.rsplit(maxsplit=1)
    assert outcome == "better"
    assert float(value) == pytest.approx(0.1 * 0.1 + 0.2 * 0.2 + 0.7 * 0.3, abs=0.03)
