"""How long until every process serves what an owner has switched: from the commit, and without any change.

    python -m benchmarks.steering

Two API processes, a learner and PostgreSQL, while decisions and clicks come in. A bandit is paused and
resumed in turn, as `segbandit bandits pause` does it, and every process is asked until it follows. The
baseline, in the same run, is how long it takes to ask each of them once. Writes .bench/steering.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx2

from bandit import switches
from bandit.changes import Author
from bandit.db.pool import Database
from benchmarks import servers

OUTPUT = Path(".bench/steering.json")
BANDIT = {
    "bandit_key": "hero",
    "actions": [{"action_id": name} for name in "abcde"],
    "terminal_kinds": ["click"],
    "reward": {"kinds": {"click": {}}},
}
#: Connections; each process has some of them, for the system deals them out.
CONNECTIONS = 16
#: Seconds between two visitors.
PACE = 0.01
OWNER = Author(who="benchmark", why="to see how long it takes")


async def visit(http: httpx2.AsyncClient) -> None:
    """Decisions and clicks, so that models are published and swapped meanwhile."""
    while True:
        made = (await http.post("/v1/decisions", json={"bandit_key": "hero", "context": {"x": 0.5}})).json()
        await http.post("/v1/rewards", json={"decision_id": made["decision_id"], "kind": "click"})
        await asyncio.sleep(PACE)


async def modes(clients: list[httpx2.AsyncClient]) -> set[str]:
    """The mode in which each connection's process serves."""

    async def mode(client: httpx2.AsyncClient) -> str:
        return str((await client.post("/v1/decisions", json={"bandit_key": "hero"})).json()["mode"])

    return set(await asyncio.gather(*map(mode, clients)))


async def measure(url: str, service: str, changes: int) -> dict[str, Any]:
    """Seconds of each change from its commit until all follow, and of asking all without a change."""
    database = Database(url, size=2)
    await database.open()
    clients = [httpx2.AsyncClient(base_url=service, timeout=20) for _ in range(CONNECTIONS)]
    (await clients[0].post("/v1/bandits", json=BANDIT)).raise_for_status()
    async with httpx2.AsyncClient(base_url=service, timeout=20) as visitor:
        visiting = asyncio.create_task(visit(visitor))
        await modes(clients)
        asked, followed = [], []
        for number in range(changes):
            began = time.perf_counter()
            await modes(clients)
            asked.append(time.perf_counter() - began)
            switch, wanted = (switches.resume, "online") if number % 2 else (switches.pause, "paused")
            await switch(database, "hero", OWNER)
            began = time.perf_counter()
            while await modes(clients) != {wanted}:
                pass
            followed.append(time.perf_counter() - began)
        visiting.cancel()
    for client in clients:
        await client.aclose()
    await database.close()
    return {"changes": changes, **_figures("asked", asked), **_figures("followed", followed)}


def _figures(name: str, seconds: list[float]) -> dict[str, float]:
    return {
        f"{name}_p50_s": round(median(seconds), 4),
        f"{name}_p99_s": round(quantiles(seconds, n=100)[98], 4),
        f"{name}_most_s": round(max(seconds), 4),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--changes", type=int, default=300)
    changes = arguments.parse_args().changes
    server, _ = servers.postgres()
    url = servers.database(server, "steering")
    with servers.serve("--workers", "2", cpus={0, 1}, DATABASE_URL=url) as (port, _):
        found = asyncio.run(measure(url, f"http://127.0.0.1:{port}", changes))
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
