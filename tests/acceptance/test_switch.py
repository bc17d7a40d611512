"""Which model serves is changed in every process, with one call."""

from __future__ import annotations

import asyncio
import time

import httpx2

from tests.integration.helpers import create, decide, reward
from tests.processes import serving

CLIENTS = 8


async def test_a_promotion_and_a_rollback_reach_every_process(database_url: str) -> None:
    """Each client keeps its connection, so together they talk to both workers."""
    with serving(database_url, "--workers", "2", publish_seconds=0.05) as service:
        clients = [httpx2.AsyncClient(base_url=service.url, timeout=10) for _ in range(CLIENTS)]
        await create(clients[0], terminal_kinds=["reward"])
        for client in clients:
            made = await decide(client)
            await reward(client, made["decision_id"])
        async with asyncio.timeout(20):
            while min([(await decide(client))["model_version"] for client in clients]) < 1:
                await asyncio.sleep(0.05)
        newest = (await clients[0].get("/v1/bandits/hero/models")).json()["served"]
        took = []
        for version, how in [(1, "rollback"), (newest, "promote")] * 3:
            answer = await clients[0].post(f"/v1/bandits/hero/models/{version}:{how}")
            assert answer.status_code == 200
            wanted = answer.json()["served"]
            began = time.monotonic()
            async with asyncio.timeout(10):
                while {(await decide(client))["model_version"] for client in clients} != {wanted}:
                    await asyncio.sleep(0.01)
            took.append(time.monotonic() - began)
        for client in clients:
            await client.aclose()
    print(f"every process followed within {max(took):.3f} s")
    assert max(took) < 1.0, "that is what was promised, and takes some hundredths"
