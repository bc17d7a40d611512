"""Files of all formats, right and wrong, read as the same rounds."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit import parquet
from bandit.errors import SetupError
from bandit.types import Action
from simulations.logs.csv import Columns, CsvLog
from simulations.logs.dsjson import DsjsonLog
from simulations.logs.parquet import ParquetLog, rows_of
from simulations.logs.rows import Log, Logged, Problem

KINDS = {
    "decision_id": "text", "decided_at": "timestamptz", "subject": "text", "context": "json",
    "actions": "json", "chosen": "int4", "probability": "float8", "pmf": "float8[]", "reward": "float8",
}  # fmt: skip
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OFFERED = '[{"action_id":"a","features":{"price":0.5}},{"action_id":"b"}]'


def read(log: Log) -> tuple[list[Logged], list[Problem]]:
    """All of it, twice: it must be the same."""
    first, second = list(log.chunks()), list(log.chunks())
    assert first == second
    return [row for chunk in first for row in chunk.rows], [p for chunk in first for p in chunk.problems]


def causes(problems: Iterable[Problem]) -> dict[int, str]:
    return {problem.row: problem.cause for problem in problems}


# --- Parquet ---------------------------------------------------------------------------------------------


def row(number: int, **fields: Any) -> dict[str, Any]:
    usual = {
        "decision_id": f"d{number}", "decided_at": NOON, "subject": "s", "context": '{"x":1}',
        "actions": OFFERED, "chosen": 1, "probability": 0.25, "pmf": [0.75, 0.25], "reward": 1.0,
    }  # fmt: skip
    return usual | fields


async def write(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str] = tuple(KINDS)) -> None:
    async def chunks() -> AsyncIterator[list[list[Any]]]:
        yield [[one[name] for name in columns] for one in rows]

    await parquet.write(path, {name: KINDS[name] for name in columns}, chunks())


BROKEN = [
    row(1),
    row(2, context="{"),
    row(3, actions='[{"action_id":"a"},{"action_id":"a"}]'),
    row(4, actions=None),
    row(5, chosen=2),
    row(6, reward=None),
    row(7, pmf=None, probability=0.1),
    row(8, decision_id="d1"),
    row(9, context="[" * 100_000),
    row(10, context='{"a":' * 20 + "1" + "}" * 20),
    row(11, pmf=[0.25, 0.75]),
]


async def test_parquet_rows_that_cannot_be_used_are_problems(tmp_path: Path) -> None:
    await write(tmp_path / "log.parquet", BROKEN)
    rows, problems = read(ParquetLog(tmp_path / "log.parquet", chunk=4))
    assert [one.row for one in rows] == [1, 7]
    assert rows[0] == Logged(
        row=1, decision_id="d1", decided_at=NOON, subject="s", context={"x": 1}, chosen=1, probability=0.25,
        actions=[Action(action_id="a", features={"price": 0.5}), Action(action_id="b")], pmf=[0.75, 0.25],
        reward=1.0,
    )  # fmt: skip
    assert rows[1].pmf is None
    assert causes(problems) == {
        2: "broken JSON", 3: "broken JSON", 4: "broken JSON", 5: "action not offered",
        6: "reward not finite", 8: "repeated decision id", 9: "broken JSON", 10: "invalid context",
        11: "pmf disagrees with the probability",
    }  # fmt: skip
    assert all(problem.message.startswith(f"row {problem.row}: ") for problem in problems)


async def test_record_batches_give_the_same_rows_as_the_file(tmp_path: Path) -> None:
    await write(tmp_path / "log.parquet", BROKEN[:7])
    rows, problems = read(ParquetLog(tmp_path / "log.parquet"))
    first = 1
    found_rows: list[Logged] = []
    found_problems: list[Problem] = []
    for batch in parquet.batches(tmp_path / "log.parquet", list(KINDS), 3):
        chunk = rows_of(batch, first)
        found_rows += chunk.rows
        found_problems += chunk.problems
        first += batch.num_rows
    assert (found_rows, found_problems) == (rows, problems)


async def test_a_folder_is_read_as_one_log(tmp_path: Path) -> None:
    for name, numbers in (("b", (3, 4)), ("a", (1, 2))):
        await write(tmp_path / "day=1" / f"{name}.parquet", [row(number) for number in numbers])
    rows, problems = read(ParquetLog(tmp_path))
    assert [(one.row, one.decision_id) for one in rows] == [(1, "d1"), (2, "d2"), (3, "d3"), (4, "d4")]
    assert not problems
    (tmp_path / "empty").mkdir()
    with pytest.raises(SetupError, match=r"expected Parquet files in .*empty"):
        ParquetLog(tmp_path / "empty")


async def test_only_what_is_needed_must_be_there_under_any_name() -> None:
    table = {"actions": [OFFERED], "chosen": [0], "probability": [0.5], "click": [1]}
    chunk = rows_of(pa.RecordBatch.from_pydict(table), 41, {"reward": "click"})
    assert [(one.row, one.decision_id, one.reward) for one in chunk.rows] == [(41, "41", 1.0)]
    wanted = r"'reward' \(reward\), got the columns 'actions', 'chosen', 'probability', 'click'\. Rename it"
    with pytest.raises(SetupError, match=wanted):
        rows_of(pa.RecordBatch.from_pydict(table), 1)


async def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    for name in ("x.parquet", "y.parquet"):
        with pytest.raises(SetupError, match=f"expected a Parquet file .*{name}"):
            ParquetLog(tmp_path / name)


# --- dsjson ----------------------------------------------------------------------------------------------

THEIRS: dict[str, Any] = {
    "_label_cost": -1.5, "_label_probability": 0.8, "_label_Action": 2, "_labelIndex": 1, "o": [{"v": 1.5}],
    "Timestamp": "2026-01-01T12:00:00.0000000Z", "Version": "1", "EventId": "e1", "a": [2, 1, 3],
    "c": {"GUser": {"age": 30, "tags": ["x"], "_hidden": 1, "none": None}, "_synthetic": False,
          "_multi": [{"_tag": "one", "j": [{"p": 1}, {"q": "r"}]}, {"i": {"constant": 1, "id": "two"}}, {}]},
    "p": [0.8, 0.15, 0.05], "VWState": {"m": "abc/def"}, "pdrop": 0.0,
}  # fmt: skip


def dsjson(tmp_path: Path, *lines: str | dict[str, Any], pack: bool = False) -> DsjsonLog:
    path = tmp_path / "log.dsjson"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines).encode()
    path.write_bytes(gzip.compress(text) if pack else text)
    return DsjsonLog(path, chunk=3)


@pytest.mark.parametrize("pack", [False, True])
def test_dsjson_of_others(tmp_path: Path, pack: bool) -> None:
    (found,), problems = read(dsjson(tmp_path, THEIRS, pack=pack))
    assert not problems
    assert found == Logged(
        row=1, decision_id="e1", decided_at=NOON, chosen=1, probability=0.8, reward=1.5,
        context={"GUser": {"age": 30, "tags": ["x"]}}, logger="model abc/def", pmf=[0.15, 0.8, 0.05],
        actions=[
            Action(action_id="one", features={"j": {"0": {"p": 1}, "1": {"q": "r"}}}),
            Action(action_id="two", features={"i": {"constant": 1, "id": "two"}}),
            Action(action_id="3"),
        ],
    )  # fmt: skip


def test_dsjson_lines_that_cannot_be_used_are_problems(tmp_path: Path) -> None:
    without_label = {key: value for key, value in THEIRS.items() if not key.startswith("_label")}
    log = dsjson(
        tmp_path,
        {**THEIRS, "EventId": "good"},
        '{"_label_cost":',
        "",
        "[" * 1_000_000,
        '{"c":' + '{"a":' * 300_000 + "1" + "}" * 300_001,
        "[1]",
        {**THEIRS, "_skipLearn": True},
        without_label,
        {**THEIRS, "_labelIndex": 0},
        {**THEIRS, "_label_Action": 4, "_labelIndex": 3},
        {**THEIRS, "a": [1, 2]},
        {**THEIRS, "p": [0.8, 0.1, 0.05]},
        {**THEIRS, "_label_probability": 0.0},
        {**THEIRS, "c": {}},
        {**THEIRS, "c": {"_multi": [1, {}, {}]}},
        {**THEIRS, "_label_cost": "much"},
        {**THEIRS, "EventId": "good"},
        '{"_segbandit":{"record":{}}}',
    )
    rows, problems = read(log)
    assert [one.decision_id for one in rows] == ["good"]
    assert causes(problems) == {
        2: "broken JSON", 4: "broken JSON", 5: "broken JSON", 6: "broken JSON", 7: "never shown",
        8: "action not offered", 9: "labels disagree", 10: "action not offered",
        11: "a and p do not fit the actions", 12: "pmf does not sum to one", 13: "probability zero or below",
        14: "no actions", 15: "no actions", 16: "reward not finite", 17: "repeated decision id",
        18: "broken JSON",
    }  # fmt: skip
    assert all(problem.message.startswith(f"row {problem.row}: ") for problem in problems)
    assert max(len(problem.message) for problem in problems) < 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
PLACES = sorted([*THEIRS, "c._multi", "c._multi.0", "c._multi.1.i", "c.GUser", "a.0", "p.0", "VWState.m"])


@given(st.dictionaries(st.sampled_from(PLACES), JSON, max_size=4))
def test_whatever_stands_in_a_line_it_is_a_row_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    line: Any = json.loads(json.dumps(THEIRS))
    for place, value in changes.items():
        *way, last = [int(step) if step.isdigit() else step for step in place.split(".")]
        holder = line
        with suppress(TypeError, KeyError, IndexError):  # an earlier change took the place away
            for step in way:
                holder = holder[step]
            holder[last] = value
    path = tmp_path_factory.mktemp("fuzz") / "log.dsjson"
    path.write_text(json.dumps(line))
    rows, problems = read(DsjsonLog(path))
    assert len(rows) + len(problems) == 1


@pytest.mark.parametrize("depth", [9, 100, 400, 900, 5_000])
def test_deep_nesting_is_a_problem(tmp_path: Path, depth: int) -> None:
    deep = json.dumps(THEIRS).replace('{"age": 30', '{"age": ' + '{"a":' * depth + "1" + "}" * depth)
    rows, problems = read(dsjson(tmp_path, deep))
    assert (len(rows), len(problems)) == (0, 1)
    assert problems[0].cause in ("broken JSON", "invalid context")


def test_a_line_without_an_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bandit.dsjson.MAX_LINE", 1_000)
    rows, problems = read(dsjson(tmp_path, "x" * 5_000, THEIRS))
    assert [one.row for one in rows] == [2]
    assert causes(problems) == {1: "line too long"}


def test_a_damaged_packed_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.dsjson"
    path.write_bytes(gzip.compress(json.dumps(THEIRS).encode() * 100)[:-20])
    with pytest.raises(SetupError, match=r"can be read at .*log\.dsjson"):
        read(DsjsonLog(path))
    with pytest.raises(SetupError, match="missing"):
        DsjsonLog(tmp_path / "missing.dsjson")


# --- CSV -------------------------------------------------------------------------------------------------

CSV = """\
who,when,item,p,click,age,city,member
u1,2026-01-01 12:00:00,red,0.25,1,30,"Bonn, Rhein",true
u2,2026-01-01T12:00:00+00:00,blue,0.75,0,31.5,,false
u1,,green,1.5,0,30,0123,true
u3,,red,0.25,nan,30,x,true
u3,,red,0.25
u4,,,0.25,0,1,x,true
u5,,red,much,0,1,x,true
"""
MAP = Columns(action="item", reward="click", probability="p", subject="who", decided_at="when")


@pytest.mark.parametrize("pack", [False, True])
def test_csv(tmp_path: Path, pack: bool) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(gzip.compress(CSV.encode()) if pack else CSV.encode())
    rows, problems = read(CsvLog(path, MAP, chunk=2))
    assert rows == [
        Logged(
            row=1, decision_id="1", decided_at=NOON, subject="u1", chosen=2, probability=0.25, reward=1.0,
            context={"age": 30, "city": "Bonn, Rhein", "member": True},
            actions=[Action(action_id=name) for name in ("blue", "green", "red")],
        ),
        Logged(
            row=2, decision_id="2", decided_at=NOON, subject="u2", chosen=0, probability=0.75, reward=0.0,
            context={"age": 31.5, "member": False},
            actions=[Action(action_id=name) for name in ("blue", "green", "red")],
        ),
    ]  # fmt: skip
    assert causes(problems) == {
        3: "probability above one", 4: "reward not finite", 5: "fields missing or too many",
        6: "action not offered", 7: "probability not a number",
    }  # fmt: skip
    (given, *_), problems = read(CsvLog(path, MAP, actions=["red", "fax"]))
    assert [action.action_id for action in given.actions] == ["red", "fax"]
    assert causes(problems)[2] == "action not offered"
    assert "got 'blue'" in problems[0].message


def test_csv_with_the_whole_distribution(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("action,reward,to_a,to_b,x\nb,1,0.25,0.75,7\na,0,0.25,0.8,7\nc,0,.5,.5,7\n")
    log = CsvLog(path, Columns(probability=None, pmf={"a": "to_a", "b": "to_b"}))
    (one,), problems = read(log)
    assert (one.chosen, one.probability, one.pmf, one.context) == (1, 0.75, [0.25, 0.75], {"x": 7})
    assert causes(problems) == {2: "pmf does not sum to one", 3: "action not offered"}


def test_columns_that_are_missing_are_named_with_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(CSV)
    with pytest.raises(
        SetupError, match=r"'action' \(action\) and 'reward' .*'who', 'when', 'item'.*reward=click"
    ):
        CsvLog(path)
    path.write_text("action,reward,probability\n")
    with pytest.raises(SetupError, match="expected 1 to 1000 actions in column 'action', got none"):
        read(CsvLog(path))
    path.write_bytes(b"action,reward,probability\n\xff\xfe,1,1\n")
    with pytest.raises(SetupError, match=r"can be read at .*log\.csv"):
        read(CsvLog(path))


# --- All ---------------------------------------------------------------------------------------------------


async def test_a_reward_outside_the_declared_range_is_a_problem_in_every_format(tmp_path: Path) -> None:
    table, lines, file = (tmp_path / f"log.{suffix}" for suffix in ("csv", "dsjson", "parquet"))
    table.write_text("action,reward,probability\na,1,0.5\nb,50,0.5\n")
    line = {"_labelIndex": 0, "_label_probability": 0.5, "c": {"_multi": [{"id": "a"}, {"id": "b"}]}}
    lines.write_text("\n".join(json.dumps(line | {"_label_cost": cost}) for cost in (-1, -50)))
    await write(file, [row(1), row(2, reward=50.0)])
    limits = (0.0, 1.0)
    logs: list[Log] = [CsvLog(table, reward_range=limits), DsjsonLog(lines, reward_range=limits),
            ParquetLog(file, reward_range=limits)]  # fmt: skip
    for log in logs:
        rows, problems = read(log)
        assert [one.row for one in rows] == [1], log.name
        assert causes(problems) == {2: "reward outside the range"}, log.name


def test_a_quote_left_open_is_named_rather_than_that_it_swallows_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    lines = ["action,probability,reward,note", *(f"a,0.5,{n % 2},n{n}" for n in range(1, 31))]
    lines[11] = 'a,0.5,1,"n11'
    path.write_text("\n".join(lines) + "\n")
    rows, problems = read(CsvLog(path, actions=["a", "b"]))
    assert causes(problems) == {11: "cell over several lines"}
    assert "with 21 lines" in problems[0].message
    assert len(rows) == 10


def test_columns_with_our_names_are_what_these_say(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("decision_id,subject,action,probability,reward\nd1,s1,a,0.5,1\nd1,s2,b,0.5,0\n")
    (row,), (problem,) = read(CsvLog(path))
    assert (row.decision_id, row.subject, row.context) == ("d1", "s1", {})
    assert problem.cause == "repeated decision id"
    path.write_text("action,probability,reward,reward\na,0.5,1,0\n")
    with pytest.raises(SetupError, match="each column once in the header, got reward more than once"):
        CsvLog(path)
