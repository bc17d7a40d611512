"""What a log holds, before anything is estimated from it."""

from __future__ import annotations

from msgspec.structs import replace

from bandit.types import Action
from simulations.logs.rows import Chunk, Logged, Problem
from simulations.logs.scan import Scan

ROW = Logged(
    row=1, decision_id="1", actions=[Action(action_id="a")], chosen=0, probability=1.0, reward=0.5, logger="x"
)


def test_rows_that_cannot_be_used_are_counted_by_cause_and_the_first_are_named() -> None:
    problems = [Problem(row, "often" if row % 10 else "rarely", f"row {row}: m.") for row in range(1, 101)]
    whole = Scan.of(Chunk([], problems))
    assert whole.refusal().splitlines() == [
        "100 of 100 rows cannot be used:",
        "- often: 90 rows: 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, .... "
        "For example, row 1: m.",
        "- rarely: 10 rows: 10, 20, 30, 40, 50, 60, 70, 80, 90, 100. For example, row 10: m.",
    ]
    parts = [Scan.of(Chunk([], problems[at : at + 7])) for at in range(0, 100, 7)]
    assert sum(reversed(parts), Scan()) == whole
    assert Scan().refusal() == ""


def test_the_range_of_rewards_and_who_logged() -> None:
    rows = [
        replace(ROW, reward=reward, logger=logger) for reward, logger in [(-1.0, "x"), (2.0, "y"), (0.0, "x")]
    ]
    found = Scan.of(Chunk(rows[:1], [])) + Scan.of(Chunk(rows[1:], []))
    assert (found.rounds, found.lowest, found.highest, dict(found.loggers)) == (
        3,
        -1.0,
        2.0,
        {"x": 2, "y": 1},
    )


def test_a_subject_that_comes_again_is_found_among_very_many() -> None:
    rows = [replace(ROW, row=n, decision_id=str(n), subject=f"s{n % 9_000}") for n in range(1, 18_001)]
    once = Scan.of(Chunk(rows[:9_000], []))
    assert not once.subjects.repeated
    assert len(once.subjects.times) == 4_096
    again = sum((Scan.of(Chunk(rows[at : at + 500], [])) for at in range(0, 18_000, 500)), Scan())
    assert again.subjects.repeated
    assert set(again.subjects.times.values()) == {2}
