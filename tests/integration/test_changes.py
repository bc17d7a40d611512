"""Every change is recorded with who and why, in the transaction that makes it, and for good."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import httpx2
import pytest

from bandit.db.pool import Connection
from tests.conftest import Step
from tests.integration.helpers import ACTIONS, create, refused
from tests.integration.test_branches import DULL, patch, switch
from tests.integration.test_learner import TERMINAL, play

SIGNED = {"who": "ada", "why": "spring is over"}


async def changes(client: httpx2.AsyncClient, key: str = "hero", **paging: int) -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/bandits/{key}/changes", params=paging)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["changes"])


async def test_a_change_is_recorded_with_who_why_and_what(client: httpx2.AsyncClient) -> None:
    await create(client, who="eve", why="a new page")
    await patch(client, mode="apprentice", terminal_kinds=["buy"], **SIGNED)
    retired = {**ACTIONS[0], "enabled": False}
    await patch(client, actions=[retired, ACTIONS[1], {"action_id": "d"}],
                baseline_action=None, **SIGNED)  # fmt: skip
    newest, second, first = await changes(client)
    assert (first["who"], first["why"], first["what"], first["details"]) == (
        "eve",
        "a new page",
        "created",
        {},
    )
    assert (second["who"], second["why"], second["what"]) == ("ada", "spring is over", "changed")
    assert second["config_version"] == 2
    assert second["details"] == {
        "mode": {"from": "online", "to": "apprentice"}, "terminal_kinds": {"added": ["buy"]},
    }  # fmt: skip
    assert newest["details"] == {
        "actions": {"added": ["d"], "removed": ["c"], "changed": ["a"]},
        "baseline_action": {"from": "a", "to": "b"},
    }


async def test_who_does_not_say_who_is_known_by_the_address(client: httpx2.AsyncClient) -> None:
    await create(client)
    await client.post("/v1/bandits/hero:archive")
    archived, created = await changes(client)
    assert (archived["what"], archived["who"], archived["why"]) == (
        "archived", "caller at 127.0.0.1", "no reason given",
    )  # fmt: skip
    assert created["who"] == "caller at 127.0.0.1"


async def test_what_changes_nothing_or_is_refused_writes_nothing(client: httpx2.AsyncClient) -> None:
    await create(client)
    await patch(client, mode="online", **SIGNED)
    for call in (":resume", ":archive", ":archive"):
        assert (await client.post(f"/v1/bandits/hero{call}", json=SIGNED)).status_code == 200
    await client.post("/v1/bandits/hero:revive", json={"action_id": "a"})
    refused(
        await client.patch("/v1/bandits/hero", json={"default_reward": 2, **SIGNED}),
        422, "invalid_input", "default_reward",
    )  # fmt: skip
    refused(await client.post("/v1/bandits", json={"bandit_key": "hero", "actions": ACTIONS}),
            409, "conflict", "bandit_key")  # fmt: skip
    assert [one["what"] for one in await changes(client)] == ["archived", "created"]


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"who": ""}, "who"),
        ({"who": "x" * 257}, "who"),
        ({"why": "x" * 1_001}, "why"),
        ({"whom": "a"}, "whom"),
    ],
)
async def test_who_and_why_are_bounded(client: httpx2.AsyncClient, body: dict[str, str], target: str) -> None:
    await create(client)
    for call in (":pause", ":resume", ":archive"):
        refused(await client.post(f"/v1/bandits/hero{call}", json=body), 422, "invalid_input", target)
    refused(await client.patch("/v1/bandits/hero", json=body), 422, "invalid_input", target)
    assert len(await changes(client)) == 1


async def test_models_that_are_promoted_and_rolled_back_are_recorded(
    client: httpx2.AsyncClient, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await play(client, 20)
    await learn()
    await patch(client, policy=DULL, **SIGNED)
    await learn()
    candidate = (await client.get("/v1/bandits/hero")).json()["candidate"]
    newest = (await client.get("/v1/bandits/hero/models")).json()["models"][0]["model_version"]
    for _ in range(2):
        await client.post(f"/v1/bandits/hero/models/{newest}:promote", json=SIGNED)
    for _ in range(2):
        await switch(client, 1, "rollback")
    back, promoted, begun, _ = await changes(client)
    assert begun["details"] == {"candidate": {"from": None, "to": candidate}}
    assert (promoted["what"], promoted["who"], promoted["config_version"]) == ("promoted", "ada", 3)
    details = promoted["details"]
    assert (details["model_version"], details["branch"]) == (newest, 2)
    assert details["policy"]["to"]["learning_rate"] == DULL["learning_rate"]
    assert details["candidate"] == {"from": candidate, "to": None}
    assert (back["what"], back["config_version"]) == ("rolled back", 4)
    assert back["details"] == {
        "model_version": 1, "branch": 1,
        "policy": {"from": details["policy"]["to"], "to": details["policy"]["from"]},
    }  # fmt: skip


@pytest.mark.parametrize("who", ["segbandit", " SegBandit"])
async def test_nobody_signs_as_the_learner(client: httpx2.AsyncClient, who: str) -> None:
    await create(client)
    target = {"action_id": "b"}
    for call, body in ((":pause", {}), (":archive", {}), (":kill", target), (":revive", target)):
        message = refused(
            await client.post(f"/v1/bandits/hero{call}", json={"who": who, **body}),
            422, "invalid_input", "who",
        )  # fmt: skip
        assert "that is how the learner signs" in message
    refused(await client.patch("/v1/bandits/hero", json={"who": who}), 422, "invalid_input", "who")
    other = {"bandit_key": "other", "actions": ACTIONS, "who": who}
    refused(await client.post("/v1/bandits", json=other), 422, "invalid_input", "who")
    assert len(await changes(client)) == 1


async def test_a_candidate_that_begins_changes_or_ends_leaves_a_line_each_time(
    client: httpx2.AsyncClient, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await play(client, 5)
    await learn()
    explores = {**DULL, "exploration": {"algorithm": "epsilon_greedy", "epsilon": 0.5}}
    for policy in (DULL, explores, {"learning_rate": 0.3}, {}):
        await patch(client, policy=policy)
    four = (await changes(client))[:4]
    assert all("candidate" in one["details"] for one in four)
    assert four[0]["details"]["candidate"]["to"] is None


async def test_changes_come_in_pages_newest_first(client: httpx2.AsyncClient) -> None:
    await create(client)
    await create(client, bandit_key="other")
    for seconds in (1, 2, 3):
        await patch(client, reward_wait=seconds)
    whole = await changes(client)
    assert [one["config_version"] for one in whole] == [4, 3, 2, 1]
    page = (await client.get("/v1/bandits/hero/changes", params={"limit": 3})).json()
    assert page["changes"] == whole[:3]
    rest = (await client.get("/v1/bandits/hero/changes", params={"before": page["next_before"]})).json()
    assert (rest["changes"], rest["next_before"]) == (whole[3:], None)
    refused(await client.get("/v1/bandits/nobody/changes"), 404, "not_found", "bandit_key")
    for bad in ({"limit": 0}, {"before": 0}, {"before": 2**63}):
        assert (await client.get("/v1/bandits/hero/changes", params=bad)).status_code == 422


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET who = 'nobody'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
async def test_the_database_refuses_to_change_what_was_recorded(
    client: httpx2.AsyncClient, connection: Connection, statement: str
) -> None:
    await create(client)
    before = await changes(client)
    with pytest.raises(asyncpg.RaiseError, match="audit_log is only ever added to"):
        await connection.execute(statement)
    assert await changes(client) == before


async def test_a_change_made_for_a_version_that_is_no_more_is_refused(client: httpx2.AsyncClient) -> None:
    made = await create(client)
    assert made["newest_version"] == 1
    bodies = [{"reward_wait": float(i), "if_version": 1, "who": f"owner {i}"} for i in range(1, 9)]
    answers = await asyncio.gather(*(client.patch("/v1/bandits/hero", json=body) for body in bodies))
    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1, "nobody's change is overwritten unseen"
    for answer in answers:
        if answer is not won[0]:
            assert "somebody changed it meanwhile" in refused(answer, 409, "conflict", "if_version")
    now = (await client.get("/v1/bandits/hero")).json()
    assert (now["newest_version"], now["reward_wait"]) == (2, won[0].json()["reward_wait"])
    assert (await changes(client))[0]["who"] == f"owner {now['reward_wait']:.0f}"


async def test_a_candidate_that_was_begun_meanwhile_is_not_overwritten_either(
    client: httpx2.AsyncClient, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await play(client, 5)
    await learn()
    before = (await client.get("/v1/bandits/hero")).json()["newest_version"]
    after = await patch(client, policy=DULL, if_version=before)
    assert after["config_version"] == 1, "in force is what was"
    assert after["newest_version"] == 2
    answer = await client.patch("/v1/bandits/hero", json={"policy": {}, "if_version": before})
    refused(answer, 409, "conflict", "if_version")
    assert (await patch(client, policy={}, if_version=2))["candidate"] is None
