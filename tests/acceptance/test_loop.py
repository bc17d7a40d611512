"""The loop as a whole, with real processes."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import httpx2

from bandit import audit
from bandit.db import decisions
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection, Database
from tests.processes import serving

MODELS = 50
ACTIONS = [{"action_id": f"a{i}", "segment": f"s{i % 3}", "features": {"price": i / 10}} for i in range(6)]


async def client_of(url: str, number: int, done: asyncio.Event) -> tuple[list[dict[str, Any]], list[str]]:
    """Decide and reward until told to stop; all answers, and everything that went wrong."""
    rng = random.Random(number)
    answers: list[dict[str, Any]] = []
    failures: list[str] = []
    async with httpx2.AsyncClient(base_url=url, timeout=10) as http:
        while not done.is_set():
            context: dict[str, Any] = {
                "x": rng.random(),
                "group": rng.choice("abc"),
                "client": {"number": number},
            }
            body: dict[str, Any] = {"bandit_key": "hero", "context": context}
            if rng.random() < 0.3:
                body["decision_id"] = f"client-{number}-{len(answers)}"
            if rng.random() < 0.2:
                body["excluded_actions"] = ["a5"]
            answer = await http.post("/v1/decisions", json=body)
            if answer.status_code != 201:
                failures.append(answer.text)
                continue
            made = answer.json()
            answers.append(made)
            paid = made["action"]["action_id"] == f"a{'abc'.index(context['group'])}"
            reward = {
                "decision_id": made["decision_id"],
                "value": float(paid),
                "event_id": made["decision_id"],
            }
            rewarded = await http.post("/v1/rewards", json=reward)
            if rewarded.status_code != 202 or rewarded.json()["results"][0]["status"] != "accepted":
                failures.append(rewarded.text)
    return answers, failures


async def test_eight_clients_while_fifty_models_are_published(
    database_url: str, database: Database, connection: Connection
) -> None:
    with serving(database_url, publish_seconds=0.1) as service:
        async with httpx2.AsyncClient(base_url=service.url) as http:
            body = {"bandit_key": "hero", "actions": ACTIONS, "terminal_kinds": ["reward"]}
            assert (await http.post("/v1/bandits", json=body)).status_code == 201
        done = asyncio.Event()
        clients = [asyncio.create_task(client_of(service.url, number, done)) for number in range(8)]
        async with asyncio.timeout(90):
            while (await connection.fetchval("SELECT max(model_version) FROM model_versions") or 0) < MODELS:
                await asyncio.sleep(0.1)
        done.set()
        results = await asyncio.gather(*clients)
    answers = [answer for made, _ in results for answer in made]
    assert [failure for _, failures in results for failure in failures] == []
    assert len({answer["model_version"] for answer in answers}) >= MODELS / 2, "the swaps were served"

    rows = await connection.fetch("SELECT decision_id, decided_at FROM decisions")
    assert Counter(row["decision_id"] for row in rows) == Counter(answer["decision_id"] for answer in answers)

    logged = await decisions.fetch(connection, ConfigCache(), [tuple(row) for row in rows])
    report = await audit.audit_everything(database, "hero")
    assert report.difference is None
    assert report.decisions == len(answers)
    for answer in answers:
        one = logged[answer["decision_id"]]
        assert answer["probability"] == one.probability
        assert [p["probability"] for p in answer["action_probs"]] == one.pmf
        assert answer["action"]["action_id"] == one.action.action_id
    late = [a for a in answers if a["model_version"] > MODELS / 2]
    assert sum(a["probability"] for a in late) / len(late) > 0.5, "it learned whom to show what"
