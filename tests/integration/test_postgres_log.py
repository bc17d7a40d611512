"""Our own decisions as a log, and the commands that move them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
import vowpalwabbit

from bandit import history
from bandit.db.pool import Connection, Database
from bandit.errors import ArchivedError, BrokenLogError, NotFoundError
from simulations.logs.dsjson import DsjsonLog
from simulations.logs.parquet import ParquetLog
from simulations.logs.postgres import PostgresLog
from simulations.logs.rows import Log, Logged
from tests.conftest import Step
from tests.integration import days
from tests.integration.helpers import create, decide, reward
from tests.integration.test_commands import in_thread
from tests.integration.test_exchange import lived


def rows(log: Log) -> list[Logged]:
    chunks = list(log.chunks())
    assert [problem for chunk in chunks for problem in chunk.problems] == []
    return [row for chunk in chunks for row in chunk.rows]


async def test_all_three_say_the_same(
    client: httpx2.AsyncClient, learn: Step, database: Database, tmp_path: Path
) -> None:
    await lived(client, learn)
    await history.export(database, "hero", tmp_path / "hero.parquet", "parquet")
    await history.export(database, "hero", tmp_path / "hero.dsjson.gz", "dsjson", encoded=True)
    log = PostgresLog(database.url, "hero", chunk=7)  # within a running loop, as in a notebook
    found = rows(log)
    assert found == rows(ParquetLog(tmp_path / "hero.parquet"))
    assert found == rows(DsjsonLog(tmp_path / "hero.dsjson.gz"))
    assert (log.name, log.reward_range) == ("hero", (0.0, 1.0))
    assert [row.row for row in found] == list(range(1, 50))
    assert {row.logger for row in found} == {
        "config 1", "model 1", "model 2", "model 3", "logging_only of config 2",
    }  # fmt: skip
    brought, told = (next(row for row in found if row.decision_id == name) for name in ("brought", "told"))
    assert [action.action_id for action in brought.actions] == ["z", "é b|:"]
    assert brought.reward == 0.25, "the corrected one"
    assert (told.pmf, told.probability, told.actions[told.chosen].action_id) == (None, 0.4, "b")

    before = rows(log)
    await decide(client, decision_id="later", logged_choice={"action_id": "a", "probability": 0.5})
    await reward(client, "later")
    await learn()
    assert rows(log) == before, "each reading gives the same"
    assert len(rows(PostgresLog(database.url, "hero"))) == 50


async def test_without_what_is_ours_others_read_the_same_choices(
    client: httpx2.AsyncClient, learn: Step, database: Database, tmp_path: Path
) -> None:
    await lived(client, learn)
    path = tmp_path / "hero.dsjson"
    await history.export(database, "hero", path, "dsjson")
    ours = rows(DsjsonLog(path))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    theirs = vowpalwabbit.Workspace("--cb_explore_adf --dsjson --strict_parse --quiet")
    for line in lines:
        theirs.learn(json.dumps(line))
        del line["_segbandit"]
    assert len(theirs.predict(json.dumps(lines[0]))) == 3
    theirs.finish()
    path.write_text("\n".join(map(json.dumps, lines)))
    found = rows(DsjsonLog(path))
    for one, other in zip(ours, found, strict=True):
        assert [action.action_id for action in one.actions] == [action.action_id for action in other.actions]
        for name in ("decision_id", "decided_at", "chosen", "probability", "reward"):
            assert getattr(one, name) == getattr(other, name)
        if one.pmf is not None:
            assert one.pmf == other.pmf


async def test_what_is_not_a_bandit_or_not_whole_is_named(
    client: httpx2.AsyncClient, learn: Step, database: Database, connection: Connection
) -> None:
    with pytest.raises(NotFoundError, match="hero"):
        PostgresLog(database.url, "hero")
    await create(client, terminal_kinds=["reward"])
    for name in ("a", "b", "c"):
        await decide(client, decision_id=name)
        await reward(client, name)
    await learn()
    await connection.execute("DELETE FROM decisions WHERE decision_id = 'b'")
    with pytest.raises(BrokenLogError, match="line 2 "):
        rows(PostgresLog(database.url, "hero"))
    await connection.execute("DELETE FROM training_log WHERE seq = 3")
    with pytest.raises(BrokenLogError):
        rows(PostgresLog(database.url, "hero"))


@pytest.mark.usefixtures("old_partitions")
async def test_a_range_of_time_and_what_is_archived(
    client: httpx2.AsyncClient, learn: Step, database: Database, connection: Connection, tmp_path: Path
) -> None:
    await days.two_days(client, database, connection, learn)
    midnight = datetime(days.NEXT.year, days.NEXT.month, days.NEXT.day, tzinfo=UTC)
    first = rows(PostgresLog(database.url, "hero", until=midnight))
    second = rows(PostgresLog(database.url, "hero", since=midnight))
    assert (len(first), len(second), first + second) == (40, 30, rows(PostgresLog(database.url, "hero")))
    await days.archived(connection, tmp_path, today=days.NEXT + timedelta(days=1))
    assert rows(PostgresLog(database.url, "hero", since=midnight)) == second
    for log in (
        PostgresLog(database.url, "hero"),
        PostgresLog(database.url, "hero", until=midnight),
        PostgresLog(database.url, "hero", since=midnight - timedelta(seconds=1)),
    ):
        with pytest.raises(ArchivedError, match=f"from {days.DAY} to {days.DAY} were archived: they are in"):
            rows(log)


async def test_a_bandit_goes_through_a_file_by_command(
    client: httpx2.AsyncClient, learn: Step, database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    await lived(client, learn)
    path = str(tmp_path / "hero.parquet")
    ran = await in_thread(database_url, "export", "hero", "--to", path)
    assert ran.exit_code == 0, ran.output
    assert "49 settled decisions of hero" in ran.output
    assert "2 are not settled, and not in it." in ran.output
    ran = await in_thread(empty_database_url, "import", path, "--bandit", "copy")
    assert ran.exit_code == 0, ran.output
    assert "copy: 49 decisions imported and learned as model" in ran.output
    assert len(await asyncio.to_thread(rows, PostgresLog(empty_database_url, "copy"))) == 49
    for arguments, named in [
        (["import", path], "already|is, or comes twice|which exists"),
        (["export", "nobody", "--to", path], "nobody"),
        (["export", "hero", "--to", str(tmp_path / "hero.xls")], "name the format: parquet or dsjson"),
        (["import", str(tmp_path / "nothing.parquet")], "nothing.parquet"),
        (["import", path, "--bandit", "a b"], "expected letters"),
    ]:
        ran = await in_thread(database_url, *arguments)
        assert ran.exit_code == 1, ran.output
        assert any(one in ran.output for one in named.split("|")), ran.output
        assert "Traceback" not in ran.output
