from __future__ import annotations

import asyncio
from typing import Any

import httpx2

from tests.integration.helpers import ACTIONS, create, decide, refused


async def test_everything_but_key_and_actions_has_a_default(client: httpx2.AsyncClient) -> None:
    made = await create(client)
    assert made["config_version"] == 1
    assert made["baseline_action"] == "a"
    assert made["mode"] == "online"
    assert made["policy"]["exploration"]["algorithm"] == "squarecb"
    assert (await client.get("/v1/bandits/hero")).json() == made
    assert (await client.get("/v1/bandits")).json() == {"bandits": [made]}


async def test_a_taken_key_is_a_conflict(client: httpx2.AsyncClient) -> None:
    await create(client)
    answer = await client.post("/v1/bandits", json={"bandit_key": "hero", "actions": ACTIONS})
    refused(answer, 409, "conflict", "bandit_key")


async def test_patch_makes_a_new_version_and_is_effective_at_once(client: httpx2.AsyncClient) -> None:
    await create(client)
    answer = await client.patch("/v1/bandits/hero", json={"mode": "apprentice", "baseline_action": "b"})
    assert answer.status_code == 200
    assert answer.json()["config_version"] == 2
    assert answer.json()["actions"][0]["payload"] == {"image": "/a.png"}, "what is not given stays"
    decision = await decide(client)
    assert (decision["mode"], decision["action"]["action_id"], decision["probability"]) == (
        "apprentice",
        "b",
        1.0,
    )


async def test_a_patch_that_changes_nothing_makes_no_version(client: httpx2.AsyncClient) -> None:
    await create(client)
    assert (await client.patch("/v1/bandits/hero", json={"mode": "online"})).json()["config_version"] == 1


async def test_patches_at_the_same_time_all_take_effect(client: httpx2.AsyncClient) -> None:
    await create(client)
    fields: dict[str, Any] = {
        "reward_wait": 60.0, "mode": "apprentice", "terminal_kinds": ["buy"], "baseline_action": "b",
    }  # fmt: skip
    patches = (client.patch("/v1/bandits/hero", json={name: value}) for name, value in fields.items())
    answers = await asyncio.gather(*patches)
    assert sorted(answer.json()["config_version"] for answer in answers) == [2, 3, 4, 5]
    now = (await client.get("/v1/bandits/hero")).json()
    assert {name: now[name] for name in fields} == fields


async def test_a_refused_patch_changes_nothing(client: httpx2.AsyncClient) -> None:
    made = await create(client)
    for body, target in [
        ({"actions": []}, "actions"),
        ({"actions": ACTIONS[1:]}, "baseline_action"),  # "a" is the baseline in force
        ({"baseline_action": "nobody"}, "baseline_action"),
        ({"reward": {"clip": [1, 0]}}, "reward.clip"),
        ({"default_reward": 2}, "default_reward"),
        ({"policy": {"vw_arguments": ["--daemon"]}}, "policy.vw_arguments[0]"),
        ({"policy": {"exploration": {"algorithm": "magic"}}}, "policy.exploration.algorithm"),
        ({"bandit_key": "other"}, "bandit_key"),
        ({"reward_wait": -1}, "reward_wait"),
    ]:
        refused(await client.patch("/v1/bandits/hero", json=body), 422, "invalid_input", target)
    assert (await client.get("/v1/bandits/hero")).json() == made


async def test_unknown_bandits_are_404(client: httpx2.AsyncClient) -> None:
    refused(await client.get("/v1/bandits/nobody"), 404, "not_found", "bandit_key")
    refused(await client.patch("/v1/bandits/nobody", json={}), 404, "not_found", "bandit_key")
    refused(await client.post("/v1/bandits/nobody:archive"), 404, "not_found", "bandit_key")
    answer = await client.post("/v1/decisions", json={"bandit_key": "nobody"})
    assert "POST /v1/bandits" in refused(answer, 404, "not_found", "bandit_key")


async def test_an_archived_bandit_decides_no_more_and_keeps_its_log(client: httpx2.AsyncClient) -> None:
    await create(client)
    decision = await decide(client)
    assert (await client.post("/v1/bandits/hero:archive")).json()["archived"] is True
    answer = await client.post("/v1/decisions", json={"bandit_key": "hero"})
    refused(answer, 409, "conflict", "bandit_key")
    assert (await client.get(f"/v1/decisions/{decision['decision_id']}")).status_code == 200


async def test_unknown_paths_and_methods_have_the_same_error_shape(client: httpx2.AsyncClient) -> None:
    refused(await client.get("/v2/nothing"), 404, "not_found", "path")
    refused(await client.put("/v1/bandits", json={}), 405, "method_not_allowed", "method")
    said = refused(await client.post("/v1/bandits/hero:explode", json={}), 404, "not_found", "path")
    assert "one of the switches :archive, :kill, :pause, :resume, :revive, got" in said
    refused(await client.post("/v1/decisions/x:y", json={}), 405, "method_not_allowed", "method")
    refused(await client.put("/v1/bandits/hero:kill", json={}), 405, "method_not_allowed", "method")
