from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bandit.errors import SetupError
from cli.errors import clean_exit, laboratory
from cli.replay_live import replay_live

_app = typer.Typer()
_app.command()(replay_live)


def test_every_option_is_explained_and_the_help_ends_with_an_example() -> None:
    shown = CliRunner().invoke(_app, ["--help"], env={"COLUMNS": "160"}).output
    assert "Example: segbandit replay-live --dataset hillstrom --seeds 3" in shown
    for parameter in typer.main.get_command(_app).params:
        assert getattr(parameter, "help", None), parameter.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "criteo"], "expected 'hillstrom', got 'criteo'"),
        (["--path", "no.csv"], "expected a readable CSV"),
    ],
)
def test_an_error_of_ours_is_one_line_and_exit_code_1(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(_app, arguments)
    assert result.exit_code == 1
    assert result.output.startswith("segbandit: ")
    assert message in result.output
    assert "Traceback" not in result.output


def test_ctrl_c_ends_with_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, clean_exit("Nothing is lost."):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "Stopped. Nothing is lost.\n"


def test_a_missing_library_names_the_extra() -> None:
    with pytest.raises(SetupError, match=r"segbandit\[lab\]"), laboratory():
        raise ImportError("no httpx2")


def test_the_command_line_needs_no_laboratory_to_be_imported() -> None:
    for module in ("replay_live", "demo", "simulate"):
        source = (Path(__file__).parents[3] / "cli" / f"{module}.py").read_text()
        assert "\nfrom simulations" not in source
        assert "\nimport simulations" not in source
