from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.types import Action
from simulations.logs import check
from simulations.logs.check import checked, chunked
from simulations.logs.rows import Logged, Problem

ACTIONS = [Action(action_id=name) for name in "abc"]
GOOD = Logged(
    row=5, decision_id="d", actions=ACTIONS, chosen=1, probability=0.25, pmf=[0.5, 0.25, 0.25], reward=-2.0
)
NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("field", "value", "cause"),
    [
        ("probability", 0.0, "probability zero or below"),
        ("probability", -0.1, "probability zero or below"),
        ("probability", 1.0000001, "probability above one"),
        ("probability", NAN, "probability not a number"),
        ("probability", None, "probability not a number"),
        ("probability", True, "probability not a number"),
        ("probability", 0.2501, "pmf disagrees with the probability"),
        ("probability", 0.250002, "pmf disagrees with the probability"),
        ("pmf", [0.5, 0.25, 0.25001], "pmf does not sum to one"),
        ("pmf", [0.75, 0.25], "pmf of another length"),
        ("pmf", [1.25, 0.25, -0.5], "pmf with a value outside [0, 1]"),
        ("pmf", [0.5, 0.25, NAN], "pmf with a value outside [0, 1]"),
        ("pmf", [0.5, 0.25, None], "pmf with a value outside [0, 1]"),
        ("pmf", "even", "pmf with a value outside [0, 1]"),
        ("chosen", 3, "action not offered"),
        ("chosen", -1, "action not offered"),
        ("chosen", None, "action not offered"),
        ("chosen", True, "action not offered"),
        ("chosen", 1.0, "action not offered"),
        ("actions", [], "action not offered"),
        ("reward", NAN, "reward not finite"),
        ("reward", INFINITY, "reward not finite"),
        ("reward", None, "reward not finite"),
        ("reward", "much", "reward not finite"),
        ("reward", 10**400, "reward not finite"),
        ("context", {"x": NAN}, "invalid context"),
        ("context", {"x": None}, "invalid context"),
        ("context", {"x": [1, 2]}, "invalid context"),
        ("context", [1], "invalid context"),
        ("context", None, "invalid context"),
    ],
)
def test_what_is_wrong_is_named(field: str, value: Any, cause: str) -> None:
    found = checked(msgspec.structs.replace(GOOD, **{field: value}))
    assert isinstance(found, Problem)
    assert (found.row, found.cause) == (5, cause)
    assert found.message.startswith("row 5: ")


def test_the_message_says_what_was_named() -> None:
    found = checked(msgspec.structs.replace(GOOD, chosen=-1), "fax")
    assert isinstance(found, Problem)
    assert "3 offered actions, got 'fax'" in found.message


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8), st.data())
def test_a_row_that_is_right_comes_back(shares: list[float], data: st.DataObject) -> None:
    pmf = [share / sum(shares) for share in shares]
    chosen = data.draw(st.integers(0, len(pmf) - 1))
    row = Logged(
        row=1,
        decision_id="d",
        actions=[Action(action_id=str(i)) for i in range(len(pmf))],
        chosen=chosen,
        probability=pmf[chosen],
        pmf=data.draw(st.sampled_from([pmf, None])),
        reward=data.draw(st.floats(allow_nan=False, allow_infinity=False)),
    )
    assert checked(row) is row


def test_chunks_hold_every_row_once_as_a_row_or_a_problem() -> None:
    found = [
        msgspec.structs.replace(GOOD, row=row, decision_id=f"d{row % 7}")
        if row % 3
        else Problem(row, "c", "m")
        for row in range(1, 24)
    ]
    chunks = list(chunked(found, 5))
    assert [len(chunk.rows) + len(chunk.problems) for chunk in chunks] == [5, 5, 5, 5, 3]
    rows = [row.row for chunk in chunks for row in chunk.rows]
    problems = [problem for chunk in chunks for problem in chunk.problems]
    assert sorted(rows + [problem.row for problem in problems]) == list(range(1, 24))
    assert len({row % 7 for row in rows}) == len(rows)
    assert {p.cause for p in problems if p.row % 3} == {"repeated decision id"}


def test_a_repetition_is_found_as_far_back_as_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "WINDOW", 3)
    repeated = check.Repeated()
    assert [repeated.among(one) for one in "abcadea"] == [False, False, False, True, False, False, False]


def test_a_reward_outside_the_range_is_a_problem_of_its_row() -> None:
    rewards = (-0.1, 0.0, 0.5, 1.0, 50.0)
    rows = [
        msgspec.structs.replace(GOOD, row=row, decision_id=str(row), reward=reward)
        for row, reward in enumerate(rewards, start=1)
    ]
    (chunk,) = chunked(rows, 10, (0.0, 1.0))
    assert [row.row for row in chunk.rows] == [2, 3, 4]
    assert [(one.row, one.cause) for one in chunk.problems] == [
        (1, "reward outside the range"),
        (5, "reward outside the range"),
    ]
    assert "row 5: expected a reward in [0.0, 1.0], as declared, got 50.0." in chunk.problems[1].message
    (everything,) = chunked(rows, 10)
    assert len(everything.rows) == 5


@pytest.mark.parametrize(
    ("probability", "held", "fits"),
    [
        (5e-7, 0.0, False), (5e-7, 5.1e-7, False), (5e-7, 5.04e-7, True), (0.333333, 1 / 3, True),
        (0.9, 0.9000011, False),
    ],
)  # fmt: skip
def test_a_probability_may_be_rounded_but_not_be_another(probability: float, held: float, fits: bool) -> None:
    row = msgspec.structs.replace(GOOD, probability=probability, pmf=[1.0 - held, held, 0.0])
    found = checked(row)
    assert (found is row) == fits
    assert fits or (isinstance(found, Problem) and found.cause == "pmf disagrees with the probability")
