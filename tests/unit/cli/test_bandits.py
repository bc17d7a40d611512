from __future__ import annotations

import getpass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bandit.errors import InvalidInputError
from cli.author import author
from cli.main import app


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_configuration_that_cannot_be_read_is_said(tmp_path: Path, name: str) -> None:
    ran = CliRunner().invoke(app, ["bandits", "create", "hero", "--config", str(tmp_path / name)])
    assert ran.exit_code == 2
    assert "--config" in ran.output


def test_nobody_signs_as_the_learner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["bandits", "pause", "hero", "--who", "segbandit", "--data-dir", str(tmp_path)]
    ran = CliRunner().invoke(app, command)
    assert isinstance(ran.exception, InvalidInputError)
    assert ran.exception.target == "who"
    monkeypatch.setattr(getpass, "getuser", lambda: "segbandit")
    assert author(None, "why").who == "unknown", "an account of that name says no more than none"


@pytest.mark.parametrize("key", ["a b", "../x", "x:archive", "nl\nkey"])
def test_a_key_that_http_could_not_name_is_refused_before_anything_starts(key: str, tmp_path: Path) -> None:
    command = ["bandits", "create", key, "--action", "a", "--data-dir", str(tmp_path)]
    ran = CliRunner().invoke(app, command)
    assert isinstance(ran.exception, InvalidInputError)
    assert ran.exception.target == "bandit_key"
    assert list(tmp_path.iterdir()) == []
