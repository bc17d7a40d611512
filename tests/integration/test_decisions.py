from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx2
import pytest

from bandit import audit, sampling
from bandit.db.pool import Connection, Database
from tests.conftest import Step, api_process
from tests.integration.helpers import create, decide, logged, refused, reward
from tests.proxy import Network


async def count(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM decisions"))


async def test_the_answer_is_what_was_logged(client: httpx2.AsyncClient, connection: Connection) -> None:
    await create(client)
    context = {"age": 30, "device": {"os": "ios", "tags": ["a", "b"], "new": True}, "price": 0.1}
    made = await decide(client, subject="s-1", context=context)
    assert uuid.UUID(made["decision_id"]).version == 7
    assert made["probability"] == pytest.approx(1 / 3)
    assert [p["action_id"] for p in made["action_probs"]] == ["a", "b", "c"]
    assert sum(p["probability"] for p in made["action_probs"]) == pytest.approx(1.0, abs=1e-9)
    assert (made["model_version"], made["mode"]) == (0, "online")
    record = await logged(client, made["decision_id"])
    assert {key: record[key] for key in made} == made
    assert record["context"] == context
    assert (record["subject"], record["rewards"], record["settled"]) == ("s-1", [], None)
    assert [action["action_id"] for action in record["offered_actions"]] == ["a", "b", "c"]
    salt = await connection.fetchval("SELECT salt FROM bandits")
    assert record["draw"] == sampling.uniform(salt, made["decision_id"])


async def test_ids_are_ordered_in_time(client: httpx2.AsyncClient) -> None:
    await create(client)
    first = await decide(client)
    await asyncio.sleep(0.003)
    assert first["decision_id"] < (await decide(client))["decision_id"]


async def test_the_same_id_gives_the_same_answer_and_a_different_body_409(
    client: httpx2.AsyncClient, connection: Connection
) -> None:
    await create(client)
    for decision_id in (
        "order/17?x=1&ü|\n",
        "x" * 256,
        str(uuid.uuid4()),
        "019b76da-a800-7000-8000-000000000000",
    ):
        asked: dict[str, Any] = {"decision_id": decision_id, "context": {"x": 1, "y": "z"}, "subject": "s"}
        first = await decide(client, **asked)
        await client.patch("/v1/bandits/hero", json={"reward_wait": len(decision_id)})
        assert await decide(client, **asked) == first
        for change in (
            {"context": {"x": 2}},
            {"subject": None},
            {"deferred": True},
            {"excluded_actions": ["a"]},
        ):
            answer = await client.post("/v1/decisions", json={"bandit_key": "hero"} | asked | change)
            refused(answer, 409, "conflict", "decision_id")
    assert await count(connection) == 4


async def test_a_repetition_gets_its_answer_even_when_it_could_not_be_decided_now(
    client: httpx2.AsyncClient,
) -> None:
    await create(client, mode="logging_only")
    excluding: dict[str, Any] = {"decision_id": "d-1", "excluded_actions": ["c"]}
    choosing: dict[str, Any] = {"decision_id": "d-2", "logged_choice": {"action_id": "b"}}
    first = [await decide(client, **excluding), await decide(client, **choosing)]
    actions = [{"action_id": "a"}, {"action_id": "b"}]
    await client.patch("/v1/bandits/hero", json={"mode": "online", "actions": actions})
    assert [await decide(client, **excluding), await decide(client, **choosing)] == first
    new = {"bandit_key": "hero", "decision_id": "d-3", "excluded_actions": ["c"]}
    refused(await client.post("/v1/decisions", json=new), 422, "invalid_input", "excluded_actions[0]")
    await client.post("/v1/bandits/hero:archive")
    assert await decide(client, **excluding) == first[0]
    other = {"bandit_key": "hero", "decision_id": "d-1"}
    refused(await client.post("/v1/decisions", json=other), 409, "conflict", "bandit_key")


async def test_many_ask_at_once_for_a_bandit_that_is_not_there(client: httpx2.AsyncClient) -> None:
    asks = [client.post("/v1/decisions", json={"bandit_key": "nobody"}) for _ in range(8)]
    assert {answer.status_code for answer in await asyncio.gather(*asks)} == {404}


async def test_a_bandit_that_cannot_be_read_does_not_keep_the_others_stale(
    client: httpx2.AsyncClient, connection: Connection
) -> None:
    for bandit_key in ("hero", "strange"):
        await create(client, bandit_key=bandit_key)
        await decide(client, bandit_key=bandit_key)
    await connection.execute(  # as a newer process would, during an upgrade
        """INSERT INTO bandit_configs (bandit_key, config_version, config, seal, terminal_kinds)
           VALUES ('strange', 2, '{"from": "the future"}', 0, '{}')"""
    )
    await connection.execute("UPDATE bandits SET config_version = 2 WHERE bandit_key = 'strange'")
    await client.patch("/v1/bandits/hero", json={"mode": "apprentice"})
    await asyncio.sleep(0.5)  # rounds of refreshing
    await connection.execute(
        """INSERT INTO bandit_configs
           SELECT bandit_key, 3, 0, replace(config::text, 'apprentice', 'logging_only')::json, terminal_kinds
           FROM bandit_configs WHERE bandit_key = 'hero' AND config_version = 2"""
    )
    await connection.execute("UPDATE bandits SET config_version = 3 WHERE bandit_key = 'hero'")
    async with asyncio.timeout(5):
        while (await decide(client))["mode"] != "logging_only":
            await asyncio.sleep(0.05)
    assert (await decide(client, bandit_key="strange"))["mode"] == "online", "what is loaded is served on"


async def test_a_full_disk_serves_the_baseline(
    client: httpx2.AsyncClient, learn: Step, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(client, terminal_kinds=["reward"])
    made = await decide(client)
    await reward(client, made["decision_id"])
    await learn()
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    async with api_process(database_url) as fresh:
        assert (await decide(fresh))["mode"] == "fallback"


async def test_an_id_of_the_services_own_cannot_be_used_again(client: httpx2.AsyncClient) -> None:
    await create(client)
    own = await decide(client, context={"x": 1})
    assert await decide(client, context={"x": 1}, decision_id=own["decision_id"]) == own
    answer = await client.post(
        "/v1/decisions", json={"bandit_key": "hero", "decision_id": own["decision_id"]}
    )
    refused(answer, 409, "conflict", "decision_id")


async def test_the_same_id_at_the_same_moment_in_two_processes_is_one_decision(
    database_url: str, connection: Connection
) -> None:
    async with api_process(database_url) as one, api_process(database_url) as other:
        await create(one)
        for round_ in range(20):
            asked = {"decision_id": f"d-{round_}", "context": {"x": round_ / 20}}
            answers = await asyncio.gather(*(decide(c, **asked) for c in (one, other, one, other)))
            assert all(answer == answers[0] for answer in answers)
    assert await count(connection) == 20


async def test_actions_of_the_request_replace_the_catalogue(client: httpx2.AsyncClient) -> None:
    await create(client)
    actions = [{"action_id": f"r{i}", "payload": i, "features": {"k": i}} for i in range(3)]
    made = await decide(client, actions=actions, excluded_actions=["r1"])
    assert [p["action_id"] for p in made["action_probs"]] == ["r0", "r2"]
    record = await logged(client, made["decision_id"])
    assert [action["features"] for action in record["offered_actions"]] == [{"k": 0}, {"k": 2}]
    assert record["excluded_actions"] == ["r1"]


async def test_disabled_and_excluded_actions_are_never_offered(client: httpx2.AsyncClient) -> None:
    await create(
        client, actions=[{"action_id": "a"}, {"action_id": "b", "enabled": False}, {"action_id": "c"}]
    )
    made = await decide(client, excluded_actions=["a"])
    assert made["action_probs"] == [{"action_id": "c", "probability": 1.0}]
    answer = await client.post("/v1/decisions", json={"bandit_key": "hero", "excluded_actions": ["a", "c"]})
    refused(answer, 422, "invalid_input", "excluded_actions")
    answer = await client.post("/v1/decisions", json={"bandit_key": "hero", "excluded_actions": ["nobody"]})
    refused(answer, 422, "invalid_input", "excluded_actions[0]")


async def test_a_batch_is_all_or_nothing(client: httpx2.AsyncClient, connection: Connection) -> None:
    await create(client)
    asked = [{"context": {"x": i / 1000}, "decision_id": f"d-{i}"} for i in range(1_000)]
    answer = await client.post("/v1/decisions:batch", json={"bandit_key": "hero", "decisions": asked})
    assert answer.status_code == 201
    made = answer.json()["decisions"]
    assert [decision["decision_id"] for decision in made] == [f"d-{i}" for i in range(1_000)]
    again = await client.post("/v1/decisions:batch", json={"bandit_key": "hero", "decisions": asked})
    assert again.json()["decisions"] == made
    assert await count(connection) == 1_000
    for bad, status, code, target in [
        ({"decision_id": "d-0", "context": {"x": 99}}, 409, "conflict", "decisions[1].decision_id"),
        ({"context": {"x": 1e9}}, 422, "invalid_input", "decisions[1].context.x"),
        ({"context": {}, "nonsense": 1}, 422, "invalid_input", "decisions[1].nonsense"),
    ]:
        body = {"bandit_key": "hero", "decisions": [{"decision_id": "new"}, bad]}
        refused(await client.post("/v1/decisions:batch", json=body), status, code, target)
    body = {"bandit_key": "hero", "decisions": [{}] * 1_001}
    refused(await client.post("/v1/decisions:batch", json=body), 422, "invalid_input", "decisions")
    assert await count(connection) == 1_000
    assert await connection.fetchval("SELECT count(*) FROM decision_claims WHERE decision_id = 'new'") == 0


async def test_a_large_batch_lets_others_have_their_turn(client: httpx2.AsyncClient) -> None:
    await create(client)
    features = {f"f{i}": i / 20 for i in range(20)}
    actions = [{"action_id": f"a{i}", "features": features} for i in range(100)]
    await client.patch("/v1/bandits/hero", json={"actions": actions, "baseline_action": None})
    body = {"bandit_key": "hero", "decisions": [{"context": features}] * 100}
    batch = asyncio.create_task(client.post("/v1/decisions:batch", json=body))
    turns = 0
    while not batch.done():
        await asyncio.sleep(0)
        turns += 1
    assert len((await batch).json()["decisions"]) == 100
    assert turns > 50, "it gave way many times"


async def test_one_and_one_point_nought_are_the_same_request(client: httpx2.AsyncClient) -> None:
    await create(client)
    first = await decide(client, decision_id="d", context={"x": 1, "nested": {"y": 2.0}})
    assert await decide(client, decision_id="d", context={"x": 1.0, "nested": {"y": 2}}) == first
    body = {"bandit_key": "hero", "decision_id": "d", "context": {"x": True, "nested": {"y": 2}}}
    refused(await client.post("/v1/decisions", json=body), 409, "conflict", "decision_id")


async def test_an_id_twice_in_one_batch_is_one_decision(
    client: httpx2.AsyncClient, connection: Connection
) -> None:
    await create(client)
    body = {"bandit_key": "hero", "decisions": [{"decision_id": "d", "context": {"x": 1}}] * 2}
    one, other = (await client.post("/v1/decisions:batch", json=body)).json()["decisions"]
    assert one == other
    body["decisions"] = [{"decision_id": "e", "context": {"x": 1}}, {"decision_id": "e", "context": {"x": 2}}]
    refused(await client.post("/v1/decisions:batch", json=body), 409, "conflict", "decisions[1].decision_id")
    assert await count(connection) == 1


async def test_deferred_decisions_are_learned_only_once_activated(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, terminal_kinds=["reward"], reward_wait=0)
    shown, hidden = await decide(client, deferred=True), await decide(client, deferred=True)
    for made in (shown, hidden):
        await reward(client, made["decision_id"])
    assert await learn() == 0
    for _ in range(2):
        answer = await client.post(f"/v1/decisions/{shown['decision_id']}/activate")
        assert answer.json() == {"decision_id": shown["decision_id"], "activated": True}
    plain = await decide(client, decision_id="plain")
    answer = await client.post(f"/v1/decisions/{plain['decision_id']}/activate")
    assert answer.json() == {"decision_id": "plain", "activated": False}
    await connection.execute("DELETE FROM unsettled WHERE decision_id = 'plain'")
    assert await learn() == 1
    assert (await logged(client, shown["decision_id"]))["settled"]["reward"] == 1.0
    assert (await logged(client, hidden["decision_id"]))["settled"] is None
    refused(await client.post("/v1/decisions/nobody/activate"), 404, "not_found", "decision_id")


async def test_logging_only_records_the_callers_choice(client: httpx2.AsyncClient, learn: Step) -> None:
    await create(client, mode="logging_only", reward_wait=0)
    made = await decide(client, logged_choice={"action_id": "b", "probability": 0.25})
    assert (made["action"]["action_id"], made["probability"], made["mode"]) == ("b", 0.25, "logging_only")
    assert made["action_probs"] == [{"action_id": "b", "probability": 0.25}]
    assert (await decide(client))["action"]["action_id"] == "a", "without a choice the baseline is served"
    assert await learn() == 2
    body = {"bandit_key": "hero", "logged_choice": {"action_id": "nobody"}}
    refused(await client.post("/v1/decisions", json=body), 422, "invalid_input", "logged_choice.action_id")
    await client.patch("/v1/bandits/hero", json={"mode": "online"})
    body = {"bandit_key": "hero", "logged_choice": {"action_id": "b"}}
    refused(await client.post("/v1/decisions", json=body), 422, "invalid_input", "logged_choice")


async def test_a_broken_model_serves_the_baseline_and_a_mended_one_is_taken_up(
    client: httpx2.AsyncClient, database_url: str, connection: Connection, learn: Step
) -> None:
    await create(client, baseline_action="b", terminal_kinds=["reward"])
    made = await decide(client)
    await reward(client, made["decision_id"])
    await learn()
    good = await connection.fetchval("SELECT weights FROM model_versions")
    await connection.execute("UPDATE model_versions SET weights = set_byte(weights, 40, 7)")
    async with api_process(database_url) as fresh:
        decision = await decide(fresh)
        assert (decision["mode"], decision["action"]["action_id"], decision["probability"]) == (
            "fallback",
            "b",
            1.0,
        )
        assert [p["probability"] for p in decision["action_probs"]] == [0.0, 1.0, 0.0]
    await connection.execute("UPDATE model_versions SET weights = $1", good)
    async with api_process(database_url) as fresh:
        assert (await decide(fresh))["mode"] == "online"


async def test_every_decision_can_be_made_again_from_the_log(
    client: httpx2.AsyncClient, database: Database, learn: Step
) -> None:
    await create(client, terminal_kinds=["reward"])
    ids = []
    for i in range(30):
        context = {"x": i / 30, "nested": {"b": i, "a": f"v{i % 3}"}, "list": ["q", "p"], "flag": i % 2 == 0}
        request: dict[str, Any] = {"context": context}
        if i % 3 == 1:
            request |= {"excluded_actions": ["c"]}
        if i % 3 == 2:
            request |= {"actions": [{"action_id": "p", "features": {"z": 0.1, "a": 2}}, {"action_id": "q"}]}
        made = await decide(client, **request)
        ids.append(made["decision_id"])
        await reward(client, made["decision_id"], value=float(made["action"]["action_id"] in "bp"))
        if i % 10 == 9:
            await learn()
        if i == 14:
            await client.patch("/v1/bandits/hero", json={"policy": {"learning_rate": 0.5}})
    for decision_id in ids:
        assert (await audit.audit_decision(database, decision_id)).difference is None
    assert (await audit.audit_everything(database, "hero")).decisions == 30


async def test_the_database_away_is_503_and_comes_back(database_url: str) -> None:
    network = Network(database_url)
    await network.mend()
    async with api_process(network.url) as client:
        await create(client)
        await decide(client)
        await network.cut()
        answer = await client.post("/v1/decisions", json={"bandit_key": "hero"})
        refused(answer, 503, "unavailable", None)
        assert answer.headers["retry-after"] == "1"
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
        await network.mend()
        assert (await decide(client))["mode"] == "online"
        assert (await client.get("/readyz")).status_code == 200
    await network.cut()


async def test_changes_are_heard_again_after_the_database_was_away(
    client: httpx2.AsyncClient, database_url: str
) -> None:
    await create(client)
    network = Network(database_url)
    await network.mend()
    async with api_process(network.url, poll_seconds=3_600) as distant:
        await decide(distant)
        await network.cut()
        await client.patch("/v1/bandits/hero", json={"mode": "apprentice"})
        await network.mend()
        async with asyncio.timeout(10):
            while (await decide(distant))["mode"] != "apprentice":
                await asyncio.sleep(0.05)
    await network.cut()
