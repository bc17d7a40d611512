"""What the policy would do beside the baseline is noted before it learns, and counted once, in order."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import msgspec
import pytest

from bandit import serving
from bandit.db import bandits
from bandit.db.pool import Connection, Database
from bandit.readiness import Rehearsals
from bandit.rebuild import rebuild
from bandit.types import Action
from tests.conftest import Step
from tests.integration.helpers import ACTIONS, create, decide, refused, reward
from tests.integration.test_branches import patch
from tests.integration.test_commands import in_thread
from tests.integration.test_learner import step_of_a_new_learner

APPRENTICE: dict[str, Any] = {
    "mode": "apprentice", "baseline_action": "b", "reward_wait": 0.5, "terminal_kinds": ["reward"],
}  # fmt: skip
OFFERED = [Action(**{name: one[name] for name in one if name != "payload"}) for one in ACTIONS]


async def play(
    client: httpx2.AsyncClient, rounds: int, *, value: float = 0.9, mode: str = "apprentice"
) -> None:
    for i in range(rounds):
        made = await decide(client, context={"x": i % 7 / 7})
        assert made["mode"] == mode
        assert mode == "online" or (made["action"]["action_id"], made["probability"]) == ("b", 1.0)
        await reward(client, made["decision_id"], value=value)


async def counted(client: httpx2.AsyncClient, learn: Step) -> None:
    """One decision more, whose reward never comes, is settled; and all that was settled before is counted."""
    await decide(client)
    await asyncio.sleep(1.7)  # due after half a second, and counted a second after that
    await learn()


async def shown(client: httpx2.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/v1/bandits/hero/readiness")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def state(connection: Connection) -> tuple[int, Rehearsals]:
    kept = await connection.fetchval("SELECT readiness FROM model_branches WHERE state = 'live'")
    return msgspec.json.decode(kept, type=tuple[int, Rehearsals])


async def test_what_is_rehearsed_is_the_exploration_in_force(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, **APPRENTICE)
    await play(client, 20)
    await learn()
    await patch(client, policy={"exploration": {"algorithm": "epsilon_greedy", "epsilon": 1.0}})
    await play(client, 1)
    await learn()
    noted = await connection.fetch("SELECT agreement FROM rehearsals ORDER BY due_at DESC LIMIT 1")
    assert noted[0]["agreement"] == pytest.approx(1 / 3)


async def test_each_decision_is_predicted_by_the_model_that_had_not_learned_it(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, **APPRENTICE)
    bandit = await bandits.get(connection, "hero")
    expected, matches = [], 0
    for version in range(6):
        policy = await serving.served_policy(connection, bandit, version)
        pmf = policy.distribution({"x": 0.5}, OFFERED)
        expected.append(pmf[1])
        matches += pmf[1] > max(pmf[0], pmf[2]) + 1e-9
        policy.model.close()
        made = await decide(client)
        await reward(client, made["decision_id"], value=0.9)
        assert await learn() == 1
    assert expected[0] == pytest.approx(1 / 3)
    assert expected[-1] > 0.34, "it learned meanwhile"
    policy = await serving.served_policy(connection, bandit, 6)
    expected.append(policy.distribution({"x": 0.5}, OFFERED)[1])
    policy.model.close()
    await counted(client, learn)
    since, found = await state(connection)
    assert since == 1
    assert found.agreement.values == 7
    assert found.agreement.total == pytest.approx(sum(expected), abs=1e-9)
    assert found.earned.total == pytest.approx(6 * 0.9)
    assert matches <= found.matches <= matches + 1


async def test_a_policy_that_agrees_becomes_ready_and_says_so(
    client: httpx2.AsyncClient, database_url: str, learn: Step
) -> None:
    """The two others lie below what was never seen of the baseline, so the policy keeps to it."""
    await create(
        client, **APPRENTICE, policy={"exploration": {"algorithm": "epsilon_greedy", "epsilon": 0.01}}
    )
    early = await shown(client)
    assert (early["ready"], early["decisions"], early["match_rate"]) == (False, 0, None)
    await play(client, 200, value=1.0)
    await counted(client, learn)
    found = await shown(client)
    assert found["decisions"] == 201
    assert found["match_rate"] > 0.95
    assert found["ready"], found
    assert found["verdict"].startswith("Ready: even if every deviation")
    assert found["policy_between"]["low"] <= found["baseline"] <= found["policy_between"]["high"]
    ran = await in_thread(database_url, "bandits", "readiness", "hero")
    assert ran.exit_code == 0, ran.output
    assert " ".join(ran.output.split()).startswith(found["verdict"])
    assert "policy - baseline" in ran.output


async def test_a_policy_that_hopes_for_what_it_never_saw_is_not_believed(
    client: httpx2.AsyncClient, learn: Step
) -> None:
    """The baseline earns little, so what was never tried looks better: the log cannot say."""
    await create(client, **APPRENTICE)
    await play(client, 150, value=0.1)
    await counted(client, learn)
    found = await shown(client)
    assert not found["ready"]
    assert found["match_rate"] < 0.5
    assert found["verdict"].startswith("The log cannot say: with probability 0.")
    assert "floor keeps a share of 0.8" in found["verdict"]
    assert found["policy_between"]["high"] - found["policy_between"]["low"] > 0.4


async def test_restarts_and_rebuilds_count_nothing_twice(
    client: httpx2.AsyncClient, database: Database, database_url: str, connection: Connection, learn: Step
) -> None:
    await create(client, **APPRENTICE)
    await play(client, 10)
    assert await step_of_a_new_learner(database_url) == 10
    assert await connection.fetchval("SELECT count(*) FROM rehearsals") == 10
    await rebuild(database, "hero", reward_definition=1, without_subjects=["nobody"], publish=True)
    await play(client, 5)
    assert await step_of_a_new_learner(database_url) == 5
    await counted(client, learn)
    assert await connection.fetchval("SELECT count(*) FROM rehearsals") == 0
    assert (await shown(client))["decisions"] == 16
    await connection.execute("UPDATE model_versions SET weights = set_byte(weights, 400, 7)")
    await play(client, 1)
    while await step_of_a_new_learner(database_url):
        pass
    await counted(client, learn)
    _, found = await state(connection)
    assert found.earned.values == 18, "what is folded again is noted again, and the count begins anew"


async def test_what_is_rolled_back_is_not_counted(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, **APPRENTICE)
    await play(client, 5)
    await connection.execute("ALTER TABLE model_branches ADD CHECK (readiness IS NULL)")
    await counted(client, learn)
    assert await connection.fetchval("SELECT count(*) FROM training_log") == 0
    await connection.execute("ALTER TABLE model_branches DROP CONSTRAINT model_branches_readiness_check")
    await asyncio.sleep(1.1)  # until the branch is tried again
    await learn()
    assert (await shown(client))["decisions"] == 6


async def test_coming_back_to_apprentice_begins_anew(client: httpx2.AsyncClient, learn: Step) -> None:
    await create(client, **APPRENTICE)
    await play(client, 8)
    await counted(client, learn)
    assert (await shown(client))["decisions"] == 9
    late = await decide(client)
    await patch(client, mode="online")
    found = await shown(client)
    assert (found["mode"], found["ready"], found["decisions"]) == ("online", False, 0)
    assert found["verdict"].startswith("Nothing is counted: the bandit is in mode online.")
    await play(client, 3, mode="online")
    await patch(client, mode="apprentice")
    await reward(client, late["decision_id"])
    await play(client, 2)
    await counted(client, learn)
    found = await shown(client)
    assert (found["since_config"], found["decisions"]) == (3, 3), (
        "neither what was online nor what was before"
    )


async def test_what_neither_shapes_nor_earns_anything_keeps_the_count(
    client: httpx2.AsyncClient, learn: Step
) -> None:
    await create(client, **APPRENTICE)
    await play(client, 8)
    await learn()
    await patch(client, alerts={"decisions": 500}, promotion="automatic")
    await patch(client, actions=[ACTIONS[0] | {"payload": "another"}, *ACTIONS[1:]])
    await patch(client, policy={"learning_rate": 0.01})  # of a candidate, which is not in force
    await patch(client, paused=True)
    await patch(client, paused=False)
    await play(client, 1)
    await counted(client, learn)
    found = await shown(client)
    assert (found["since_config"], found["decisions"]) == (1, 10)


@pytest.mark.parametrize(
    "changed",
    [
        {"constraints": []}, {"default_reward": 0.2}, {"reward_wait": 0.6}, {"killed_actions": ["c"]},
        {"exploration_floor": 0.012}, {"reward": {"kinds": {"sale": {}}}},
        {"policy": {"exploration": {"algorithm": "epsilon_greedy", "epsilon": 1.0}}},
        {"actions": [*ACTIONS, {"action_id": "d"}]},
    ],
    ids=str,
)  # fmt: skip
async def test_what_made_it_ready_does_not_outlive_its_change(
    client: httpx2.AsyncClient, learn: Step, changed: dict[str, Any]
) -> None:
    floor = {"name": "careful", "actions": ["b"], "floor": 0.99}
    await create(client, constraints=[floor], **APPRENTICE)
    await play(client, 120, value=1.0)
    await counted(client, learn)
    assert (await shown(client))["ready"]
    version = (await patch(client, **changed))["config_version"]
    found = await shown(client)
    assert (found["ready"], found["since_config"], found["decisions"]) == (False, version, 0)
    await patch(client, alerts={"decisions": 500})
    await play(client, 3)
    await counted(client, learn)
    found = await shown(client)
    assert (found["since_config"], found["decisions"]) == (version, 4)


@pytest.mark.parametrize(
    "limit",
    [
        {"constraints": [{"name": "a change", "actions": ["b"], "in_a_row": 1}]},
        {"constraints": [{"name": "twice", "cap": {"times": 2, "seconds": 60}}]},
        {"novelty": {"share": 0.5}},
    ],
    ids=str,
)
async def test_what_hangs_on_exposures_cannot_be_rehearsed(
    client: httpx2.AsyncClient, learn: Step, limit: dict[str, Any]
) -> None:
    floor = {"name": "careful", "actions": ["b"], "floor": 0.99}
    constraints = [floor, *limit.get("constraints", [])]
    await create(client, **limit | {"constraints": constraints}, **APPRENTICE)
    await play(client, 120, value=1.0)
    await counted(client, learn)
    found = await shown(client)
    assert found["agreement"] > 0.98
    assert not found["ready"]
    assert found["verdict"].startswith("The log cannot say: by caps, in_a_row or novelty")
    assert "Take them out of the configuration until the bandit is online" in found["verdict"]


async def test_readiness_of_an_unknown_bandit(client: httpx2.AsyncClient) -> None:
    refused(await client.get("/v1/bandits/ghost/readiness"), 404, "not_found", "bandit_key")
