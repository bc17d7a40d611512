from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import say_failed
from cli.terminal import print_json, visible

NASTY = "\x1b[2J\x1b]0;owned\x07 \u202etxt\u2066 \x9b31m \x7f \u2028 \U000e0041 caf\u00e9"


@given(st.text())
def test_nothing_steers_and_the_rest_stays(text: str) -> None:
    shown = visible(text)
    assert not [each for each in shown if unicodedata.category(each).startswith("C")]
    assert visible(shown) == shown
    if not set(text) & set('"\\\\'):
        assert json.loads(f'"{shown}"') == text


def test_printed_json_reads_back_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    value = {NASTY: [NASTY, 0.25, None], "name": "x" * 300}
    print_json(value)
    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert not [each for each in printed.replace("\n", "") if unicodedata.category(each).startswith("C")]


def test_errors_keep_their_lines_and_lose_what_steers(capsys: pytest.CaptureFixture[str]) -> None:
    say_failed(f"got {NASTY}\nand more")
    printed = capsys.readouterr().err
    assert "\x9b" not in printed
    assert "\u202e" not in printed
    assert "\nand more" in printed
