from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx2

from bandit import audit, versions, vw
from bandit.branches import BranchFold
from bandit.db import bandits, models, training
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection, Database, connect
from bandit.learner import Learner
from bandit.settings import Settings
from bandit.types import ModelVersion
from bandit.vw import Model
from tests.conftest import Step, api_process
from tests.integration.helpers import create, decide, logged, reward

TERMINAL: dict[str, Any] = {"terminal_kinds": ["reward"]}


async def play(client: httpx2.AsyncClient, rounds: int, start: int = 0) -> None:
    """Action b pays for x < .5, c otherwise."""
    for i in range(start, start + rounds):
        x = (i * 7 % 20) / 20
        fields = {f"f{j}": (i * j % 7) / 7 for j in range(20)}  # as many as make it relearn
        made = await decide(client, context={"x": x, "half": "low" if x < 0.5 else "high", "more": fields})
        paid = made["action"]["action_id"] == ("b" if x < 0.5 else "c")
        await reward(client, made["decision_id"], value=float(paid))


async def step_of_a_new_learner(database_url: str) -> int:
    """What a learner that has just started settles in its first step; then it is gone."""
    connection = await connect(database_url)
    learner = Learner(database_url, Settings())
    learned = await learner.step(connection)
    learner.close()
    await connection.close()
    return learned


async def assert_newest_model_is_the_fold_of_its_log(connection: Connection) -> ModelVersion:
    """Folded in one go, from the beginning, the log gives the published weights with difference 0.0."""
    bandit = await bandits.get(connection, "hero")
    live = await versions.live(connection, "hero")
    newest = await models.lineage(connection, "hero", live.newest_version)
    published = Model.from_bytes(
        await models.weights(connection, newest), newest.sha256, bandit.config.policy
    )
    again = await BranchFold.begin(connection, ConfigCache(), bandit, live)
    await again.advance(connection, ConfigCache(), newest.trained_through_seq)
    assert await training.end(connection, "hero") == newest.trained_through_seq == again.fold.seq
    folded_bytes = again.fold.to_bytes()  # what is not saved is scratch space
    sha256 = hashlib.sha256(folded_bytes).hexdigest()
    folded = Model.from_bytes(folded_bytes, sha256, bandit.config.policy)
    assert published.weights() == folded.weights()
    assert vw.weights_sha256(folded_bytes, bandit.config.policy) == newest.weights_sha256
    assert newest.learned == again.fold.policy.learned
    for one in (published, folded):
        one.close()
    again.close()
    return newest


async def test_it_learns_what_pays_and_serves_it(client: httpx2.AsyncClient, learn: Step) -> None:
    await create(client, **TERMINAL)
    for start in range(0, 300, 20):
        await play(client, 20, start)
        assert await learn() == 20
        await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest
    low = await decide(client, context={"x": 0.1, "half": "low"})
    high = await decide(client, context={"x": 0.9, "half": "high"})
    assert low["model_version"] == 15
    probabilities = [{p["action_id"]: p["probability"] for p in d["action_probs"]} for d in (low, high)]
    assert max(probabilities[0], key=probabilities[0].__getitem__) == "b"
    assert max(probabilities[1], key=probabilities[1].__getitem__) == "c"


async def test_each_version_knows_its_parent_and_is_the_fold_of_its_log(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, **TERMINAL)
    for _ in range(3):
        await play(client, 10)
        await learn()
    rows = await connection.fetch(
        "SELECT model_version, parent, trained_through_seq, vw_version FROM model_versions ORDER BY 1"
    )
    assert [tuple(row)[:3] for row in rows] == [(1, None, 10), (2, 1, 20), (3, 2, 30)]
    assert {row["vw_version"] for row in rows} == {"9.11.9"}
    assert [row["seq"] for row in await connection.fetch("SELECT seq FROM training_log ORDER BY 1")] == list(
        range(1, 31)
    )
    await assert_newest_model_is_the_fold_of_its_log(connection)


