from __future__ import annotations

from typing import Any

import msgspec
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from bandit.types import Action, BanditConfig
from cli.edit import assigned
from cli.main import app
from cli.switches import said

CONFIG = BanditConfig(actions=[Action(action_id="a", features={"price": 1.0}), Action(action_id="b")])
COMMANDS = typer.main.get_command(app).commands["bandits"].commands  # type: ignore[attr-defined]  # groups
words = st.text("abcdefgh", min_size=1, max_size=8)
values = st.none() | st.booleans() | st.integers(-9, 9) | words | st.lists(st.integers(0, 9), max_size=3)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_explains_its_options(name: str) -> None:
    command = COMMANDS[name]
    assert f"Example: segbandit bandits {name}" in command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), parameter.name


def test_the_owners_commands_are_there() -> None:
    assert {"edit", "pause", "resume", "kill", "revive", "archive", "changes"} <= COMMANDS.keys()


@given(st.lists(words, min_size=1, max_size=3), values)
def test_what_is_set_stands_where_it_was_set(path: list[str], value: Any) -> None:
    text = msgspec.json.encode(value).decode()
    found: Any = assigned(CONFIG, {}, [f"novelty.{'.'.join(path)}={text}"])
    for name in ["novelty", *path]:
        found = found[name]
    assert found == value


@given(st.dictionaries(words, values, min_size=1), words, st.integers(0, 9), st.integers(10, 19))
def test_of_a_changed_object_the_differing_field_is_said(
    same: dict[str, Any], field: str, old: int, new: int
) -> None:
    change = {"from": {"in": {**same, field: old}}, "to": {"in": {**same, field: new}}}
    assert said({"alerts": change}) == f"alerts.in.{field}: {old} -> {new}"


def test_what_differs_at_the_end_of_a_long_value_is_not_cut_off() -> None:
    long = "x" * 100
    assert said({"rule": {"from": f"{long}a", "to": f"{long}b"}}) == f'rule: "{long}a" -> "{long}b"'
    assert said({"rule": {"from": None, "to": long}}).endswith("x ...")


@given(words.filter(lambda name: name not in ("true", "false", "null")))
def test_what_is_no_json_is_a_text(text: str) -> None:
    assert assigned(CONFIG, {}, [f"mode={text}"]) == {"mode": text}
    assert assigned(CONFIG, {}, [f'mode="{text}"']) == {"mode": text}


def ids(found: dict[str, Any]) -> list[str]:
    return [action["action_id"] for action in found["actions"]]


def test_items_go_by_their_id_and_the_others_stay_as_they_are() -> None:
    found = assigned(CONFIG, {}, ["actions.c={}", "actions.a.features.price=2", "actions.b=null"])
    assert ids(found) == ["a", "c"]
    assert found["actions"][0] == {**msgspec.to_builtins(CONFIG.actions[0]), "features": {"price": 2}}
    assert ids(assigned(CONFIG, {}, ["actions.nobody=null"])) == ["a", "b"]


def test_a_file_comes_first_and_single_fields_go_into_it() -> None:
    given_ = {"novelty": {"share": 0.5}, "mode": "apprentice"}
    assert assigned(CONFIG, given_, ["novelty.seconds=60"]) == {
        "novelty": {"share": 0.5, "seconds": 60}, "mode": "apprentice",
    }  # fmt: skip
    assert given_ == {"novelty": {"share": 0.5}, "mode": "apprentice"}
