"""The log folded again: the same, or with what has become known since."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx2
import pytest

from bandit import audit, catalogue
from bandit.changes import SOMEBODY
from bandit.db import models
from bandit.db.pool import Connection, Database
from bandit.errors import BrokenLogError, ConflictError, InvalidInputError, NotFoundError
from bandit.rebuild import rebuild
from tests.conftest import Step
from tests.integration.helpers import create, decide, logged, refused, reward
from tests.integration.test_branches import overview, patch, states, switch
from tests.integration.test_learner import (
    TERMINAL,
    assert_newest_model_is_the_fold_of_its_log,
    play,
)


async def history(client: httpx2.AsyncClient, learn: Step, rounds: int = 40) -> list[str]:
    """Decisions d-0, d-1, ... of four subjects in turn, settled in two batches by one reward each."""
    await create(client, policy={"relearn": 3, "relearn_window": 20}, **TERMINAL)
    ids = []
    for i in range(rounds):
        fields = {f"f{j}": (i * j % 7) / 7 for j in range(20)}
        made = await decide(
            client, decision_id=f"d-{i}", subject=f"s-{i % 4}", context={"x": i / 40, **fields}
        )
        ids.append(made["decision_id"])
        value = (
            0.9 if made["action"]["action_id"] == "b" else 0.1
        )  # inside the range, so each event moves weights
        await reward(client, made["decision_id"], value=value, event_id=f"e-{i}")
        if i == rounds // 2:
            await learn()
    await learn()
    return ids


async def test_the_log_folded_again_gives_the_weights_that_serve(
    client: httpx2.AsyncClient, database: Database, learn: Step
) -> None:
    await history(client, learn)
    seen: list[tuple[int, int]] = []
    found = await rebuild(database, "hero", progress=lambda *told: seen.append(told))
    assert (found.through, found.revised, found.left_out) == (40, 0, 0)
    assert (found.same_as, found.equal, found.published) == (2, True, None)
    assert (seen[0], seen[-1]) == ((0, 40), (40, 40))
    part = await rebuild(database, "hero", through=21)
    assert (part.same_as, part.equal) == (1, True)
    between = await rebuild(database, "hero", through=30)
    assert (between.same_as, between.equal) == (None, None)
    assert len({found.weights_sha256, part.weights_sha256, between.weights_sha256}) == 3


async def test_late_and_corrected_rewards_enter(
    client: httpx2.AsyncClient, connection: Connection, database: Database, learn: Step
) -> None:
    await history(client, learn)
    plain = await rebuild(database, "hero")
    corrected = (await logged(client, "d-3"))["settled"]["reward"]
    refused(
        await client.post("/v1/rewards", json={"decision_id": "d-3", "event_id": "e", "corrects": "e"}),
        422, "invalid_input", "corrects",
    )  # fmt: skip
    answer = await reward(client, "d-3", value=1.0 - corrected, event_id="c-3", corrects="e-3")
    assert "rebuilt" in answer["detail"]
    await reward(client, "d-5", value=1.0, event_id="late", occurred_at="2026-01-01T00:00:00Z")
    found = await rebuild(database, "hero", publish=True)
    assert found.revised == 2
    assert found.weights_sha256 != plain.weights_sha256
    assert found.same_as is None
    assert (await logged(client, "d-3"))["settled"]["reward"] == corrected, "the log stays as it was"
    assert states(await overview(client)) == ["live", "candidate"]
    newest = (await client.get("/v1/bandits/hero/changes")).json()["changes"][0]
    assert (newest["what"], newest["who"]) == ("rebuilt", "unknown")
    assert newest["details"] == {"model_version": found.published, "branch": 2, "how": "rebuilt through 40"}
    await play(client, 10)
    while await learn():
        pass  # the learner takes the candidate up from its snapshot
    await switch(client, found.published or 0, "promote")
    newest = await assert_newest_model_is_the_fold_of_its_log(connection)
    assert (newest.branch, newest.trained_through_seq) == (2, 50)
    again = await rebuild(database, "hero")
    assert (again.revised, again.equal, again.same_as) == (0, True, newest.model_version)
    await models.prune(connection, keep=0, every=1_000)
    assert (await audit.audit_everything(database, "hero")).difference is None


async def test_a_subject_can_be_left_out_for_good(
    client: httpx2.AsyncClient, connection: Connection, database: Database, learn: Step
) -> None:
    await history(client, learn)
    found = await rebuild(database, "hero", without_subjects=["s-1"], publish=True)
    assert (found.left_out, found.equal) == (10, None)
    assert found.weights_sha256 != (await rebuild(database, "hero")).weights_sha256
    await switch(client, found.published or 0, "promote")
    for i in range(8):
        made = await decide(client, subject=f"s-{i % 4}", context={f"g{j}": j * i / 100 for j in range(20)})
        await reward(client, made["decision_id"])
    while await learn():
        pass
    newest = await assert_newest_model_is_the_fold_of_its_log(connection)
    assert newest.trained_through_seq == 48
    again = await rebuild(database, "hero")
    assert (again.left_out, again.equal) == (12, True), "what the live branch leaves out stays left out"
    await patch(client, policy={"learning_rate": 0.5})
    await learn()
    await learn()
    candidate = (await overview(client))["branches"][2]
    assert candidate["subjects_left_out"] == 1
    assert (await audit.audit_everything(database, "hero")).difference is None


async def test_rewards_can_be_settled_by_another_definition(
    client: httpx2.AsyncClient, connection: Connection, database: Database, learn: Step
) -> None:
    await history(client, learn)
    changed = await patch(client, reward={"kinds": {"reward": {"weight": 0.5}}})
    assert changed["candidate"] is None, "what a kind weighs is no matter of policy"
    assert (await rebuild(database, "hero")).equal, "each by the definition it was settled by"
    found = await rebuild(database, "hero", reward_definition=2, publish=True)
    paid = await connection.fetchval("SELECT count(*) FROM training_log WHERE reward > 0")
    assert found.revised == paid > 0
    candidate = (await overview(client))["branches"][1]
    assert "reward definition of configuration 2" in candidate["reason"]
    await switch(client, found.published or 0, "promote")
    await play(client, 3)
    await learn()
    await assert_newest_model_is_the_fold_of_its_log(connection)
    assert (await audit.audit_everything(database, "hero")).difference is None


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"through": 41}, InvalidInputError),
        ({"reward_definition": 7}, NotFoundError),
        ({"bandit_key": "nobody"}, NotFoundError),
    ],
)
async def test_what_cannot_be_rebuilt_is_refused(
    client: httpx2.AsyncClient, database: Database, learn: Step, asked: dict[str, Any], error: type[Exception]
) -> None:
    await history(client, learn)
    with pytest.raises(error):
        await rebuild(database, **({"bandit_key": "hero"} | asked))


async def test_a_reward_changed_by_hand_is_not_taken_for_a_late_one(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step
) -> None:
    await history(client, learn)
    await connection.execute("UPDATE reward_events SET value = 1 - value WHERE decision_id = 'd-9'")
    with pytest.raises(BrokenLogError, match="reward event e-9 of source api"):
        await rebuild(database, "hero")


async def test_what_serves_already_is_not_published(
    client: httpx2.AsyncClient, database: Database, learn: Step
) -> None:
    await history(client, learn)
    assert (await rebuild(database, "hero", publish=True)).published is None
    assert states(await overview(client)) == ["live"]


async def test_a_log_with_a_hole_is_refused(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step
) -> None:
    await history(client, learn)
    await connection.execute("DELETE FROM decisions WHERE decision_id = 'd-9'")
    with pytest.raises(BrokenLogError, match="place 10 of the training log"):
        await rebuild(database, "hero")


async def test_nothing_is_published_when_another_branch_went_live_meanwhile(
    client: httpx2.AsyncClient, database: Database, learn: Step
) -> None:
    await history(client, learn)
    other = await rebuild(database, "hero", without_subjects=["s-1"], publish=True)

    async def promote() -> None:
        database_of_its_own = Database(database.url, size=1)
        await database_of_its_own.open()
        await catalogue.promote(database_of_its_own, "hero", other.published or 0, SOMEBODY)
        await database_of_its_own.close()

    def meanwhile(done: int, _: int) -> None:
        if done == 0:
            thread = threading.Thread(target=lambda: asyncio.run(promote()))
            thread.start()
            thread.join()

    with pytest.raises(ConflictError, match="Rebuild again"):
        await rebuild(database, "hero", publish=True, progress=meanwhile)
    assert states(await overview(client)) == ["retired", "live"]
    assert (await rebuild(database, "hero", publish=True, through=30)).subjects_left_out == 1
    assert (await audit.audit_everything(database, "hero")).difference is None