async def test_a_new_learner_goes_on_where_the_last_one_stopped(
    client: httpx2.AsyncClient, connection: Connection, database_url: str
) -> None:
    await create(client, policy={"relearn": 4, "relearn_window": 15}, **TERMINAL)
    for _ in range(4):
        await play(client, 9)
        assert await step_of_a_new_learner(database_url) == 9
    await assert_newest_model_is_the_fold_of_its_log(connection)


async def test_a_learner_that_fails_while_it_commits_loses_and_repeats_nothing(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await play(client, 5)
    await connection.execute("ALTER TABLE model_versions ADD CONSTRAINT full_disk CHECK (model_version < 1)")
    assert await learn() == 0
    assert await connection.fetchval("SELECT count(*) FROM training_log") == 0
    await connection.execute("ALTER TABLE model_versions DROP CONSTRAINT full_disk")
    await asyncio.sleep(1.1)  # it tries a bandit that failed again after a second
    assert await learn() == 5
    await assert_newest_model_is_the_fold_of_its_log(connection)


async def test_a_change_that_does_not_touch_learning_makes_no_model(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await play(client, 5)
    await learn()
    await client.patch("/v1/bandits/hero", json={"reward_wait": 1})
    assert await learn() == 0
    assert await connection.fetchval("SELECT max(model_version) FROM model_versions") == 1


async def test_a_snapshot_that_was_changed_is_folded_anew_from_the_log(
    client: httpx2.AsyncClient, connection: Connection, database_url: str
) -> None:
    await create(client, **TERMINAL)
    await play(client, 20)
    assert await step_of_a_new_learner(database_url) == 20
    await connection.execute("UPDATE model_versions SET weights = set_byte(weights, 40, 7)")
    await play(client, 3)
    assert await step_of_a_new_learner(database_url) == 0, "first it folds what was settled before"
    await assert_newest_model_is_the_fold_of_its_log(connection)
    assert await step_of_a_new_learner(database_url) == 3
    newest = await assert_newest_model_is_the_fold_of_its_log(connection)
    assert (newest.model_version, newest.parent, newest.trained_through_seq) == (3, 2, 23)


async def test_one_bandits_failure_does_not_stop_the_others(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await create(client, bandit_key="broken", **TERMINAL)
    for bandit_key in ("broken", "hero"):
        made = await decide(client, bandit_key=bandit_key)
        await reward(client, made["decision_id"])
    await connection.execute(
        """UPDATE bandit_configs SET config = replace(config::text, '"vw_arguments":[]',
           '"vw_arguments":["--ftrl_alpha=e"]')::json WHERE bandit_key = 'broken'"""
    )
    assert await learn() == 1
    assert await connection.fetchval("SELECT bandit_key FROM training_log") == "hero"


async def test_a_busy_bandit_leaves_room_for_the_others(
    client: httpx2.AsyncClient, connection: Connection, database_url: str
) -> None:
    """One batch per bandit and round; a full batch brings the next round at once."""
    for bandit_key in ("busy", "quiet"):
        await create(client, bandit_key=bandit_key, **TERMINAL)
    body = {"bandit_key": "busy", "decisions": [{"decision_id": f"d-{i}"} for i in range(30)]}
    await client.post("/v1/decisions:batch", json=body)
    await client.post("/v1/rewards", json={"rewards": [{"decision_id": f"d-{i}"} for i in range(30)]})
    await decide(client, bandit_key="quiet", decision_id="quiet")
    await reward(client, "quiet")
    own = await connect(database_url)
    learner = Learner(database_url, Settings(settle_batch=10))
    assert await learner.step(own) == 11
    assert await connection.fetchval("SELECT count(*) FROM training_log WHERE bandit_key = 'quiet'") == 1
    running = asyncio.create_task(Learner(database_url, Settings(settle_batch=10)).run())
    learner.close()
    await own.close()
    async with asyncio.timeout(10):
        while await connection.fetchval("SELECT count(*) FROM training_log") < 31:
            await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_pruned_model_is_folded_again_when_a_decision_is_audited(
    client: httpx2.AsyncClient, connection: Connection, database: Database, learn: Step
) -> None:
    await create(client, **TERMINAL)
    made = []
    for start in range(3):
        await play(client, 8, start)
        await learn()
        await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest
        made.append(await decide(client, context={"x": 0.3, "half": "low"}))
    await models.prune(connection, keep=1, every=1_000)
    kept = await connection.fetch(
        "SELECT weights IS NOT NULL AS kept FROM model_versions ORDER BY model_version"
    )
    assert [row["kept"] for row in kept] == [False, False, True]
    for answer in made:
        assert (await audit.audit_decision(database, answer["decision_id"])).difference is None
    assert (await audit.audit_everything(database, "hero")).difference is None


async def test_spent_signals_are_forgotten(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, **TERMINAL)
    made = await decide(client)
    await reward(client, made["decision_id"], event_id="1")
    await learn()
    await reward(client, made["decision_id"], event_id="2")
    await reward(client, "orphan")
    await reward(client, "old-orphan")
    await connection.execute(
        "UPDATE reward_signals SET signalled_at = now() - interval '33 days' WHERE decision_id = 'old-orphan'"
    )
    await training.drop_spent_signals(connection)
    left = await connection.fetch("SELECT decision_id FROM reward_signals")
    assert [row["decision_id"] for row in left] == ["orphan"]


async def test_one_learner_writes_and_another_takes_over(
    client: httpx2.AsyncClient, connection: Connection, database_url: str
) -> None:
    await create(client, **TERMINAL)
    one, other = Learner(database_url, Settings()), Learner(database_url, Settings())
    first, second = await connect(database_url), await connect(database_url)
    await play(client, 3)
    assert await one.step(first) == 3
    await play(client, 3)
    assert await other.step(second) == 0, "the first one holds the lock"
    await first.close()  # as when its process dies
    one.close()
    assert await other.step(second) == 3
    other.close()
    await second.close()
    await assert_newest_model_is_the_fold_of_its_log(connection)


async def test_running_learners_and_api_processes_work_together(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    async with api_process(database_url) as one, api_process(database_url) as other:
        learners = [asyncio.create_task(Learner(database_url, settings).run()) for _ in range(2)]
        await create(one, **TERMINAL)
        await play(one, 10)
        async with asyncio.timeout(20):
            made = await decide(other)
            while made["model_version"] == 0:
                await asyncio.sleep(0.02)
                made = await decide(other)
        for learner in learners:
            learner.cancel()
        await asyncio.gather(*learners, return_exceptions=True)
        assert (await logged(one, made["decision_id"]))["settled"] is None


async def test_a_learner_ends_when_it_is_told_to_whatever_it_is_doing(
    client: httpx2.AsyncClient, database_url: str
) -> None:
    await create(client, **TERMINAL)
    for number in range(12):
        running = asyncio.create_task(Learner(database_url, Settings(publish_seconds=0.01)).run())
        for _ in range(number):
            await play(client, 1)
        running.cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(running, return_exceptions=True)


async def test_a_learner_that_rests_long_keeps_its_lock_and_its_connection(
    client: httpx2.AsyncClient, connection: Connection, database_url: str
) -> None:
    """The server gives up a learner that says nothing for six seconds."""
    await create(client, **TERMINAL)
    running = asyncio.create_task(
        Learner(database_url, Settings(publish_seconds=9.0, poll_seconds=9.0)).run()
    )
    await play(client, 1)
    lock = """SELECT min(pid) FROM pg_locks WHERE locktype = 'advisory' AND database =
              (SELECT oid FROM pg_database WHERE datname = current_database())"""
    async with asyncio.timeout(20):
        while (holder := await connection.fetchval(lock)) is None:
            await asyncio.sleep(0.1)
    await asyncio.sleep(7.5)
    assert await connection.fetchval(lock) == holder
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
