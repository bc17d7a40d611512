"""What a process says of itself at /metrics, when it runs alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from bandit import metrics
from bandit.db import training
from bandit.db.pool import Connection, Database
from bandit.serving import load
from tests.conftest import Step
from tests.integration.helpers import create, decide, reward
from tests.measured import Measured


async def measured(client: httpx2.AsyncClient) -> Measured:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return Measured(answer.text)


async def test_what_happened_is_counted_once(client: httpx2.AsyncClient, learn: Step) -> None:
    await create(client, terminal_kinds=["reward"])
    before = await measured(client)
    made = await decide(client, decision_id="d-1")
    await decide(client, decision_id="d-1")  # a repetition is no decision
    batch = {"bandit_key": "hero", "decisions": [{}, {"decision_id": "d-1", "context": {"x": 0.5}}, {}]}
    assert (await client.post("/v1/decisions:batch", json=batch)).status_code == 201
    await reward(client, made["decision_id"], event_id="e-1")
    await reward(client, made["decision_id"], event_id="e-1")
    await reward(client, "nobody-decided-this")
    assert await learn() == 1
    await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest
    after = await measured(client)

    def grown(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    assert grown("segbandit_decisions_total", mode="online") == 3
    assert grown("segbandit_commit_seconds_count") == 3
    statuses = dict.fromkeys(("accepted", "duplicate", "orphan"), 1)
    assert {s: grown("segbandit_reward_events_total", status=s) for s in statuses} == statuses
    assert grown("segbandit_settled_decisions_total") == 1
    assert grown("segbandit_model_swaps_total") == 1
    assert grown("segbandit_model_freshness_seconds_count") == 1
    assert 0.0 < grown("segbandit_model_freshness_seconds_sum") < 60.0
    assert after.value("segbandit_loaded_bandits") == 1


async def ready(connection: Connection) -> list[datetime]:
    rows = await connection.fetch("SELECT oldest_ready_at FROM model_versions ORDER BY model_version")
    return [row["oldest_ready_at"] for row in rows]


async def settled_at_once(client: httpx2.AsyncClient, learn: Step) -> None:
    made = await decide(client)
    await reward(client, made["decision_id"])
    assert await learn() == 1


async def test_freshness_is_that_of_the_oldest_reward_that_a_swap_brings(
    client: httpx2.AsyncClient, learn: Step, connection: Connection, database: Database
) -> None:
    await create(client, terminal_kinds=["reward"])
    held = [await load(database, "hero")]
    for _ in range(3):
        await settled_at_once(client, learn)
    await connection.execute(  # what was learned second had waited longest
        "UPDATE model_versions SET oldest_ready_at = oldest_ready_at - interval '1 hour'"
        " WHERE model_version = 2"
    )
    times = await ready(connection)
    held.append(await load(database, "hero", instead_of=held[0]))
    assert held[0].oldest_ready_at is None, "it replaced nothing"
    assert held[1].oldest_ready_at == min(times)
    held.append(await load(database, "hero", instead_of=held[1]))
    assert held[2].oldest_ready_at is None, "nothing new"
    for one in held:
        one.close()


async def test_what_waited_while_a_version_was_pinned_does_not_count(
    client: httpx2.AsyncClient, learn: Step, database: Database
) -> None:
    await create(client, terminal_kinds=["reward"])
    await settled_at_once(client, learn)
    assert (await client.post("/v1/bandits/hero/models/1:rollback")).status_code == 200
    held = [await load(database, "hero")]
    await settled_at_once(client, learn)
    assert (await client.post("/v1/bandits/hero/models/1:promote")).status_code == 200
    held.append(await load(database, "hero", instead_of=held[0]))
    assert (held[0].model_version, held[0].pinned) == (1, True)
    assert (held[1].model_version, held[1].pinned, held[1].oldest_ready_at) == (2, False, None)
    for one in held:
        one.close()


async def test_a_reward_cannot_be_ready_before_its_decision_nor_after_its_window(
    client: httpx2.AsyncClient, learn: Step, connection: Connection
) -> None:
    await create(client, terminal_kinds=["reward"])
    await reward(client, "d-early")
    await decide(client, decision_id="d-early")
    assert await learn() == 1
    await decide(client, decision_id="d-shown", deferred=True)
    await reward(client, "d-shown")
    assert (await client.post("/v1/decisions/d-shown/activate")).status_code == 200
    assert await learn() == 1
    await decide(client, decision_id="d-window")
    await connection.execute("UPDATE unsettled SET due_at = now() - interval '1 minute'")
    due_at = await connection.fetchval("SELECT due_at FROM unsettled")
    assert await learn() == 1
    made = {
        row["decision_id"]: row["made_at"]
        for row in await connection.fetch(
            "SELECT decision_id, coalesce(activated_at, decided_at) AS made_at FROM decisions"
        )
    }
    assert await ready(connection) == [made["d-early"], made["d-shown"], max(due_at, made["d-window"])]


async def test_the_lag_is_the_age_of_what_can_be_settled(
    client: httpx2.AsyncClient, connection: Connection
) -> None:
    await create(client, terminal_kinds=["reward"])
    await decide(client, decision_id="d-1")
    since = datetime.now(UTC) - timedelta(minutes=1)
    assert await training.lag(connection, signals_since=since) == 0.0
    await reward(client, "d-1")
    assert 0.0 < await training.lag(connection, signals_since=since) < 60.0
    await connection.execute("UPDATE unsettled SET due_at = now() - interval '1 hour'")
    assert await training.lag(connection, signals_since=since) > 3_000.0


async def test_what_cannot_be_measured_has_happened_all_the_same(
    client: httpx2.AsyncClient, learn: Step, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise FileNotFoundError("the folder of the figures is gone")

    monkeypatch.setattr(metrics, "_api", fails)
    monkeypatch.setattr(metrics, "_learner", fails)
    await create(client, terminal_kinds=["reward"])
    made = [await decide(client) for _ in range(3)]
    await reward(client, made[0]["decision_id"])
    assert await learn() == 1
    await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest
    assert await connection.fetchval("SELECT count(*) FROM decisions") == 3
    assert (await decide(client))["model_version"] == 1


def test_a_folder_of_figures_that_was_tidied_away_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    metrics.share(folder)
    folder.rmdir()
    assert metrics.exposition(folder) == b""
    assert folder.is_dir()
