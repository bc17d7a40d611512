from __future__ import annotations

import asyncio

import httpx2
import psutil
import pytest

from bandit.db.pool import Connection
from tests.processes import serving

DECISIONS = 200_000
SETTLED_IN = 20_000
MODELS = 50
BATCH = 100
MEBIBYTE = 2**20


@pytest.mark.slow
async def test_two_hundred_thousand_decisions_and_fifty_swaps_do_not_leak(
    database_url: str, connection: Connection
) -> None:
    actions = [{"action_id": f"a{i}", "features": {"price": i / 10, "kind": f"k{i}"}} for i in range(10)]
    contexts = [{f"x{j}": (i * 7 + j) % 10 / 10 for j in range(10)} for i in range(BATCH)]
    with serving(database_url) as service:
        async with httpx2.AsyncClient(base_url=service.url, timeout=60) as http:
            body = {"bandit_key": "hero", "actions": actions, "terminal_kinds": ["reward"]}
            assert (await http.post("/v1/bandits", json=body)).status_code == 201
            api = psutil.Process(service.process.pid)
            made, before, versions = 0, 0, set()
            while made < DECISIONS:
                single = [
                    http.post("/v1/decisions", json={"bandit_key": "hero", "context": context})
                    for context in contexts[:20]
                ]
                decisions = [{"context": context} for context in contexts]
                batch = http.post("/v1/decisions:batch", json={"bandit_key": "hero", "decisions": decisions})
                *ones, many = await asyncio.gather(*single, batch)
                assert {answer.status_code for answer in (*ones, many)} == {201}
                made += BATCH + len(ones)
                answers = [one.json() for one in ones]
                versions |= {answer["model_version"] for answer in answers}
                rewards = [{"decision_id": a["decision_id"], "value": a["probability"]} for a in answers[:2]]
                assert (await http.post("/v1/rewards", json={"rewards": rewards})).status_code == 202
                if made >= SETTLED_IN and not before:
                    before = api.memory_info().rss
            grown = api.memory_info().rss - before
    print(f"{made} decisions, {len(versions)} models: {before >> 20} MiB, grown by {grown / MEBIBYTE:.1f}")
    assert len(versions) >= MODELS
    assert await connection.fetchval("SELECT count(*) FROM decisions") == made
    assert grown < 30 * MEBIBYTE
