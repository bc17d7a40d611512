"""What an owner changes, by command or by HTTP, every process does within a second."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from bandit import audit
from bandit.db.pool import Database
from tests.integration.helpers import create, decide
from tests.processes import Running, serving
from tests.workers import every_worker

#: What was promised, and how long is looked at what is served after that, in seconds.
PROMISED, LOOKED_AT = 1.0, 0.5
UNIFORM: dict[str, Any] = {"exploration": {"algorithm": "epsilon_greedy", "epsilon": 1.0}}
Follows = Callable[[dict[str, Any]], bool]


@dataclass
class Visitors:
    """One on each connection, who asks again and again; all that was decided, and when it was asked for."""

    clients: list[httpx2.AsyncClient]
    decided: list[list[tuple[float, dict[str, Any]]]] = field(default_factory=list)

    @asynccontextmanager
    async def coming(self) -> AsyncIterator[None]:
        self.decided = [[] for _ in self.clients]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask(place)) for place in range(len(self.clients))]
            yield
            for task in tasks:
                task.cancel()

    async def _ask(self, place: int) -> None:
        while True:
            asked_at = time.monotonic()
            self.decided[place].append((asked_at, await decide(self.clients[place])))
            await asyncio.sleep(0.03)

    async def check(self, since: float, follows: Follows) -> float:
        """All that was asked for later than a second after `since` follows; how long the last other took."""
        until = since + PROMISED + LOOKED_AT
        while min(seen[-1][0] if seen else 0.0 for seen in self.decided) < until:
            await asyncio.sleep(0.01)
        everything = [(asked_at, made) for seen in self.decided for asked_at, made in seen]
        late = [made for asked_at, made in everything if asked_at > since + PROMISED and not follows(made)]
        assert late == []
        return max([0.0, *(asked_at - since for asked_at, made in everything if not follows(made))])


async def command(*arguments: str) -> float:
    """A `segbandit` that must succeed; when it had returned."""
    ran = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", "bandits", *arguments, "--why", "a test",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said = await ran.communicate()
    assert ran.returncode == 0, said
    return time.monotonic()


async def call(http: httpx2.AsyncClient, how: str, path: str, body: Any) -> float:
    """The same by HTTP."""
    (await http.request(how, f"/v1/bandits/hero{path}", json=body)).raise_for_status()
    return time.monotonic()


async def test_what_is_paused_killed_or_edited_is_so_in_every_process_within_a_second(
    database_url: str, database: Database, monkeypatch: Any
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with serving(database_url, "--workers", "2") as service:
        clients = await make_hero(service)
        visitors, http = Visitors(clients), clients[0]

        def chosen(*action_ids: str) -> Follows:
            return lambda made: made["action"]["action_id"] in action_ids and made["mode"] == "online"

        def served(mode: str, action_id: str) -> Follows:
            return lambda made: (made["mode"], made["action"]["action_id"]) == (mode, action_id)

        steps: list[tuple[Callable[[], Awaitable[float]], Follows]] = [
            (lambda: command("pause", "hero"), served("paused", "a")),
            (lambda: command("kill", "hero", "a"), served("paused", "b")),
            (lambda: call(http, "POST", ":resume", {"why": "a test"}), chosen("b", "c")),
            (lambda: call(http, "POST", ":kill", {"segment": "two"}), chosen("c")),
            (lambda: command("revive", "hero", "a"), chosen("a", "c")),
            (lambda: command("edit", "hero", "--set", "mode=apprentice"), served("apprentice", "a")),
            (lambda: call(http, "PATCH", "", {"baseline_action": "c"}), served("apprentice", "c")),
            (lambda: call(http, "POST", ":pause", None), served("paused", "c")),
        ]
        took = []
        async with visitors.coming():
            for change, follows in steps:
                took.append(await visitors.check(await change(), follows))
        made = sum(map(len, visitors.decided))
        for client in clients:
            await client.aclose()
    print(f"{made} decisions; the last under an old configuration {max(took):.3f} s after a change returned")
    report = await audit.audit_everything(database, "hero")
    assert report.difference is None
    assert report.decisions >= made, "also what was decided while the configuration changed"


async def make_hero(service: Running) -> list[httpx2.AsyncClient]:
    """Connections to every process of a bandit that chooses each action alike."""
    async with httpx2.AsyncClient(base_url=service.url) as http:
        await create(http, policy=UNIFORM)
    return await every_worker(service)
