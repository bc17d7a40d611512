"""Old days leave the database for files, without a loss, and everything goes on without them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pyarrow import parquet

from bandit import audit, branches, versions, vw
from bandit.db import archive as archiving
from bandit.db import bandits, models, schema
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection, Database, connect
from bandit.errors import ConflictError, SetupError
from bandit.feedback import Feedback
from bandit.learner import Learner
from bandit.settings import Settings
from bandit.steering import Seen
from bandit.types import Action, LoggedChoice
from tests.conftest import Step
from tests.integration.days import DAY, LATER, NEXT, archived, happen, sorted_out, swapped, two_days
from tests.integration.helpers import create, refused, reward
from tests.integration.helpers import decide as decide_now
from tests.integration.test_commands import in_thread
from tests.integration.test_learner import (
    step_of_a_new_learner,
)

pytestmark = pytest.mark.usefixtures("old_partitions")


def read(folder: Path, table: str, day: date = DAY, part: str = "") -> list[dict[str, Any]]:
    path = folder / f"day={day}" / f"{table}{part}.parquet"
    return list(parquet.read_table(path).to_pylist())


async def table(connection: Connection, name: str, order: str) -> list[dict[str, Any]]:
    rows = await connection.fetch(f"SELECT * FROM {name} ORDER BY {order}")  # noqa: S608 our names
    return [dict(row) for row in rows]


def by(rows: Sequence[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: [row[name] for name in names])


async def test_what_is_exported_is_what_was_there(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, tmp_path: Path
) -> None:
    """Nulls, nested JSON as it came, text of any kind, activations, corrections, extremes: all comes back."""
    no_relearning = {"relearn": 0, "on_drift": "ignore"}
    await create(client, policy=no_relearning, reward_wait=0)
    await create(client, bandit_key="logged", mode="logging_only", policy=no_relearning, reward_wait=0)
    offered = [
        Action(action_id="ä|:\n'\"", features={"n": {"m": -0.0, "of": ["é", "x"]}}),
        Action(action_id="z"),
    ]
    await happen(database, connection, DAY, 5)
    await happen(database, connection, DAY, 3, start=5, excluded_actions=["a"])
    seen = Seen(actions={"0.5": {"ä|:\n'\"": 2}}, segments={"0.5": {}}, action=("é", 1_000))
    await happen(database, connection, DAY, 3, start=8, actions=offered, seen=seen)
    choice = LoggedChoice(action_id="b", probability=1 / 3)
    await happen(
        database, connection, DAY, 2, start=11, bandit_key="logged",
        logged_choice=choice,
    )  # fmt: skip
    await happen(database, connection, DAY, 2, start=13, deferred=True, rewarded=False)
    deferred = await connection.fetchval("SELECT min(decision_id) FROM decisions WHERE deferred")
    assert await Feedback(database).activate(deferred)
    some = await connection.fetchval("SELECT min(decision_id) FROM decisions")
    await connection.execute(
        "INSERT INTO decision_claims SELECT decision_id, decided_at FROM decisions WHERE decision_id = $1",
        some,
    )
    await reward(client, some, event_id="late", corrects=f"e-{some}", kind="ünïcode", value=-1e6)
    await learn()
    before = {
        "decisions": await table(connection, "decisions", "decision_id"),
        "training_log": await table(connection, "training_log", "bandit_key, seq"),
        "reward_events": await table(connection, "reward_events", "source, event_id"),
    }
    assert [len(rows) for rows in before.values()] == [15, 14, 14]
    (part,) = (part for part in await archived(connection, tmp_path) if part.decisions)
    assert part == archiving.Part(
        day=DAY, part=1, folder=str(tmp_path), decisions=15, training_log=14, reward_events=14, kept=0
    )
    assert by(read(tmp_path, "decisions"), "decision_id") == before["decisions"]
    assert by(read(tmp_path, "training_log"), "bandit_key", "seq") == before["training_log"]
    assert by(read(tmp_path, "reward_events"), "source", "event_id") == before["reward_events"]
    for name in ("decisions", "training_log", "reward_events", "decision_claims"):
        assert await connection.fetchval(f"SELECT count(*) FROM {name}") == 0  # noqa: S608 our names
    assert {path.name for path in (tmp_path / f"day={DAY}").iterdir()} == {
        "decisions.parquet", "training_log.parquet", "reward_events.parquet",
    }  # fmt: skip


async def test_what_is_needed_stays_and_learning_goes_on_as_if_nothing_were_gone(
    client: httpx2.AsyncClient,
    database: Database,
    database_url: str,
    connection: Connection,
    tmp_path: Path,
) -> None:
    learn = partial(step_of_a_new_learner, database_url)
    await two_days(client, database, connection, learn)
    await happen(database, connection, DAY, 2, start=50, wait=timedelta(days=365 * 100))
    bandit, live = await bandits.get(connection, "hero"), await versions.live(connection, "hero")
    uninterrupted = await branches.BranchFold.begin(connection, ConfigCache(), bandit, live)
    await uninterrupted.advance(connection, ConfigCache(), 70)
    parts = [part for part in await archived(connection, tmp_path) if part.decisions or part.kept]
    assert [(part.day, part.decisions, part.training_log, part.kept) for part in parts] == [
        (DAY, 40, 40, 2), (NEXT, 15, 15, 15),
    ]  # fmt: skip
    assert await bandits.archived_through(connection, "hero") == 55
    lines = await connection.fetch("SELECT seq FROM training_log ORDER BY seq")
    assert [row["seq"] for row in lines] == list(range(56, 71))
    assert await connection.fetchval("SELECT count(*) FROM decisions") == 17
    assert await connection.fetchval("SELECT count(*) FROM reward_events") == 17
    for day, count in ((DAY, 2), (NEXT, 15)):
        left = f"SELECT count(*) FROM decisions_{day:%Y%m%d}"  # noqa: S608 our names
        assert await connection.fetchval(left) == count

    await happen(database, connection, NEXT + timedelta(days=1), 20)
    assert await learn() == 20
    await happen(database, connection, NEXT + timedelta(days=2), 20)
    assert await learn() == 20
    await uninterrupted.advance(connection, ConfigCache(), 110)
    live = await versions.live(connection, "hero")
    newest = await models.lineage(connection, "hero", live.newest_version)
    assert newest.trained_through_seq == 110
    weights = vw.weights_sha256(uninterrupted.fold.to_bytes(), bandit.config.policy)
    assert weights == newest.weights_sha256, "difference 0.0"
    assert newest.learned == uninterrupted.fold.policy.learned
    uninterrupted.close()


async def test_the_rest_of_a_day_goes_when_none_of_it_is_needed_any_more(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, tmp_path: Path
) -> None:
    await two_days(client, database, connection, learn)
    before = await table(connection, "decisions", "decision_id")
    await archived(connection, tmp_path)
    await happen(database, connection, NEXT + timedelta(days=1), 10)
    await learn()  # now five of that day are needed
    assert await archived(connection, tmp_path, today=NEXT + timedelta(days=2)) == []
    await happen(database, connection, NEXT + timedelta(days=1), 10, start=10)
    await learn()
    (rest,) = await archived(connection, tmp_path, today=NEXT + timedelta(days=2))
    assert (rest.day, rest.part, rest.decisions, rest.training_log, rest.kept) == (NEXT, 2, 15, 15, 0)
    exported = read(tmp_path, "decisions") + read(tmp_path, "decisions", NEXT)
    exported += read(tmp_path, "decisions", NEXT, "-2")
    assert by(exported, "decision_id") == before, "each once"
    assert NEXT not in await schema.partitions(connection)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
async def test_days_are_those_of_utc_and_go_when_they_are_over_for_long_enough(
    client: httpx2.AsyncClient,
    database: Database,
    connection: Connection,
    learn: Step,
    tmp_path: Path,
    zone: str,
) -> None:
    await connection.execute(f"SET TIME ZONE '{zone}'")
    await create(client, policy={"relearn": 0, "on_drift": "ignore"}, reward_wait=0)
    await happen(database, connection, DAY, 1, start=24 * 60 - 1)
    await happen(database, connection, NEXT, 1)
    await learn()
    assert DAY not in [part.day for part in await archived(connection, tmp_path, 3, today=DAY + timedelta(3))]
    parts = await archived(connection, tmp_path, 3, today=DAY + timedelta(days=4))
    assert [(part.day, part.decisions) for part in parts] == [(DAY, 1)]
    assert await connection.fetchval("SELECT count(*) FROM decisions") == 1
    parts = await archived(connection, tmp_path, 3, today=DAY + timedelta(days=5))
    assert [(part.day, part.decisions) for part in parts] == [(NEXT, 1)]


class _KilledError(Exception):
    pass


@pytest.mark.parametrize(
    "at",
    ["export decisions", "export reward_events", "delete training_log", "delete reward_events",
     "delete decisions"],
)  # fmt: skip
async def test_whoever_is_killed_the_next_one_goes_on(
    client: httpx2.AsyncClient,
    database: Database,
    database_url: str,
    connection: Connection,
    learn: Step,
    tmp_path: Path,
    at: str,
) -> None:
    await two_days(client, database, connection, learn)
    everything = await table(connection, "reward_events", "source, event_id")

    def killed(what: str, _: int, __: int) -> None:
        if what == f"{DAY}: {at}":
            raise _KilledError

    own = await connect(database_url)
    with pytest.raises(_KilledError):
        await archived(own, tmp_path, progress=killed)
    await own.close()
    report = await audit.audit_everything(database, "hero")
    assert (report.difference, report.decisions) == (None, 70 if at.startswith("export") else 30)
    # An id that is free again is used again, and an event is sent again: these are others than were exported.
    await connection.execute("DELETE FROM decision_claims")
    await connection.execute(
        "INSERT INTO decision_claims SELECT decision_id, '2026-02-01' FROM training_log WHERE seq = 1"
    )
    if at == "delete decisions":
        first = read(tmp_path, "reward_events")[0]
        await reward(client, first["decision_id"], event_id=first["event_id"], value=first["value"])
    await archived(connection, tmp_path)
    exported = read(tmp_path, "reward_events") + read(tmp_path, "reward_events", NEXT)
    left = await table(connection, "reward_events", "source, event_id")
    again = 1 if at == "delete decisions" else 0
    assert len(left) == 15 + again
    assert not {row["seal"] for row in exported} & {row["seal"] for row in left}
    assert {row["seal"] for row in everything} <= {row["seal"] for row in exported + left}
    assert len(exported) == 55
    claims = await connection.fetchval("SELECT count(*) FROM decision_claims")
    assert claims == await connection.fetchval(
        "SELECT count(*) FROM decision_claims WHERE decided_at > '2026-01-31'"
    )
    assert (await audit.audit_everything(database, "hero")).difference is None
    tables = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '_(kept|dropped)$'"
    assert await connection.fetchval(tables) == 0
    assert not await connection.fetchval("SELECT bool_or(NOT deleted) FROM archived_days")


async def test_a_file_that_cannot_be_written_drops_nothing(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, tmp_path: Path
) -> None:
    await two_days(client, database, connection, learn)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(SetupError, match="expected a folder that can be written to"):
        await archived(connection, tmp_path / "taken")
    assert await connection.fetchval("SELECT count(*) FROM decisions") == 70


async def test_a_decision_activated_meanwhile_is_not_dropped(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, tmp_path: Path
) -> None:
    await create(client, policy={"relearn": 0, "on_drift": "ignore"}, reward_wait=0)
    await happen(database, connection, DAY, 3, deferred=True, rewarded=False)
    found = await sorted_out(connection)
    shown = await connection.fetchval("SELECT min(decision_id) FROM decisions")
    assert await Feedback(database).activate(shown)
    for _ in range(2):  # while it waits, and when it is settled and gone from what waits
        assert await swapped(connection, found) == "changed"
        await learn()
    assert await connection.fetchval("SELECT count(*) FROM decisions") == 3
    (part,) = [part for part in await archived(connection, tmp_path) if part.day == DAY]
    assert (part.decisions, part.training_log) == (3, 1)
    assert {row["decision_id"] for row in read(tmp_path, "training_log")} == {shown}
    refused(await client.post(f"/v1/decisions/{shown}/activate"), 404, "not_found", "decision_id")


async def test_a_decision_made_meanwhile_on_that_day_is_not_dropped(
    client: httpx2.AsyncClient, database: Database, connection: Connection, tmp_path: Path
) -> None:
    """By a machine whose clock is days behind."""
    await create(client, policy={"relearn": 0, "on_drift": "ignore"}, reward_wait=0)
    await happen(database, connection, DAY, 3, deferred=True, rewarded=False)
    found = await sorted_out(connection)
    await happen(database, connection, DAY, 1, start=3, deferred=True, rewarded=False)
    assert await swapped(connection, found) == "changed"
    assert await connection.fetchval("SELECT count(*) FROM decisions") == 4
    (part,) = [part for part in await archived(connection, tmp_path) if part.day == DAY]
    assert part.decisions == 4


async def test_a_table_that_is_held_puts_it_off_and_nobody_waits(
    client: httpx2.AsyncClient,
    database: Database,
    database_url: str,
    connection: Connection,
    learn: Step,
    tmp_path: Path,
) -> None:
    await two_days(client, database, connection, learn)
    holder = await connect(database_url)
    for hold in ("SELECT count(*) FROM decisions", "SELECT FROM bandits FOR NO KEY UPDATE"):
        async with holder.transaction():
            await holder.execute(hold)
            with pytest.raises(ConflictError, match=r"Nothing of .* was dropped"):
                await archived(connection, tmp_path, tries=2)
            made = await decide_now(client)
            assert await reward(client, made["decision_id"])
    await holder.close()
    assert await connection.fetchval("SELECT count(*) FROM decisions") == 72
    assert await connection.fetchval("SHOW lock_timeout") == "0"
    assert [part.decisions for part in await archived(connection, tmp_path) if part.decisions] == [40, 15]


async def test_one_at_a_time(connection: Connection, database_url: str, tmp_path: Path) -> None:
    other = await connect(database_url)
    assert await archiving.try_lock(other)
    with pytest.raises(ConflictError, match="another process"):
        await archived(connection, tmp_path)
    await other.close()


async def test_while_days_are_dropped_others_decide_activate_and_learn(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, tmp_path: Path
) -> None:
    await two_days(client, database, connection, learn)
    going_on = True

    async def others() -> int:
        made = 0
        while going_on:
            shown = await decide_now(client, deferred=True)
            answer = await client.post(f"/v1/decisions/{shown['decision_id']}/activate")
            assert answer.status_code == 200
            await learn()
            made += 1
        return made

    task = asyncio.create_task(others())
    await archived(connection, tmp_path)
    going_on = False
    made = await task
    of_today = "SELECT count(*) FROM decisions WHERE decided_at > $1"
    assert await connection.fetchval(of_today, datetime.combine(LATER, time(), UTC)) == made
    while await learn():
        pass
    assert (await audit.audit_everything(database, "hero")).difference is None


async def test_decisions_in_the_default_partition_stay_and_are_in_nobodys_way(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, tmp_path: Path
) -> None:
    await two_days(client, database, connection, learn)
    await happen(database, connection, DAY - timedelta(days=9), 1)
    await learn()
    await archived(connection, tmp_path)
    assert await connection.fetchval("SELECT count(*) FROM decisions_default") == 1
    assert await connection.fetchval("SELECT count(*) FROM decisions") == 1 + 14
    assert await archiving.in_default(connection, DAY) == 1
    await schema.ensure_partitions(connection, DAY)
    assert DAY in await schema.partitions(connection)


async def test_many_bandits_each_keep_what_they_need(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, tmp_path: Path
) -> None:
    keys = [f"b-{i}" for i in range(12)]
    for i, key in enumerate(keys):
        await create(
            client,
            bandit_key=key,
            policy={"relearn": 4, "relearn_window": 1 + i, "on_drift": "ignore"},
            reward_wait=0,
        )
        await happen(database, connection, DAY, 8, bandit_key=key, start=10 * i)
    await learn()
    (part,) = [part for part in await archived(connection, tmp_path) if part.decisions]
    assert (part.decisions, part.kept) == (28, 68)
    through = await connection.fetch("SELECT bandit_key, archived_through FROM bandits")
    assert {row["bandit_key"]: row["archived_through"] for row in through} == {
        key: max(0, 7 - i) for i, key in enumerate(keys)
    }
    for key in keys:
        await happen(database, connection, LATER, 3, bandit_key=key, start=1_000 + 10 * keys.index(key))
    assert await learn() == 36
    for key in keys:
        assert (await audit.audit_everything(database, key)).difference is None


async def test_a_late_reward_of_an_archived_decision_is_an_orphan(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, tmp_path: Path
) -> None:
    await two_days(client, database, connection, learn)
    gone = await connection.fetchval("SELECT decision_id FROM training_log WHERE seq = 1")
    await archived(connection, tmp_path)
    assert (await reward(client, gone, event_id="late"))["status"] == "orphan"
    assert await connection.fetchval("SELECT count(*) FROM reward_events WHERE decision_id = $1", gone) == 1
    refused(await client.get(f"/v1/decisions/{gone}"), 404, "not_found", "decision_id")
    await archived(connection, tmp_path)
    assert await connection.fetchval("SELECT count(*) FROM reward_events WHERE decision_id = $1", gone) == 1


async def test_the_learner_archives_what_the_settings_say(
    client: httpx2.AsyncClient,
    database: Database,
    database_url: str,
    connection: Connection,
    learn: Step,
    tmp_path: Path,
) -> None:
    await two_days(client, database, connection, learn)
    running = asyncio.create_task(Learner(database_url, Settings(keep_days=3, data_dir=tmp_path)).run())
    async with asyncio.timeout(30):
        while await connection.fetchval("SELECT count(*) FROM archived_days WHERE deleted") < 2:
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(read(tmp_path / "archive", "decisions")) == 40


async def test_the_command_archives_and_says_what_it_did(
    client: httpx2.AsyncClient,
    database: Database,
    database_url: str,
    connection: Connection,
    learn: Step,
    tmp_path: Path,
) -> None:
    await two_days(client, database, connection, learn)
    ran = await in_thread(database_url, "archive")
    assert ran.exit_code == 1
    assert "Give --keep-days N" in ran.output
    options = ("archive", "--keep-days", "20", "--to", str(tmp_path))
    ran = await in_thread(database_url, *options)
    assert ran.exit_code == 0, ran.output
    assert f"{DAY}: 40 decisions, 40 lines of the training log and 40 reward events are in" in ran.output
    assert f"{NEXT}: 15 decisions" in ran.output
    assert "15 decisions are still needed and stay." in ran.output
    ran = await in_thread(database_url, *options)
    assert (ran.exit_code, "Nothing to archive" in ran.output) == (0, True)
    ran = await in_thread(database_url, "audit", "--bandit", "hero", "--all")
    assert ran.exit_code == 0, ran.output
    assert "log is archived: 55 lines of the training log, 6 model versions and 0 decisions" in ran.output
    assert "15 decisions, 0 model versions, 15 lines of the training log and 15 reward events" in ran.output
    ran = await in_thread(database_url, "rebuild", "--bandit", "hero")
    assert ran.exit_code == 0, ran.output
    assert "Folded on from model 6: older lines of the log are archived." in ran.output
    assert "difference 0.0" in ran.output
    ran = await in_thread(database_url, "rebuild", "--bandit", "hero", "--through", "9")
    assert ran.exit_code == 1
    assert "begins at line 56: older lines are in" in ran.output
