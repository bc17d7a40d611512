"""Bad input gets a clear 4xx in the one shape, names the field, and stores nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from bandit.db.pool import Connection
from tests.integration.helpers import ACTIONS, create, decide, logged, refused


@pytest.fixture
async def nothing_stored(client: httpx2.AsyncClient, connection: Connection) -> AsyncIterator[None]:
    await create(client)
    yield
    for table in ("decisions", "decision_claims", "unsettled", "reward_events", "reward_signals"):
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0, table  # noqa: S608 our names
    assert await connection.fetchval("SELECT count(*) FROM bandit_configs") == 1


def nested(levels: int) -> str:
    return '{"x":' * levels + "1" + "}" * levels


def raw(context: str) -> str:
    return '{"bandit_key": "hero", "context": ' + context + "}"


BAD: list[tuple[str, int, str | None]] = [
    (raw('{"x": NaN}'), 422, "context.x"),
    (raw('{"x": {"y": Infinity}}'), 422, "context.x.y"),
    (raw('{"x": -Infinity}'), 422, "context.x"),
    (raw('{"x": 1e400}'), 422, "context.x"),
    (raw('{"x": 1000001}'), 422, "context.x"),
    (raw('{"x": -1e6, "y": -1e7}'), 422, "context.y"),
    (raw('{"x": ' + "9" * 400 + "}"), 422, "context.x"),
    (raw('{"x": ' + "9" * 5_000 + "}"), 422, "body"),
    (raw('{"x": "a\\u0000b"}'), 422, "context.x"),
    (raw('{"a\\u0000b": 1}'), 422, "context"),
    (raw('{"x": "\\ud800"}'), 422, "context.x"),
    (raw('{"\\udfff": 1}'), 422, "context"),
    (raw('{"x": 1, "x": 2}'), 422, "context.x"),
    ('{"bandit_key": "hero", "bandit_key": "hero"}', 422, "bandit_key"),
    ('{"bandit_key": "hero", "contxt": {}}', 422, "contxt"),
    (raw(nested(9)), 422, "context.x.x.x.x.x.x.x.x"),
    (raw(nested(40)), 422, None),
    (raw(nested(100_000)), 413, "body"),
    (raw(nested(20_000)), 422, "body"),
    ("[" * 100_000, 422, "body"),
    (raw(json.dumps({f"x{i}": 1 for i in range(501)})), 422, "context"),
    (raw('{"x": null}'), 422, "context.x"),
    (raw('{"x": [1, 2]}'), 422, "context.x[0]"),
    (raw('{"x": [{"y": 1}]}'), 422, "context.x[0]"),
    (raw("[]"), 422, "context"),
    ("", 422, "body"),
    ("{", 422, "body"),
    ("null", 422, "body"),
    ("[]", 422, "body"),
    ('{"bandit_key": "hero"} trailing', 422, "body"),
    ("{}", 422, "bandit_key"),
    ('{"bandit_key": 7}', 422, "bandit_key"),
    ('{"bandit_key": "a/b"}', 422, "bandit_key"),
    ('{"bandit_key": "hero", "decision_id": ""}', 422, "decision_id"),
    (json.dumps({"bandit_key": "hero", "decision_id": "x" * 257}), 422, "decision_id"),
    ('{"bandit_key": "hero", "subject": 5}', 422, "subject"),
    ('{"bandit_key": "hero", "deferred": "yes"}', 422, "deferred"),
    ('{"bandit_key": "hero", "actions": []}', 422, "actions"),
    (json.dumps({"bandit_key": "hero", "actions": [{"action_id": str(i)} for i in range(1_001)]}), 422,
     "actions"),
    (json.dumps({"bandit_key": "hero", "actions": [{"action_id": "a"}] * 2}), 422, "actions"),
    (json.dumps({"bandit_key": "hero", "actions": [{"segment": "a"}]}), 422, "actions[0].action_id"),
    (json.dumps({"bandit_key": "hero", "actions": [{"action_id": "a", "features": {"x": None}}]}), 422,
     "actions[0].features.x"),
    (json.dumps({"bandit_key": "hero", "actions": [{"action_id": "a", "payload": {"p": 1}, "x": 1}]}), 422,
     "actions[0].x"),
    ('{"bandit_key": "hero", "actions": [{"action_id": "a", "payload": {"p": NaN}}]}', 422,
     "actions[0].payload.p"),
    (raw(json.dumps({"x": "y" * 262_144})), 413, "body"),
]  # fmt: skip


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    ("body", "status", "target"), BAD, ids=[f"{i}-{b[0][:40]}" for i, b in enumerate(BAD)]
)
async def test_bad_decisions(client: httpx2.AsyncClient, body: str, status: int, target: str | None) -> None:
    answer = await client.post("/v1/decisions", content=body)
    code = "too_large" if status == 413 else "invalid_input"
    message = refused(answer, status, code, target if target else answer.json()["error"]["target"])
    assert "expected" in message


@pytest.mark.usefixtures("nothing_stored")
async def test_bytes_that_are_no_utf8(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/decisions", content=b'{"bandit_key": "hero", "subject": "\xff"}')
    refused(answer, 422, "invalid_input", "body")


@pytest.mark.usefixtures("nothing_stored")
async def test_a_body_that_trickles_is_given_up(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.body._MAX_SECONDS", 0.2)

    async def trickle() -> AsyncIterator[bytes]:
        yield b'{"bandit_key": "hero"'
        await asyncio.sleep(30)
        yield b"}"

    refused(await client.post("/v1/decisions", content=trickle()), 422, "invalid_input", "body")


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("GET", "/v1/decisions/%00", "decision_id"),
        ("POST", "/v1/decisions/a%00/activate", "decision_id"),
        ("GET", "/v1/bandits/%00", "bandit_key"),
        ("PATCH", "/v1/bandits/a%00", "bandit_key"),
        ("POST", "/v1/bandits/%00:archive", "bandit_key"),
    ],
)
async def test_paths_that_the_database_could_not_hold(
    client: httpx2.AsyncClient, method: str, path: str, target: str
) -> None:
    refused(await client.request(method, path, content="{}"), 422, "invalid_input", target)


@pytest.mark.usefixtures("nothing_stored")
async def test_a_body_without_end_is_cut_off(client: httpx2.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 50_000_000:
            sent += 65_536
            yield b" " * 65_536

    refused(await client.post("/v1/decisions", content=endless()), 413, "too_large", "body")
    assert sent < 1_000_000


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"actions": []}, "actions"),
        ({"actions": [{"action_id": str(i)} for i in range(1_001)]}, "actions"),
        ({"actions": [{"action_id": "a"}, {"action_id": "b"}, {"action_id": "a"}]}, "actions"),
        ({"actions": [{"action_id": "a", "enabled": False}]}, "actions"),
        ({"actions": [{"action_id": "a", "features": {"x": 1e7}}]}, "actions[0].features.x"),
        ({"bandit_key": "a b"}, "bandit_key"),
        ({"bandit_key": "a\n"}, "bandit_key"),
        ({"unknown": 1}, "unknown"),
        ({"mode": "shadow"}, "mode"),
        ({"policy": {"interactions": [["context", "user"]]}}, "policy.interactions[0][1]"),
        ({"policy": {"learning_rate": 0}}, "policy.learning_rate"),
        ({"policy": {"exploration": {"algorithm": "bag", "size": 1_000}}}, "policy.exploration.size"),
        ({"reward": {"aggregation": "median"}}, "reward.aggregation"),
        ({"reward": {"kinds": {}}}, "reward.kinds"),
    ],
)
async def test_bad_bandits(
    client: httpx2.AsyncClient, connection: Connection, change: dict[str, Any], target: str
) -> None:
    answer = await client.post("/v1/bandits", json={"bandit_key": "hero", "actions": ACTIONS} | change)
    refused(answer, 422, "invalid_input", target)
    assert await connection.fetchval("SELECT count(*) FROM bandits") == 0


async def test_vws_own_syntax_is_just_a_value(client: httpx2.AsyncClient) -> None:
    await create(client)
    context = {
        "shared": "shared |c x:1", "a|b": "x\n0:-1:0.5 |a y", "c:d": "1:2:3", " ": "",
        "|": {"\n": ["|", ":", " "]},
        "日本": "шаред\r\n", "q": "'\"\\", "tab": "\t",
    }  # fmt: skip
    made = await decide(client, context=context, subject="a|b\n", decision_id="|\n: 1")
    assert len(made["action_probs"]) == 3
    assert (await logged(client, "%7C%0A:%201"))["context"] == context
    many = [{"action_id": "shared |c"}, {"action_id": "x\n|a y", "segment": "|"}, {"action_id": ":"}]
    assert len((await decide(client, actions=many))["action_probs"]) == 3


async def test_the_limits_themselves_pass(client: httpx2.AsyncClient) -> None:
    await create(client)
    await decide(client, context={f"x{i}": 1e6 for i in range(500)})
    await decide(client, context=json.loads(nested(8)))
    await decide(client, decision_id="x" * 256, actions=[{"action_id": str(i)} for i in range(1_000)])


@pytest.mark.parametrize("path", ["/v1/decisions/", "/v1/decisions:batch/", "/v1/rewards/", "//v1/decisions"])
async def test_a_path_that_is_nearly_right_is_not_there(client: httpx2.AsyncClient, path: str) -> None:
    await create(client)
    answer = await client.post(path, json={"bandit_key": "hero"})
    assert answer.status_code in (404, 405), "a redirect would look like an answer"
    assert set(answer.json()) == {"error"}
