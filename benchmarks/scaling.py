"""What a decision costs against the number of actions, context features, bandits, and rows already logged.

Cost is processor time of the API process, and of PostgreSQL, per decision, in a closed loop of 16
connections; that depends less than rates do on what else the machine is doing.

Run with `make bench-scaling`; writes .bench/scaling.json, and the plot at docs/performance/scaling.svg with
`--plot`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bandit import logs
from bandit.db.pool import LONG_PATIENCE, connect
from benchmarks import load, servers, world

#: What is varied, and through which values.
AXES = {
    "actions": (2, 5, 10, 20, 50, 100, 200, 500, 1_000),
    "context features": (5, 10, 20, 50, 64, 65, 100, 200, 500),
    "bandits": (1, 10, 100, 300, 1_000),
    "rows logged": (0, 1_000_000, 3_000_000, 10_000_000),
}
CONNECTIONS, SECONDS, ROUNDS = 16, 1.5, 3
TAUGHT, BODIES = 20, 1_000
OUTPUT, PLOT = Path(".bench/scaling.json"), Path("docs/performance/scaling.svg")
_COLUMNS = ("api_us", "postgres_us", "p50_ms", "api_mib")


class Service:
    """A service and what its decisions cost."""

    def __init__(self, url: str, port: int, api: int, postmaster: int) -> None:
        self.url = url
        self.port = port
        self._api, self._postgres = psutil.Process(api), psutil.Process(postmaster)
        self.rng = random.Random(1)

    def create(self, bandit_key: str, actions: int = world.ACTIONS) -> None:
        """A bandit that has been rewarded."""
        offered = [
            {"action_id": f"action-{i}", "features": {"price": i / actions, "kind": f"k{i % 3}"}}
            for i in range(actions)
        ]
        bandit = {"bandit_key": bandit_key, "actions": offered, "terminal_kinds": ["reward"]}
        servers.post(self.port, "/v1/bandits", bandit)
        asked = [{"context": world.context(self.rng)} for _ in range(TAUGHT)]
        made = servers.post(self.port, "/v1/decisions:batch", {"bandit_key": bandit_key, "decisions": asked})
        servers.post(self.port, "/v1/rewards", [{"decision_id": d["decision_id"]} for d in made["decisions"]])

    def until_learned(self, bandit_key: str) -> None:
        """Wait until it is served with what it learned."""
        while not servers.get(self.port, f"/v1/bandits/{bandit_key}/models")["served"]:
            time.sleep(0.05)

    def cost(self, bodies: list[dict[str, Any]]) -> dict[str, float]:
        """Of a decision: microseconds of both processes and the median latency in ms, at their best."""
        requests = cycle([load.request("/v1/decisions", json.dumps(body).encode()) for body in bodies])
        load.closed(self.port, requests, connections=CONNECTIONS, seconds=SECONDS / 3)
        best: dict[str, float] = {}
        for _ in range(ROUNDS):
            before = _seconds(self._api), _seconds(self._postgres)
            found = load.closed(self.port, requests, connections=CONNECTIONS, seconds=SECONDS)
            if found.refused:
                sys.exit(f"expected every call to be answered 2xx, got {found.refused[0]!r}")
            count = len(found.latencies)
            now = {
                "api_us": _spent(before[0], _seconds(self._api)) / count,
                "postgres_us": _spent(before[1], _seconds(self._postgres)) / count,
                "p50_ms": 1e3 * found.quantile(0.5),
            }
            best = {name: min(value, best.get(name, value)) for name, value in now.items()}
        return best | {"api_mib": self._api.memory_info().rss / 2**20}


def _seconds(process: psutil.Process) -> dict[int, float]:
    """Processor time of the process and its children, by their ids."""
    return {p.pid: sum(p.cpu_times()[:2]) for p in (process, *process.children())}


def _spent(before: dict[int, float], after: dict[int, float]) -> float:
    """What those that are still there spent meanwhile, in microseconds."""
    return 1e6 * sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def _asked(bandit_key: str, context: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"bandit_key": bandit_key, "context": context()} for _ in range(BODIES)]


def actions(service: Service) -> Iterator[dict[str, float]]:
    for count in AXES["actions"]:
        service.create(f"actions-{count}", actions=count)
        service.until_learned(f"actions-{count}")
        yield service.cost(_asked(f"actions-{count}", lambda: world.context(service.rng)))


def context_features(service: Service) -> Iterator[dict[str, float]]:
    rng = service.rng
    for count in AXES["context features"]:
        service.create(f"features-{count}")
        service.until_learned(f"features-{count}")

        def wide(count: int = count) -> dict[str, Any]:
            return {
                f"f{i}": round(rng.random(), 3) if i % 2 else rng.choice("abcdefgh") for i in range(count)
            }

        yield service.cost(_asked(f"features-{count}", wide))


def bandits(service: Service) -> Iterator[dict[str, float]]:
    made = 0
    for count in AXES["bandits"]:
        for number in range(made, count):
            service.create(f"bandit-{number}")
        for number in range(made, count):
            service.until_learned(f"bandit-{number}")
        made = count
        yield service.cost([
            {"bandit_key": f"bandit-{i % count}", "context": world.context(service.rng)}
            for i in range(max(count, BODIES))
        ])  # fmt: skip


def rows_logged(service: Service) -> Iterator[dict[str, float]]:
    service.create("rows")
    service.until_learned("rows")
    logged = 0
    for count in AXES["rows logged"]:
        asyncio.run(_fill(service.url, logged, count))
        logged = count
        yield service.cost(_asked("rows", lambda: world.context(service.rng)))


async def _fill(url: str, logged: int, count: int) -> None:
    """Log copies of one decision, of the last ten hours, until there are `count`."""
    connection = await connect(url, patience=LONG_PATIENCE)
    began = datetime.now(UTC) - timedelta(hours=10)
    await world.log_copies(connection, "rows", began, logged, count)
    await connection.execute("VACUUM ANALYZE decisions")
    await connection.execute("CHECKPOINT")
    await connection.close()


def main() -> None:
    logs.configure()
    console, found = Console(width=110), {}
    server, postmaster = servers.postgres()
    os.sched_setaffinity(0, servers.REST)
    measures = (actions, context_features, bandits, rows_logged)
    for (name, values), measure in zip(AXES.items(), measures, strict=True):
        url = servers.database(server, measure.__name__)
        with (
            servers.serve("--no-learner", cpus=servers.SERVER, DATABASE_URL=url) as (port, api),
            servers.process("-m", "cli.main", "learner", cpus=servers.REST, DATABASE_URL=url),
            Progress(console=console, transient=True) as progress,
        ):
            costs = measure(Service(url, port, api.pid, postmaster))
            watched = progress.track(costs, total=len(values), description=name)
            found[name] = dict(zip(values, watched, strict=True))
        table = Table(name, *_COLUMNS)
        for value, cost in found[name].items():
            table.add_row(f"{value:,}", *(f"{cost[column]:,.1f}" for column in _COLUMNS))
        console.print(table)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(found, indent=2) + "\n")
    if "--plot" in sys.argv[1:]:
        plot(found)


def plot(found: dict[str, dict[int, dict[str, float]]]) -> None:
    """One picture for each axis: what a decision costs both processes."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    figure, frames = pyplot.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for frame, (name, costs) in zip(frames.flat, found.items(), strict=True):
        at = [max(value, 1) for value in costs]
        for series, label in (("api_us", "API process"), ("postgres_us", "PostgreSQL")):
            frame.plot(at, [cost[series] for cost in costs.values()], marker="o", label=label)
        scale = "log" if name in ("bandits", "rows logged") else "linear"
        frame.set(xlabel=name, ylabel="microseconds per decision", xscale=scale, ylim=(0, None))
        frame.grid(visible=True, alpha=0.3)
        frame.legend()
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main()
