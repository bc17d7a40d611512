"""Connections to every API process of a service."""

from __future__ import annotations

import httpx2

from tests.integration.helpers import decide
from tests.measured import Measured
from tests.processes import Running

_AT_LEAST, _AT_MOST = 6, 200


async def read(http: httpx2.AsyncClient) -> Measured:
    return Measured((await http.get("/metrics")).raise_for_status().text)


async def every_worker(service: Running) -> list[httpx2.AsyncClient]:
    """Connections that together reach every worker, each of which has decided for the bandit `hero` then.

    Each has made one decision; the caller closes them.
    """
    clients: list[httpx2.AsyncClient] = []
    pids = {str(worker.pid) for worker in service.workers}
    loaded: set[str] = set()
    while len(clients) < _AT_LEAST or loaded != pids:
        assert len(clients) < _AT_MOST, f"not all of the workers {pids} are reached: {loaded}"
        clients.append(httpx2.AsyncClient(base_url=service.url, timeout=20))
        await decide(clients[-1])
        held = (await read(clients[-1])).by("segbandit_loaded_bandits", "pid") if pids else {}
        loaded = {pid for pid, bandits in held.items() if bandits}
    return clients
