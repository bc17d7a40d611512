"""A changed policy learns beside the live one; which of them serves can be changed, and changed back."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from bandit import audit
from bandit.db import models
from bandit.db.pool import Connection, Database
from bandit.rebuild import rebuild
from tests.conftest import Step, api_process
from tests.integration.helpers import create, decide, logged, refused, reward
from tests.integration.test_learner import (
    TERMINAL,
    assert_newest_model_is_the_fold_of_its_log,
    play,
    step_of_a_new_learner,
)

#: Hardly learns at all, so it goes on choosing almost at random.
DULL: dict[str, Any] = {"learning_rate": 1e-6, "interactions": [], "relearn": 0, "on_drift": "ignore"}


async def patch(client: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.patch("/v1/bandits/hero", json=fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def overview(client: httpx2.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/v1/bandits/hero/models")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def switch(client: httpx2.AsyncClient, version: int, how: str) -> dict[str, Any]:
    answer = await client.post(f"/v1/bandits/hero/models/{version}:{how}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def assert_everything_comes_out_the_same(database: Database) -> None:
    assert (await audit.audit_everything(database, "hero")).difference is None


async def assert_the_learner_did_it(client: httpx2.AsyncClient, what: str, why: str) -> None:
    newest = (await client.get("/v1/bandits/hero/changes")).json()["changes"][0]
    assert (newest["who"], newest["what"], newest["why"]) == ("segbandit", what, why)
    models = (await client.get("/v1/bandits/hero/models")).json()
    live = next(branch for branch in models["branches"] if branch["state"] == "live")
    details = newest["details"]
    assert details["branch"] == live["branch"]
    assert details["model_version"] in {
        one["model_version"] for one in models["models"] if one["branch"] == live["branch"]
    }
    policy = (await client.get("/v1/bandits/hero")).json()["policy"]
    assert details["policy"]["to"] == policy != details["policy"]["from"]


def states(found: dict[str, Any]) -> list[str]:
    return [branch["state"] for branch in found["branches"]]


async def test_exploration_changes_on_the_live_model_without_learning_it_again(
    client: httpx2.AsyncClient, connection: Connection, database: Database, learn: Step
) -> None:
    await create(client, exploration_floor=1e-4, **TERMINAL)
    await play(client, 60)
    await learn()
    for exploration, expected in [
        ({"algorithm": "epsilon_greedy", "epsilon": 0.3}, [0.1, 0.1, 0.8]),
        ({"algorithm": "softmax", "lambda": 1e-6, "epsilon": 0.0}, [1 / 3, 1 / 3, 1 / 3]),
        ({"algorithm": "squarecb", "gamma_scale": 1e6}, [0.0, 0.0, 1.0]),
    ]:
        changed = await patch(client, policy={"exploration": exploration})
        assert changed["policy"]["exploration"]["algorithm"] == exploration["algorithm"]
        assert changed["candidate"] is None
        made = await decide(client)
        assert made["model_version"] == 1
        probabilities = sorted(p["probability"] for p in made["action_probs"])
        assert probabilities == pytest.approx(expected, abs=1e-4)
    await play(client, 5)
    await learn()
    newest = await assert_newest_model_is_the_fold_of_its_log(connection)
    assert (newest.model_version, newest.parent, newest.branch, newest.config_version) == (2, 1, 1, 4)
    await assert_everything_comes_out_the_same(database)


async def test_a_changed_policy_learns_beside_the_live_one_until_it_is_promoted(
    client: httpx2.AsyncClient, connection: Connection, database: Database, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await play(client, 60)
    await learn()
    changed = await patch(client, policy={"learning_rate": 0.5, "relearn": 2}, reward_wait=300)
    assert changed["policy"]["learning_rate"] == 0.04, "the live policy stays in force"
    assert changed["reward_wait"] == 300, "everything else is in force at once"
    assert changed["candidate"]["policy"]["learning_rate"] == 0.5
    await learn()
    found = await overview(client)
    assert states(found) == ["live", "candidate"]
    assert found["served"] == 1
    candidate = found["models"][0]
    assert (candidate["model_version"], candidate["parent"], candidate["branch"]) == (2, 1, 2)
    assert candidate["trained_through_seq"] == 60
    assert "--learning_rate=0.5" in candidate["vw_arguments"]
    assert candidate["config_version"] == changed["candidate"]["config_version"]
    assert (await decide(client))["model_version"] == 1

    await play(client, 10)
    await learn()  # both learn on
    found = await overview(client)
    assert [(m["branch"], m["trained_through_seq"]) for m in found["models"][:2]] == [(2, 70), (1, 70)]

    found = await switch(client, 2, "promote")
    assert found["served"] == 4, "the branch's newest version"
    assert (await decide(client))["model_version"] == 4
    now = (await client.get("/v1/bandits/hero")).json()
    assert now["policy"]["learning_rate"] == 0.5
    assert now["candidate"] is None
    assert now["reward_wait"] == 300
    await play(client, 10)
    await learn()
    newest = await assert_newest_model_is_the_fold_of_its_log(connection)
    assert (newest.branch, newest.trained_through_seq) == (2, 80)

    found = await switch(client, 1, "promote")  # and back: the first branch catches up
    assert found["served"] == 3
    await learn()
    newest = await assert_newest_model_is_the_fold_of_its_log(connection)
    assert (newest.branch, newest.trained_through_seq) == (1, 80)
    assert (await client.get("/v1/bandits/hero")).json()["policy"]["learning_rate"] == 0.04
    await assert_everything_comes_out_the_same(database)


async def test_there_is_one_candidate_at_a_time(client: httpx2.AsyncClient, learn: Step) -> None:
    await create(client, **TERMINAL)
    await play(client, 5)
    await learn()
    first = await patch(client, policy={"learning_rate": 0.5})
    assert await patch(client, policy={"learning_rate": 0.5}) == first, "it learns already"
    second = await patch(client, policy={"learning_rate": 0.7})
    assert second["candidate"]["branch"] == 3
    assert states(await overview(client)) == ["live", "retired", "candidate"]
    back = await patch(client, policy={})
    assert back["candidate"] is None
    assert states(await overview(client)) == ["live", "retired", "retired"]


async def test_a_changed_reward_range_is_learned_beside_the_live_one_too(
    client: httpx2.AsyncClient, database: Database, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await play(client, 20)
    await learn()
    changed = await patch(client, reward={"clip": [0, 2]})
    assert changed["reward"]["clip"] == [0, 2]
    assert changed["candidate"]["policy"] == changed["policy"]
    await learn()
    await switch(client, 2, "promote")
    await play(client, 5)
    await learn()
    assert (await overview(client))["served"] == 3
    await assert_everything_comes_out_the_same(database)


async def test_a_candidate_goes_on_when_something_else_is_changed(
    client: httpx2.AsyncClient, database: Database, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await play(client, 20)
    await learn()
    await patch(client, policy={"learning_rate": 0.5})
    for fields in (
        {"reward": {"kinds": {"reward": {}, "like": {"weight": 0.1}}}},
        {"mode": "online"},
        {"reward_wait": 9},
    ):
        changed = await patch(client, **fields)
        assert changed["candidate"]["branch"] == 2
        assert changed["policy"]["learning_rate"] == 0.04

    explores = {"learning_rate": 0.5, "exploration": {"algorithm": "epsilon_greedy"}}
    changed = await patch(client, policy=explores)
    assert changed["candidate"]["branch"] == 2, "it learns the same, so it learns on"
    assert changed["candidate"]["policy"]["exploration"]["algorithm"] == "epsilon_greedy"
    assert changed["policy"]["exploration"]["algorithm"] == "squarecb"
    await learn()
    await switch(client, 2, "promote")
    now = (await client.get("/v1/bandits/hero")).json()
    assert now["policy"]["exploration"]["algorithm"] == "epsilon_greedy"
    await switch(client, 1, "promote")
    await patch(client, policy=explores)

    changed = await patch(client, reward={"clip": [0, 2]})
    assert changed["candidate"]["branch"] == 4, "under the new range, with the policy that was asked for"
    assert changed["candidate"]["policy"]["learning_rate"] == 0.5
    changed = await patch(client, policy={"exploration": {"algorithm": "epsilon_greedy", "epsilon": 0.3}})
    assert changed["candidate"]["branch"] == 5, "the live branch still learns under the old range"
    assert changed["policy"]["exploration"]["epsilon"] == 0.3, "but it explores as asked at once"
    changed = await patch(client, reward={"clip": [0, 1]})
    assert changed["candidate"] is None
    await play(client, 5)
    while await learn():
        pass
    await assert_everything_comes_out_the_same(database)


async def test_before_anything_is_learned_a_changed_policy_is_in_force_at_once(
    client: httpx2.AsyncClient, connection: Connection, database: Database, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await decide(client)
    changed = await patch(client, policy={"learning_rate": 0.5, "exploration": {"algorithm": "bag"}})
    assert changed["policy"]["learning_rate"] == 0.5
    assert changed["candidate"] is None
    await play(client, 5)
    await learn()
    newest = await assert_newest_model_is_the_fold_of_its_log(connection)
    assert (newest.model_version, newest.parent, newest.branch) == (1, None, 2)
    await assert_everything_comes_out_the_same(database)


async def test_a_rollback_serves_just_that_version_while_learning_goes_on(
    client: httpx2.AsyncClient, connection: Connection, database: Database, database_url: str, learn: Step
) -> None:
    await create(client, **TERMINAL)
    for _ in range(3):
        await play(client, 10)
        await learn()
    async with api_process(database_url) as other:
        assert (await decide(other))["model_version"] == 3
        found = await switch(client, 1, "rollback")
        assert (found["served"], found["pinned"]) == (1, True)
        async with asyncio.timeout(10):
            while (await decide(other))["model_version"] != 1:
                await asyncio.sleep(0.01)
        await play(client, 10)
        await learn()
        await models.prune(connection, keep=0, every=1_000)
        assert (await decide(client))["model_version"] == 1, "what serves is never pruned"
        newest = (await overview(client))["models"][0]
        assert (newest["model_version"], newest["trained_through_seq"]) == (4, 40)
        answer = await client.post("/v1/bandits/hero/models/2:rollback")
        assert "models rollback hero 2" in refused(answer, 409, "conflict", "model_version")
        found = await switch(client, 2, "promote")
        assert (found["served"], found["pinned"]) == (4, False)
        assert (await decide(client))["model_version"] == 4
    await assert_everything_comes_out_the_same(database)


async def test_what_is_not_there_is_not_promoted(client: httpx2.AsyncClient) -> None:
    await create(client)
    for how in ("promote", "rollback"):
        refused(await client.post(f"/v1/bandits/hero/models/1:{how}"), 404, "not_found", "model_version")
        refused(await client.post(f"/v1/bandits/nobody/models/1:{how}"), 404, "not_found", "bandit_key")
        refused(await client.post(f"/v1/bandits/hero/models/x:{how}"), 422, "invalid_input", "model_version")
    refused(await client.get("/v1/bandits/nobody/models"), 404, "not_found", "bandit_key")
    refused(await client.get("/v1/bandits/hero/models?limit=0"), 422, "invalid_input", "limit")


async def test_models_are_listed_page_by_page(client: httpx2.AsyncClient, learn: Step) -> None:
    await create(client, **TERMINAL)
    for _ in range(3):
        await play(client, 1)
        await learn()
    page = (await client.get("/v1/bandits/hero/models?limit=2")).json()
    assert ([m["model_version"] for m in page["models"]], page["next_before"]) == ([3, 2], 2)
    page = (await client.get("/v1/bandits/hero/models?limit=2&before=2")).json()
    assert ([m["model_version"] for m in page["models"]], page["next_before"]) == ([1], None)


async def play_for_the_baseline(client: httpx2.AsyncClient, rounds: int) -> None:
    """Only action a, the baseline, ever pays; all is about one subject."""
    for _ in range(rounds):
        made = await decide(client, subject="s-1")
        await reward(client, made["decision_id"], value=float(made["action"]["action_id"] == "a"))


async def promote_what_is_dull(client: httpx2.AsyncClient, learn: Step) -> None:
    """A bandit of which 50 decisions are settled, and whose live branch earns less than the baseline."""
    await create(client, reward_wait=0.5)
    await play_for_the_baseline(client, 50)
    await settled_long_enough(learn)
    await patch(client, policy=DULL)
    await learn()
    await switch(client, 2, "promote")


async def settled_long_enough(learn: Step) -> None:
    """Decisions are due after half a second here, and counted a second after that."""
    await asyncio.sleep(1.7)
    await learn()


async def test_a_better_candidate_is_promoted_automatically_if_the_bandit_wants_that(
    client: httpx2.AsyncClient, connection: Connection, database: Database, learn: Step
) -> None:
    await create(client, policy=DULL, reward_wait=0.5, promotion="automatic")
    await play(client, 700)
    await settled_long_enough(learn)
    while await learn():
        pass
    await patch(client, policy={"relearn": 0, "on_drift": "ignore"})
    for _ in range(3):
        await learn()
    found = await overview(client)
    assert states(found) == ["retired", "live"]
    assert found["branches"][1]["reason"].startswith("promoted automatically: (candidate - live) lies in [0.")
    await assert_the_learner_did_it(client, "promoted", found["branches"][1]["reason"])
    assert found["served"] == found["branches"][1]["newest_version"]
    await assert_newest_model_is_the_fold_of_its_log(connection)
    await assert_everything_comes_out_the_same(database)


async def test_a_candidate_that_is_not_shown_to_be_better_waits(
    client: httpx2.AsyncClient, learn: Step
) -> None:
    await create(client, reward_wait=0.5, promotion="automatic")
    await play(client, 300)
    await settled_long_enough(learn)
    await patch(client, policy=DULL)
    for _ in range(3):
        await learn()
    found = await overview(client)
    assert states(found) == ["live", "candidate"]
    comparison = found["branches"][1]["comparison"]
    assert comparison["difference"] == "candidate - live"
    assert comparison["events"] == 60, "the last fifth of the log"
    assert comparison["low"] < 0.0 < comparison["high"]


async def test_without_being_asked_for_nothing_is_promoted(client: httpx2.AsyncClient, learn: Step) -> None:
    await create(client, policy=DULL, reward_wait=0.5)
    await play(client, 700)
    await settled_long_enough(learn)
    while await learn():
        pass
    await patch(client, policy={"relearn": 0, "on_drift": "ignore"})
    for _ in range(3):
        await learn()
    found = await overview(client)
    assert states(found) == ["live", "candidate"]
    assert found["branches"][1]["comparison"]["low"] > 0.0


async def test_a_promoted_branch_that_earns_less_than_the_baseline_is_rolled_back(
    client: httpx2.AsyncClient, database: Database, learn: Step
) -> None:
    await promote_what_is_dull(client, learn)
    await play_for_the_baseline(client, 250)
    await settled_long_enough(learn)
    await learn()
    await settled_long_enough(learn)
    found = await overview(client)
    assert states(found) == ["live", "retired"]
    assert found["branches"][0]["reason"].startswith(
        "rolled back automatically: (baseline - live) lies in [0."
    )
    assert found["branches"][0]["replaced"] is None, "it is not judged again"
    await assert_the_learner_did_it(client, "rolled back", found["branches"][0]["reason"])
    now = (await client.get("/v1/bandits/hero")).json()
    assert now["policy"]["learning_rate"] == 0.04
    made = await decide(client)
    assert (await logged(client, made["decision_id"]))["config_version"] == now["config_version"]
    await learn()
    assert (await overview(client))["branches"][0]["trained_through"] == 300
    await assert_everything_comes_out_the_same(database)


async def test_a_candidate_that_fails_does_not_stop_the_live_branch(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await play(client, 5)
    await learn()
    await patch(client, policy={"learning_rate": 0.5})
    await connection.execute(
        """UPDATE bandit_configs SET config = replace(config::text, '"vw_arguments":[]',
           '"vw_arguments":["--ftrl_alpha=e"]')::json WHERE config_version = 2"""
    )
    await play(client, 5)
    assert await learn() == 5
    await play(client, 5)
    assert await learn() == 5
    found = await overview(client)
    assert (found["branches"][0]["trained_through"], found["branches"][1]["trained_through"]) == (15, 0)


async def test_a_comparison_goes_on_where_the_last_learner_stopped(
    client: httpx2.AsyncClient, database_url: str
) -> None:
    """Every learner here makes one step and is gone; what waits to be counted waits in the database."""
    await create(client, policy=DULL, reward_wait=0.5)
    await play(client, 50)
    await asyncio.sleep(0.6)
    assert await step_of_a_new_learner(database_url) == 50
    await patch(client, policy={"relearn": 0, "on_drift": "ignore"})
    for _ in range(4):
        await play(client, 10)
        await asyncio.sleep(0.6)
        assert await step_of_a_new_learner(database_url) == 10
        await patch(client, promotion="manual")
    await asyncio.sleep(1.2)
    await play(client, 1)
    await asyncio.sleep(0.6)
    assert await step_of_a_new_learner(database_url) == 1
    comparison = (await overview(client))["branches"][1]["comparison"]
    assert comparison["events"] == 10 + 4 * 10, "the held-out fifth, and each one since, but the last"


async def test_who_was_left_out_does_not_come_back_by_itself(
    client: httpx2.AsyncClient, database: Database, learn: Step
) -> None:
    await create(client, policy=DULL, reward_wait=0.5)
    await play_for_the_baseline(client, 20)
    await settled_long_enough(learn)
    found = await rebuild(database, "hero", without_subjects=["s-1"], publish=True)
    await switch(client, found.published or 0, "promote")
    await play_for_the_baseline(client, 250)
    await settled_long_enough(learn)
    await learn()
    await settled_long_enough(learn)
    now = await overview(client)
    assert states(now) == ["retired", "live"]
    assert now["branches"][1]["comparison"]["low"] > 0.0, "the baseline earns more, and still"


async def test_a_candidate_whose_snapshot_was_changed_is_folded_and_compared_anew(
    client: httpx2.AsyncClient, connection: Connection, database_url: str
) -> None:
    await create(client, policy=DULL, **TERMINAL)
    await play(client, 50)
    waiting = await decide(client)
    assert await step_of_a_new_learner(database_url) == 50
    await patch(client, policy={"relearn": 0, "on_drift": "ignore"})
    assert await step_of_a_new_learner(database_url) == 0
    await play(client, 10)  # predicted, and not counted while the earlier decision waits
    assert await step_of_a_new_learner(database_url) == 10
    assert await connection.fetchval("SELECT count(*) FROM predictions") >= 10
    await connection.execute("UPDATE model_versions SET weights = set_byte(weights, 400, 7) WHERE branch = 2")
    await play(client, 5)
    assert await step_of_a_new_learner(database_url) == 5
    assert (await overview(client))["branches"][1]["trained_through"] == 65
    assert await connection.fetchval("SELECT count(*) FROM predictions") >= 15
    await asyncio.sleep(1.1)
    await reward(client, waiting["decision_id"])
    assert await step_of_a_new_learner(database_url) == 1
    assert (await overview(client))["branches"][1]["comparison"]["events"] == 10 + 16
