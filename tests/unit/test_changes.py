from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.changes import difference
from bandit.types import Action, Bandit, BanditConfig, Candidate, PolicySettings


def bandit(candidate: Candidate | None = None, **fields: Any) -> Bandit:
    config = BanditConfig(**{"actions": [Action(action_id="a"), Action(action_id="b")]} | fields)
    return Bandit(
        bandit_key="hero", config_version=1, config=config, salt="s", archived=False,
        created_at=datetime(2026, 1, 1, tzinfo=UTC), candidate=candidate,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, {}),
        ({"paused": True}, {"paused": {"from": False, "to": True}}),
        ({"terminal_kinds": ["x"]}, {"terminal_kinds": {"added": ["x"]}}),
        (
            {"actions": [Action(action_id="b", enabled=False), Action(action_id="c")]},
            {"actions": {"added": ["c"], "removed": ["a"], "changed": ["b"]}},
        ),
        (
            {"actions": [Action(action_id="b"), Action(action_id="a")]},
            {"actions": {"order": ["b", "a"]}},
        ),
    ],
)
def test_what_differs_is_named(fields: dict[str, Any], found: dict[str, Any]) -> None:
    assert difference(bandit(), bandit(**fields)) == found


def test_a_candidate_is_named_too() -> None:
    begun = Candidate(branch=2, config_version=3, policy=PolicySettings(relearn=0))
    assert difference(bandit(), bandit(begun)) == {
        "candidate": {"from": None, "to": msgspec.to_builtins(begun)}
    }


names = st.lists(st.sampled_from("abcdef"), unique=True)


@given(names, names)
def test_a_list_and_its_difference_give_the_other_list(old: list[str], new: list[str]) -> None:
    found = difference(bandit(killed_actions=old), bandit(killed_actions=new)).get("killed_actions", {})
    if "order" in found:
        assert found["order"] == new
    else:
        kept = [name for name in old if name not in found.get("removed", [])]
        assert sorted(kept + found.get("added", [])) == sorted(new)
