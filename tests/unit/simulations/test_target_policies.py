"""What each policy would have chosen in a logged round, and how policies are named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bandit.errors import InvalidInputError, SetupError
from bandit.fold import Fold
from bandit.types import Action, Features, PolicySettings, TrainingEvent
from simulations.logs.rows import Logged
from simulations.policies.named import target
from simulations.policies.targets import Fixed, Function, Learning, SegmentTable, TheLogged

ACTIONS = [Action(action_id=name) for name in "abc"]
UNIT = (0.0, 1.0)


def row(number: int = 1, **fields: Any) -> Logged:
    whole = {
        "row": number, "decision_id": str(number), "actions": ACTIONS, "chosen": 1, "probability": 0.5,
        "reward": 1.0,
    }  # fmt: skip
    return Logged(**{**whole, **fields})


@pytest.mark.parametrize("pmf", [[0, 0, 1.0000005], [0.2, 0.3, 0.4999995]])
def test_a_callable_that_rounds_gives_a_distribution(pmf: list[float]) -> None:
    found = Function("mine", lambda _context, _actions: pmf).distribution(row())
    assert sum(found) == pytest.approx(1.0, abs=1e-15)
    assert found == pytest.approx(pmf, rel=1e-6)


def test_the_logged_policy_is_what_was_logged() -> None:
    assert TheLogged().distribution(row(pmf=[0.2, 0.5, 0.3])) == [0.2, 0.5, 0.3]
    assert TheLogged().distribution(row()) == [0.0, 0.5, 0.0]


def test_a_fixed_action_that_is_not_offered_is_said_to_be_so() -> None:
    assert Fixed("c").distribution(row()) == [0.0, 0.0, 1.0]
    assert Fixed("z", "a").distribution(row()) == [1.0, 0.0, 0.0]
    with pytest.raises(
        InvalidInputError, match=r"fixed:z: expected one of the actions offered in row 7, a, b"
    ):
        Fixed("z").distribution(row(7))


@pytest.mark.parametrize("pmf", [[0.5, 0.5], [0.5, 0.6, 0.0], [1.5, -0.5, 0.0], [float("nan"), 0.5, 0.5]])
def test_a_callable_must_give_a_distribution(pmf: list[float]) -> None:
    with pytest.raises(InvalidInputError, match="expected 3 probabilities that sum to 1 for row 1"):
        Function("mine", lambda _context, _actions: pmf).distribution(row())


def test_a_callable_is_a_policy_by_its_own_name() -> None:
    def first(_context: Features, actions: Sequence[Action]) -> list[float]:
        return [float(index == 0) for index in range(len(actions))]

    named = target(first, UNIT)
    assert named.name == "first"
    assert named.distribution(row()) == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("given", [None, 3, ["a", "b", "c"]])
def test_a_callable_that_gives_nonsense_or_fails_is_named_with_its_row(given: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"for row 9, got (TypeError|ValueError)"):
        Function("mine", lambda _context, _actions: given).distribution(row(9))
    with pytest.raises(InvalidInputError, match="for row 9, got KeyError: 'age'"):
        Function("mine", lambda context, _actions: [context["age"]]).distribution(row(9))


def test_a_segment_table_goes_by_its_first_rule_that_fits() -> None:
    rules = [
        ({"device.os": "ios", "returning": "true"}, "b"),
        ({"device.os": "ios"}, "c"),
        ({"age": "30"}, "z"),
    ]
    table = SegmentTable("table", rules, default="a")
    ios = {"device": {"os": "ios"}}
    assert table.distribution(row(context={**ios, "returning": True})) == [0.0, 1.0, 0.0]
    assert table.distribution(row(context={**ios, "returning": False})) == [0.0, 0.0, 1.0]
    assert table.distribution(row(context={"age": 30})) == [1.0, 0.0, 0.0], "z is not offered"
    assert table.distribution(row(context={"device": "ios"})) == [1.0, 0.0, 0.0]
    with pytest.raises(InvalidInputError, match="none that fits"):
        SegmentTable("table", rules).distribution(row())


def test_what_learns_predicts_each_round_before_it_learns_it_and_as_production_does() -> None:
    """Asked twice along the same log it says the same, and a fold fed by hand says it too."""
    rows = [row(n, context={"x": n % 3}, chosen=n % 3, reward=10.0 * (n % 3 == 2)) for n in range(1, 60)]
    fold = Fold.start(PolicySettings(), salt="default")
    learning = Learning("default", PolicySettings(), reward_range=(0.0, 10.0))
    for one in rows:
        assert learning.distribution(one) == fold.policy.distribution(one.context, one.actions)
        fold.learn(
            TrainingEvent(
                seq=one.row, context=one.context, actions=one.actions, chosen=one.chosen, probability=0.5,
                scaled_reward=one.reward / 10.0,
            )
        )  # fmt: skip
    assert learning.distribution(rows[0])[2] > 0.5


def test_there_is_nothing_to_learn_where_all_rewards_are_the_same() -> None:
    with pytest.raises(InvalidInputError, match="expected rewards that differ"):
        Learning("default", PolicySettings(), reward_range=(0.0, 0.0))


def young_gets_b(context: dict[str, Any], actions: list[Action]) -> list[float]:
    return [
        float((context["age"] < 40) == (action.action_id == "b")) / (1 + (context["age"] >= 40))
        for action in actions
    ]


def test_policies_by_name(tmp_path: Path) -> None:
    settings, config, table = tmp_path / "fast.json", tmp_path / "hero.json", tmp_path / "segments.csv"
    settings.write_text(
        '{"learning_rate": 0.5, "exploration": {"algorithm": "epsilon_greedy", "epsilon": 0.1}}'
    )
    config.write_text('{"actions": [{"action_id": "a"}], "mode": "apprentice", "baseline_action": "c"}')
    table.write_text("device.os,returning,action\nios,true,b\nios,,c\n,,a\n")
    assert [target(name, UNIT).distribution(row())[1] for name in ("uniform", "fixed:b", "default")] == [
        1 / 3,
        1.0,
        1 / 3,
    ]
    assert target(str(settings), UNIT).distribution(row()) == pytest.approx([1 / 3] * 3)
    assert target(str(config), UNIT).distribution(row()) == [0.0, 0.0, 1.0]
    by_table = target(str(table), UNIT)
    assert by_table.distribution(row(context={"device": {"os": "ios"}, "returning": True})) == [0.0, 1.0, 0.0]
    assert by_table.distribution(row(context={"device": {"os": "ios"}, "returning": False})) == [
        0.0,
        0.0,
        1.0,
    ]
    assert by_table.distribution(row()) == [1.0, 0.0, 0.0]
    mine = target(f"{__name__}:young_gets_b", UNIT)
    assert mine.distribution(row(context={"age": 30})) == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("name", "written", "said"),
    [
        ("nonsense", None, "a policy is one of"),
        ("fixed:", None, "a policy is one of"),
        ("missing.json", None, "No such file"),
        ("bad.json", '{"learning_rat": 1}', "learning_rat"),
        ("refused.json", '{"vw_arguments": ["--final_regressor=x"]}', "expected one of"),
        ("empty.csv", "device,action\n", "expected a CSV with a header"),
        ("ragged.csv", "device,action\nios,a,b\n", "expected a CSV with a header"),
        ("actionless.csv", "device,what\nios,a\n", "expected a CSV with a header"),
        ("no_such_module:f", None, "no_such_module"),
        ("json:no_such_function", None, "no_such_function"),
    ],
)
def test_a_name_that_stands_for_no_policy(name: str, written: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if written is not None:
        path.write_text(written)
    with pytest.raises((SetupError, InvalidInputError), match=said):
        target(str(path) if "." in name else name, UNIT)
