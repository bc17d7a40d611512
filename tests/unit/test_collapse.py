"""Shares of actions and segments, and when they have collapsed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.collapse import CLEARED, Tallies, Tally, counted, findings
from bandit.steering import AlertBounds
from bandit.types import Action, BanditConfig, Decision, DecisionInput, ServedMode

BOUNDS = AlertBounds(action_share=0.1, segment_share=0.1, entropy=0.5, decisions=100)
CATALOGUE = [
    Action(action_id="a", segment="one"),
    Action(action_id="b", segment="two"),
    Action(action_id="c", segment="two"),
]


def configured(actions: Sequence[Action] = CATALOGUE, **fields: Any) -> BanditConfig:
    return BanditConfig(actions=list(actions), **({"alerts": BOUNDS} | fields))


def decision(pmf: dict[str, float], mode: ServedMode = "online") -> Decision:
    return Decision(
        decision_id="d", bandit_key="hero", decided_at=datetime(2026, 1, 1, tzinfo=UTC),
        asked=DecisionInput(),
        offered=[Action(action_id=action_id) for action_id in pmf], positions=list(range(len(pmf))),
        pmf=list(pmf.values()), chosen=0, draw=0.5, model_version=1, config_version=1, mode=mode,
    )  # fmt: skip


def found(config: BanditConfig, decisions: Sequence[Decision]) -> dict[tuple[str, str], bool | None]:
    tallies = counted(Tallies(), config, decisions)
    return {(one.kind, one.target): one.alarming for one in findings(tallies, config)}


def test_a_share_below_its_part_of_an_equal_one_alarms() -> None:
    said = found(configured(), [decision({"a": 0.97, "b": 0.02, "c": 0.01})] * 100)
    assert said == {
        ("action_share", "a"): False, ("action_share", "b"): True, ("action_share", "c"): True,
        ("segment_share", "one"): False, ("segment_share", "two"): True, ("entropy", ""): True,
    }  # fmt: skip


def test_nothing_is_said_before_as_many_decisions_as_the_bounds_ask_for() -> None:
    assert found(configured(), [decision({"a": 1.0, "b": 0.0, "c": 0.0})] * 99) == {}


def test_what_is_seldom_offered_is_judged_by_the_decisions_that_offered_it() -> None:
    often, seldom = decision({"a": 0.5, "b": 0.5}), decision({"a": 0.4, "b": 0.4, "c": 0.2})
    tallies = counted(Tallies(), configured(), [often] * 900 + [seldom] * 100)
    assert tallies.actions["c"].mean == pytest.approx(0.2)
    assert ("action_share", "c") not in found(configured(), [often] * 950 + [seldom] * 50)


def test_a_new_action_is_not_judged_before_it_had_a_chance() -> None:
    late = decision({"a": 1.0, "b": 0.0, "c": 0.0, "new": 0.0})
    grown = configured([*CATALOGUE, Action(action_id="new")])
    tallies = counted(Tallies(), configured(), [decision({"a": 0.4, "b": 0.3, "c": 0.3})] * 100)
    young = counted(tallies, grown, [late] * 99)
    assert "new" not in {one.target for one in findings(young, grown)}
    assert "new" in {one.target for one in findings(counted(young, grown, [late]), grown)}


@pytest.mark.parametrize(
    "fields",
    [
        {"killed_actions": ["b", "c"]},
        {"killed_segments": ["two"]},
        {"actions": [CATALOGUE[0], *(Action(action_id=i, segment="two", enabled=False) for i in "bc")]},
        {"actions": CATALOGUE[:1]},
    ],
)
def test_what_was_retired_cannot_collapse_and_begins_anew(fields: dict[str, Any]) -> None:
    tallies = counted(Tallies(), configured(), [decision({"a": 1.0, "b": 0.0, "c": 0.0})] * 150)
    assert findings(counted(tallies, configured(**fields), []), configured(**fields)) == []
    back = counted(counted(tallies, configured(**fields), []), configured(), [])
    assert set(back.actions) == {"a"}


@pytest.mark.parametrize("mode", ["apprentice", "paused", "fallback", "logging_only"])
def test_what_no_policy_chose_does_not_count(mode: ServedMode) -> None:
    assert found(configured(), [decision({"a": 1.0, "b": 0.0, "c": 0.0}, mode)] * 200) == {}


@pytest.mark.parametrize(
    "fields", [{"mode": "apprentice"}, {"mode": "logging_only"}, {"paused": True}]
)  # fmt: skip
def test_while_no_decision_could_count_nothing_is_said(fields: dict[str, Any]) -> None:
    tallies = counted(Tallies(), configured(), [decision({"a": 1.0, "b": 0.0, "c": 0.0})] * 150)
    assert findings(tallies, configured(**fields)) == []
    assert findings(counted(tallies, configured(**fields), []), configured()) != [], "it is not forgotten"


def test_between_bound_and_clearing_an_alert_stays_as_it_is() -> None:
    config = configured([Action(action_id="a"), Action(action_id="b")])
    bound = 0.1 / 2
    for share, alarming in [(0.99, True), (1.2, None), (1.01 * CLEARED, False)]:
        said = found(config, [decision({"a": 1.0 - share * bound, "b": share * bound})] * 100)
        assert said["action_share", "b"] is alarming


def test_without_bounds_there_are_no_findings() -> None:
    config = configured(alerts=AlertBounds(segment_share=None, entropy=None))
    assert found(config, [decision({"a": 1.0, "b": 0.0, "c": 0.0})] * 2_000) == {}


@given(
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=400),
    st.lists(st.integers(0, 400), max_size=5),
)
def test_however_the_log_is_cut_it_says_the_same(shares: list[float], places: list[int]) -> None:
    decisions = [decision({"a": 1.0 - share, "b": share}) for share in shares]
    tallies = Tallies()
    for start, end in pairwise([0, *sorted(places), 400]):
        tallies = counted(tallies, configured(), decisions[start:end])
    assert tallies == counted(Tallies(), configured(), decisions)
    whole = len(shares) // 100 * 100
    if whole:
        assert tallies.actions["b"].mean == pytest.approx(sum(shares[whole - 100 : whole]) / 100)
    assert tallies.actions["b"].offers == len(shares) - whole


def test_a_shorter_block_is_judged_at_once() -> None:
    assert Tally(offers=500, total=50.0).add(0.1, length=100).mean == pytest.approx(50.1 / 501)
