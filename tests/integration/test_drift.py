"""The learner says that the world has moved, begins anew, and what it publishes can be folded again."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import httpx2
import msgspec
import pytest
import structlog

from bandit import audit, branches, versions
from bandit.db import bandits, models
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection, Database
from bandit.types import Drift
from tests.conftest import Step
from tests.integration.helpers import create, decide, refused, reward
from tests.integration.test_learner import (
    TERMINAL,
    assert_newest_model_is_the_fold_of_its_log,
    step_of_a_new_learner,
)

STEP = 25


async def live(client: httpx2.AsyncClient, learn: Step, pays: str, steps: int) -> None:
    """Let `pays` earn all there is, and learn after every so many decisions."""
    for _ in range(steps):
        for _ in range(STEP):
            made = await decide(client)
            await reward(client, made["decision_id"], value=float(made["action"]["action_id"] == pays))
        await learn()
        await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest


async def test_a_world_that_flips(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await live(client, learn, "b", 10)
    await live(client, learn, "c", 4)
    listed = (await client.get("/v1/bandits/hero/models")).json()["models"]
    (told,) = [drift for model in listed for drift in model["drifts"]]
    drift = msgspec.convert(told, Drift)
    assert 200 < drift.since < drift.seq <= 350
    newest = await assert_newest_model_is_the_fold_of_its_log(connection)
    assert newest.begins_after == newest.resumes_after == drift.since
    assert "segbandit_drift_alarms_total 1.0" in (await client.get("/metrics")).text
    report = await audit.audit_everything(database, "hero")
    assert (report.difference, report.model_versions) == (None, 14)
    await live(client, learn, "c", 1)  # from memory
    await models.prune(connection, keep=0, every=1_000)
    assert (await audit.audit_everything(database, "hero")).difference is None
    made = await decide(client)
    odds = {one["action_id"]: one["probability"] for one in made["action_probs"]}
    assert max(odds, key=odds.__getitem__) == "c"


async def test_a_drift_that_is_folded_again_is_told_once(
    client: httpx2.AsyncClient, database: Database, database_url: str, connection: Connection
) -> None:
    learn = partial(step_of_a_new_learner, database_url)
    await create(client, **TERMINAL)
    await live(client, learn, "b", 10)
    await live(client, learn, "c", 4)
    await connection.execute("UPDATE model_versions SET weights = NULL WHERE model_version BETWEEN 11 AND 13")
    damage = "UPDATE model_versions SET weights = set_byte(weights, 40, 7) WHERE model_version = 14"
    await connection.execute(damage)
    await live(client, learn, "c", 2)
    listed = (await client.get("/v1/bandits/hero/models")).json()["models"]
    assert [model["trained_through_seq"] for model in listed[:3]] == [400, 350, 350]
    assert [len(model["drifts"]) for model in listed[:2]] == [0, 0]
    assert len([drift for model in listed for drift in model["drifts"]]) == 1
    await connection.execute("UPDATE model_versions SET weights = NULL WHERE model_version = 14")
    assert (await audit.audit_everything(database, "hero")).difference is None


async def test_a_fall_raises_one_alert_and_it_clears(client: httpx2.AsyncClient, learn: Step) -> None:
    await create(client, alerts={"decisions": 100}, **TERMINAL)
    await live(client, learn, "b", 10)
    assert (await drift_alerts(client)) == ([], [])
    await live(client, learn, "c", 2)
    (raised,), past = await drift_alerts(client)
    assert past == []
    assert 250 < raised["seq"] <= 300
    assert raised["value"] < raised["bound"]
    await live(client, learn, "c", 6)
    opened, (cleared,) = await drift_alerts(client)
    assert opened == []
    assert cleared["alert"] == raised["alert"]
    assert cleared["cleared_at"] is not None


async def drift_alerts(client: httpx2.AsyncClient) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those that are open, and those that are over."""
    told = (await client.get("/v1/bandits/hero/alerts")).json()
    opened, past = ([one for one in told[name] if one["kind"] == "drift"] for name in ("open", "past"))
    return opened, past


async def test_what_is_not_committed_is_not_said(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await live(client, learn, "b", 10)
    await connection.execute(
        """CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'lost'; END $$;
           CREATE CONSTRAINT TRIGGER lost AFTER INSERT ON alerts DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW EXECUTE FUNCTION fail()"""
    )
    with structlog.testing.capture_logs() as said:
        await live(client, learn, "c", 1)
    assert [one["event"] for one in said if one["log_level"] != "debug"] == ["branch not learned"]
    await connection.execute("DROP TRIGGER lost ON alerts")
    with structlog.testing.capture_logs() as said:
        await asyncio.sleep(1.1)  # it pauses after a failure
        await learn()
    events = [one["event"] for one in said]
    assert events.count("drift: rewards fell") == events.count("alert raised") == 1


async def test_others_have_their_turn_while_a_model_begins_anew(
    client: httpx2.AsyncClient, connection: Connection, learn: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branches, "_TURN_SECONDS", 0.0)
    await create(client, **TERMINAL)
    await live(client, learn, "b", 10)
    await live(client, learn, "c", 2)
    listed = (await client.get("/v1/bandits/hero/models")).json()["models"]
    (drift,) = [msgspec.convert(told, Drift) for model in listed for told in model["drifts"]]
    bandit, branch = await bandits.get(connection, "hero"), await versions.live(connection, "hero")
    folded = await branches.BranchFold.begin(connection, ConfigCache(), bandit, branch)
    await folded.advance(connection, ConfigCache(), drift.seq - 1)
    advancing = asyncio.create_task(folded.advance(connection, ConfigCache(), drift.seq))
    seen = set()
    while not advancing.done():
        await asyncio.sleep(0)
        seen.add(folded.fold.seq)
    assert folded.fold.begins_after == drift.since
    assert seen >= set(range(drift.since + 1, drift.seq)), "a turn for each event that is learned again"
    folded.close()


async def test_settings_that_would_take_minutes_at_once_are_refused(client: httpx2.AsyncClient) -> None:
    await create(client, policy={"relearn_window": 19_000})
    for policy, field in [
        ({"relearn_window": 20_000}, "relearn_window"),
        ({"forgetting": {"by": "window", "events": 50_000}, "relearn": 16}, "forgetting"),
    ]:
        answer = await client.patch("/v1/bandits/hero", json={"policy": policy})
        message = refused(answer, 422, "invalid_input", f"policy.{field}")
        assert "expected at most 350,000 events" in message
    assert (await client.get("/v1/bandits/hero")).json()["policy"]["relearn_window"] == 19_000


async def test_a_changed_alarm_is_found(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step
) -> None:
    await create(client, policy={"forgetting": {"by": "window", "events": 100}}, **TERMINAL)
    await live(client, learn, "b", 6)
    newest = await assert_newest_model_is_the_fold_of_its_log(connection)
    assert newest.begins_after == 75
    assert (await audit.audit_everything(database, "hero")).difference is None
    await connection.execute("UPDATE model_versions SET begins_after = 0 WHERE model_version = 6")
    found = (await audit.audit_everything(database, "hero")).difference
    assert found is not None
    assert found.target.startswith("model 6")
