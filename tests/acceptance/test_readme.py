"""Each command of the README is run as it stands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import serving

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(name: str) -> str:
    (found,) = re.findall(rf"```sh {name}\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_the_session_works_as_it_stands(database_url: str) -> None:
    with serving(database_url) as service:
        script = block("session").replace("http://127.0.0.1:8080", service.url)
        ran = subprocess.run(
            ["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=False
        )
    assert ran.returncode == 0, ran.stderr
    bandit, decision, reward, record = _objects(ran.stdout)
    assert bandit["bandit_key"] == "hero"
    assert decision["decision_id"] == "visit-1"
    assert reward["results"][0]["status"] == "accepted"
    assert record["probability"] == decision["probability"]


@pytest.mark.parametrize("command", block("commands").splitlines())
def test_every_command_answers_and_every_help_has_an_example(command: str) -> None:
    arguments = command.split()[1:]
    ran = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert arguments in (["--help"], ["version"]) or "Example: " in ran.stdout


@pytest.mark.parametrize("command", block("laboratory").splitlines())
def test_the_laboratory_answers(command: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "cli.main", *command.split()[1:]],
        capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ("no difference shown" if "evaluate" in command else "default") in ran.stdout


def test_the_readme_names_every_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "cli.main", "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    commands = set(re.findall(r"^│ ([a-z][a-z-]*)  ", ran.stdout, re.MULTILINE))
    assert commands == set(
        "serve learner migrate demo replay-live audit explain rebuild archive export import datasets "
        "evaluate sweep simulate bandits models version".split()
    )
    assert all(f"segbandit {command}" in README for command in commands)


@pytest.mark.parametrize("target", ["run", "test"])
def test_the_two_commands_exist(target: str) -> None:
    ran = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert ran.returncode == 0


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert link.startswith("http") or (page.parent / link).exists(), link


def test_every_decision_record_is_listed() -> None:
    listed = (ROOT / "docs" / "decisions" / "README.md").read_text()
    assert all(page.name in listed for page in ROOT.glob("docs/decisions/0*.md"))


def _objects(text: str) -> list[dict[str, Any]]:
    decoder = json.JSONDecoder()
    found = []
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found
