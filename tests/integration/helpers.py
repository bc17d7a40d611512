from __future__ import annotations

from typing import Any

import httpx2

ACTIONS: list[dict[str, Any]] = [
    {"action_id": "a", "segment": "one", "features": {"price": 0.2}, "payload": {"image": "/a.png"}},
    {"action_id": "b", "segment": "two", "features": {"price": 0.9}},
    {"action_id": "c"},
]


async def create(client: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/bandits", json={"bandit_key": "hero", "actions": ACTIONS} | fields)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def decide(client: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/decisions", json={"bandit_key": "hero", "context": {"x": 0.5}} | fields)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def reward(client: httpx2.AsyncClient, decision_id: str, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/rewards", json={"decision_id": decision_id} | fields)
    assert answer.status_code == 202, answer.text
    (line,) = answer.json()["results"]
    return dict(line)


async def logged(client: httpx2.AsyncClient, decision_id: str) -> dict[str, Any]:
    answer = await client.get(f"/v1/decisions/{decision_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def refused(answer: httpx2.Response, status: int, code: str, target: str | None) -> str:
    """The message of an error in the one shape, after checking the shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "target", "details"}
    assert error["code"] == code, error
    assert error["target"] == target, error
    return str(error["message"])
