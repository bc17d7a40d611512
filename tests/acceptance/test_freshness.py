"""From a reward's commit to being served by every API process it takes less than a second."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import httpx2

from tests.integration.helpers import ACTIONS
from tests.processes import serving
from tests.workers import every_worker, read

#: In each turn so many decisions and their clicks, one by one and in one call each: 500 a second together.
SECONDS, TURN_SECONDS, SINGLE, BATCH = 5.0, 0.04, 8, 12
CLICK: dict[str, Any] = {"kind": "click", "source": "test"}
FRESHNESS = "segbandit_model_freshness_seconds"


async def post(http: httpx2.AsyncClient, path: str, body: Any) -> Any:
    return (await http.post(path, json=body)).raise_for_status().json()


async def click_once(http: httpx2.AsyncClient, x: float) -> str:
    made = await post(http, "/v1/decisions", {"bandit_key": "hero", "context": {"x": x}})
    await post(http, "/v1/rewards", {**CLICK, "decision_id": made["decision_id"]})
    return str(made["decision_id"])


async def click_many(http: httpx2.AsyncClient, x: float) -> None:
    decisions = [{"context": {"x": x, "place": place}} for place in range(BATCH)]
    made = await post(http, "/v1/decisions:batch", {"bandit_key": "hero", "decisions": decisions})
    await post(http, "/v1/rewards", [{**CLICK, "decision_id": d["decision_id"]} for d in made["decisions"]])


async def load(url: str) -> int:
    """Decisions and clicks for some seconds, over connections to both workers; how many."""
    clients = [httpx2.AsyncClient(base_url=url, timeout=20) for _ in range(SINGLE + 1)]
    began, turns = time.monotonic(), 0
    while time.monotonic() < began + SECONDS:
        x = turns % 10 / 10
        await asyncio.gather(click_many(clients[0], x), *(click_once(one, x) for one in clients[1:]))
        turns += 1
        await asyncio.sleep(began + turns * TURN_SECONDS - time.monotonic())
    for client in clients:
        await client.aclose()
    return turns * (BATCH + SINGLE)


async def learned_by(http: httpx2.AsyncClient, decision_id: str) -> int | None:
    """The first model version that learned the decision's reward."""
    settled = (await http.get(f"/v1/decisions/{decision_id}")).json()["settled"]
    found = (await http.get("/v1/bandits/hero/models")).json()["models"]
    return settled and min(
        (m["model_version"] for m in found if m["trained_through_seq"] >= settled["seq"]), default=None
    )


async def seconds_until_served(clients: list[httpx2.AsyncClient]) -> float:
    """From a reward's 202 until every connection's next decision is made with a model that learned it."""
    clicked = await click_once(clients[0], 0.9)
    began = time.monotonic()
    version = None
    while version is None:
        version = await learned_by(clients[0], clicked)
    for client in clients:
        while (await post(client, "/v1/decisions", {"bandit_key": "hero"}))["model_version"] < version:
            await asyncio.sleep(0.005)
    return time.monotonic() - began


async def test_a_reward_is_served_by_every_process_within_a_second(database_url: str) -> None:
    with serving(database_url, "--workers", "2") as service:
        async with httpx2.AsyncClient(base_url=service.url) as http:
            await post(
                http,
                "/v1/bandits",
                {
                    "bandit_key": "hero",
                    "actions": ACTIONS,
                    "reward": {"kinds": {"click": {}}},
                    "terminal_kinds": ["click"],
                },
            )
        clients = await every_worker(service)
        began, wall = time.monotonic(), time.time()
        loading = asyncio.create_task(asyncio.to_thread(asyncio.run, load(service.url)))
        took = []
        while not loading.done():
            took.append(await seconds_until_served(clients))
        made, seconds = await loading, time.monotonic() - began
        measured = await read(clients[0])
        for client in clients:
            await client.aclose()

        swapped = measured.by("segbandit_last_model_swap_timestamp_seconds", "pid")
        assert {int(pid) for pid, when in swapped.items() if when > wall} == {w.pid for w in service.workers}
        swaps = measured.value("segbandit_model_swaps_total")
        p99 = measured.quantile(FRESHNESS, 0.99)
        print(
            f"{made / seconds:.0f} decisions/s and clicks, {swaps:.0f} swaps: half of them within "
            f"{measured.quantile(FRESHNESS, 0.5)} s, p99 {p99} s; seen from outside after "
            f"{min(took):.3f} to {max(took):.3f} s"
        )
        assert swaps > 10
        assert measured.value(f"{FRESHNESS}_count") > 10
        assert p99 <= 1.0
        assert sorted(took)[len(took) // 2] < 1.0
        assert measured.value("segbandit_decisions_total") >= made
        assert measured.value("segbandit_settled_decisions_total") > 0, "the learner's figures are there too"


async def test_figures_outlive_a_worker_but_its_gauges_do_not(database_url: str) -> None:
    with serving(database_url, "--workers", "2") as service:
        async with httpx2.AsyncClient(base_url=service.url) as http:
            await post(http, "/v1/bandits", {"bandit_key": "hero", "actions": ACTIONS})
        clients = await every_worker(service)
        decisions = (await read(clients[0])).value("segbandit_decisions_total")
        assert decisions == len(clients)
        for client in clients:
            await client.aclose()
        dead = service.workers[0]
        os.kill(dead.pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            while dead.is_running() or len(service.workers) < 2:
                await asyncio.sleep(0.05)
        async with httpx2.AsyncClient(base_url=service.url) as http:
            measured = await read(http)
        assert measured.value("segbandit_decisions_total") == decisions
        assert str(dead.pid) not in measured.by("segbandit_loaded_bandits", "pid")
