"""Pause, kill and revive: harmless to repeat, effective at once, and what was decided stays provable."""

from __future__ import annotations

from typing import Any

import httpx2

from bandit import audit
from bandit.db.pool import Database
from tests.conftest import Step
from tests.integration.helpers import ACTIONS, create, decide, logged, refused, reward
from tests.integration.test_changes import SIGNED, changes
from tests.integration.test_commands import in_thread
from tests.integration.test_learner import TERMINAL, play


async def switched(client: httpx2.AsyncClient, how: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"/v1/bandits/hero:{how}", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def chosen(client: httpx2.AsyncClient, count: int = 30, **asked: Any) -> set[str]:
    return {(await decide(client, **asked))["action"]["action_id"] for _ in range(count)}


async def test_a_paused_bandit_serves_its_baseline_and_learns_on(
    client: httpx2.AsyncClient, database: Database, learn: Step
) -> None:
    await create(client, baseline_action="b", **TERMINAL)
    await play(client, 20)
    await learn()
    waiting = await decide(client, decision_id="before")
    for _ in range(2):
        assert (await switched(client, "pause", **SIGNED))["paused"] is True
    paused = [await decide(client) for _ in range(10)]
    assert {(one["mode"], one["action"]["action_id"], one["probability"]) for one in paused} == {
        ("paused", "b", 1.0)
    }
    assert not any(one["explored"] for one in paused)
    for made in [waiting, *paused]:
        await reward(client, made["decision_id"])
    assert await learn() == 11, "what was decided before, and meanwhile, is learned"
    assert (await client.get("/v1/bandits/hero/models")).json()["served"] == 2
    assert (await switched(client, "resume", **SIGNED))["paused"] is False
    assert (await decide(client))["mode"] == "online"
    assert (await audit.audit_everything(database, "hero")).difference is None
    assert [one["what"] for one in await changes(client)] == ["resumed", "paused", "created"]


async def test_a_pause_outdoes_each_mode_and_leaves_it_as_it_is(client: httpx2.AsyncClient) -> None:
    await create(client, mode="logging_only")
    await switched(client, "pause")
    assert (await decide(client))["mode"] == "paused"
    recorded = await decide(client, logged_choice={"action_id": "c", "probability": 0.5})
    assert (recorded["mode"], recorded["probability"]) == ("logging_only", 0.5), (
        "the caller has chosen already"
    )
    assert (await switched(client, "resume"))["mode"] == "logging_only"


async def test_a_killed_action_is_served_no_more_whoever_brings_it(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await create(client, policy={"exploration": {"algorithm": "epsilon_greedy", "epsilon": 1.0}})
    assert await chosen(client) == {"a", "b", "c"}
    for _ in range(2):
        found = await switched(client, "kill", action_id="b", **SIGNED)
        assert (found["known"], found["killed_actions"], found["config_version"]) == (True, ["b"], 2)
        assert found["baseline_served"] == "a"
    assert await chosen(client) == {"a", "c"}
    made = await decide(client, actions=[{"action_id": "b"}, {"action_id": "mine"}])
    assert made["action_probs"] == [{"action_id": "mine", "probability": 1.0}]
    assert (await client.post("/v1/decisions", json={"bandit_key": "hero", "actions": [{"action_id": "b"}]})
            ).status_code == 422  # fmt: skip
    assert (await switched(client, "revive", action_id="b"))["killed_actions"] == []
    assert await chosen(client) == {"a", "b", "c"}
    assert (await audit.audit_everything(database, "hero")).difference is None
    assert [one["details"] for one in await changes(client)][:2] == [
        {"killed_actions": {"removed": ["b"]}}, {"killed_actions": {"added": ["b"]}},
    ]  # fmt: skip


async def test_a_killed_segment_takes_its_actions_with_it(client: httpx2.AsyncClient) -> None:
    await create(client, policy={"exploration": {"algorithm": "epsilon_greedy", "epsilon": 1.0}})
    found = await switched(client, "kill", segment="one")
    assert (found["known"], found["killed_segments"]) == (True, ["one"])
    assert await chosen(client) == {"b", "c"}
    offered = [{"action_id": "mine", "segment": "one"}, {"action_id": "yours"}]
    assert await chosen(client, 5, actions=offered) == {"yours"}
    await switched(client, "revive", segment="one")
    assert await chosen(client) == {"a", "b", "c"}


async def test_a_killed_baseline_gives_its_place_to_the_first_one_left(client: httpx2.AsyncClient) -> None:
    await create(client, mode="apprentice", baseline_action="b")
    found = await switched(client, "kill", action_id="b")
    assert (found["baseline_action"], found["baseline_served"]) == ("b", "a")
    assert await chosen(client, 5) == {"a"}
    assert (await switched(client, "revive", action_id="b"))["baseline_served"] == "b"
    assert await chosen(client, 5) == {"b"}


async def test_a_killed_segment_stays_killed_where_a_request_leaves_its_label_out(
    client: httpx2.AsyncClient,
) -> None:
    await create(client)
    await switched(client, "kill", segment="one")
    brought = [{"action_id": "a"}, {"action_id": "yours"}]
    assert await chosen(client, 5, actions=brought) == {"yours"}
    assert await chosen(client, 5, actions=[brought[0] | {"segment": "two"}, brought[1]]) == {"yours"}


ADULTS = {"name": "adults", "actions": ["b"], "eligible_if": "context.age >= 18"}


async def test_a_killed_baseline_is_replaced_by_what_may_be_served_to_anybody(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await create(client, baseline_action="a", constraints=[ADULTS])
    found = await switched(client, "kill", action_id="a")
    assert (found["baseline_served"], found["warning"]) == ("c", None)
    assert await chosen(client, 5, context={"age": 17}) == {"c"}
    await client.patch("/v1/bandits/hero", json={"mode": "apprentice"})
    await switched(client, "pause")
    assert await chosen(client, 3, context={"age": 30}) == {"c"}
    await switched(client, "resume")
    assert await chosen(client, 3, context={"age": 30}) == await chosen(client, 3) == {"c"}
    assert (await audit.audit_everything(database, "hero")).difference is None


async def test_a_kill_that_leaves_some_with_nothing_is_in_force_and_warns(
    client: httpx2.AsyncClient, database_url: str
) -> None:
    await create(client, actions=ACTIONS[:2], baseline_action="a", constraints=[ADULTS])
    found = await switched(client, "kill", action_id="a")
    assert (found["killed_actions"], found["baseline_served"]) == (["a"], "b")
    assert "(adults). Whoever none of them lets see anything gets an error (422)" in found["warning"]
    assert "Revive a" in found["warning"]
    assert await chosen(client, 3, context={"age": 18}) == {"b"}
    minor = {"bandit_key": "hero", "context": {"age": 17}}
    message = refused(await client.post("/v1/decisions", json=minor), 422, "invalid_input", "actions")
    assert "Where it is killed, revive it" in message
    paused = await in_thread(database_url, "bandits", "pause", "hero")
    assert found["warning"] in paused.stderr
    assert (await switched(client, "revive", action_id="a"))["warning"] is None
    killed = await in_thread(database_url, "bandits", "kill", "hero", "a")
    assert found["warning"] in killed.stderr


async def test_what_the_catalogue_does_not_have_is_killed_and_said_to_be_unknown(
    client: httpx2.AsyncClient,
) -> None:
    await create(client)
    assert (await switched(client, "kill", action_id="mine"))["known"] is False
    assert (await switched(client, "kill", segment="a"))["known"] is False, "that is an action's id"
    offered = [{"action_id": "mine"}, {"action_id": "yours"}]
    assert await chosen(client, 5, actions=offered) == {"yours"}


async def test_the_last_action_cannot_be_killed(client: httpx2.AsyncClient) -> None:
    await create(client, actions=[*ACTIONS[:2], {"action_id": "off", "enabled": False}])
    await switched(client, "kill", action_id="a")
    for target in ({"action_id": "b"}, {"segment": "two"}):
        answer = await client.post("/v1/bandits/hero:kill", json=target)
        field = "killed_actions" if "action_id" in target else "killed_segments"
        message = refused(answer, 409, "conflict", field)
        assert "segbandit bandits pause hero" in message
        assert "segbandit bandits archive hero" in message
    answer = await client.patch("/v1/bandits/hero", json={"killed_actions": ["a", "b"]})
    refused(answer, 422, "invalid_input", "killed_actions")
    answer = await client.patch("/v1/bandits/hero", json={"actions": [ACTIONS[0]]})
    refused(answer, 422, "invalid_input", "killed_actions")
    assert await chosen(client, 5) == {"b"}
    assert len(await changes(client)) == 2


async def test_no_more_are_killed_than_a_configuration_holds(client: httpx2.AsyncClient) -> None:
    await create(client, killed_actions=[f"old-{i}" for i in range(1_000)])
    refused(
        await client.post("/v1/bandits/hero:kill", json={"action_id": "b"}), 409, "conflict", "killed_actions"
    )
    await switched(client, "kill", action_id="old-7")
    assert await chosen(client, 5), "the bandit can still be loaded"


async def test_what_is_no_target_is_refused(client: httpx2.AsyncClient) -> None:
    await create(client)
    for how in ("kill", "revive"):
        for body in ({}, {"action_id": "a", "segment": "one"}):
            message = refused(
                await client.post(f"/v1/bandits/hero:{how}", json=body), 422, "invalid_input", "body"
            )
            assert "either action_id or segment" in message
        answer = await client.post(f"/v1/bandits/hero:{how}", json={"action_id": ""})
        refused(answer, 422, "invalid_input", "action_id")
        answer = await client.post(f"/v1/bandits/nobody:{how}", json={"action_id": "a"})
        refused(answer, 404, "not_found", "bandit_key")
    for how in ("pause", "resume"):
        refused(await client.post(f"/v1/bandits/nobody:{how}"), 404, "not_found", "bandit_key")


async def test_a_decision_made_before_a_kill_is_what_a_repetition_gets(client: httpx2.AsyncClient) -> None:
    await create(client)
    made = await decide(client, decision_id="d")
    action_id = made["action"]["action_id"]
    await switched(client, "kill", action_id=action_id)
    assert await decide(client, decision_id="d") == made
    assert (await logged(client, "d"))["config_version"] == 1
