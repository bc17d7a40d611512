"""What it costs to count what subjects are shown: those whose bandit limits it, and everybody else.

One process decides for 32 callers at once, on a database per side; the sides take turns. "ordinary" limits
nothing, "limited" has a cap on each action, and "indexed" is what everybody would pay if exposures were found
by an index on all decisions instead of in a table of their own (docs/decisions/0020-exposures.md). Processor
time and bytes of write-ahead log depend less on what else the machine does than rates do.

Run with `make bench-limits`; writes .bench/limits.json.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from bandit import catalogue, serving
from bandit.changes import Author
from bandit.db import schema
from bandit.db.pool import Connection, Database, connect
from bandit.limited import LimitedDecider
from bandit.steering import Cap, Constraint
from bandit.types import BanditConfig, DecisionInput
from benchmarks import servers, world

CALLERS, SECONDS, ROUNDS = 32, 2.0, 7
_INDEX = "CREATE INDEX ON decisions (subject, bandit_key, decided_at) WHERE subject IS NOT NULL"
_CAP = Constraint(name="cap", cap=Cap(times=3, seconds=86_400.0))
OUTPUT = Path(".bench/limits.json")
COLUMNS = ("per_s", "process_us", "postgres_us", "log_bytes", "p99_ms")


class Side:
    """A bandit in a database of its own."""

    def __init__(self, database: Database, connection: Connection, served: serving.Serving) -> None:
        self._database, self._connection, self._served = database, connection, served
        self._decider = LimitedDecider(database, self)

    @classmethod
    async def begin(cls, url: str, config: BanditConfig, more: str = "") -> Side:
        """In this database, which has the schema `more` is added to."""
        connection = await connect(url)
        if more:
            await connection.execute(more)
        await schema.ensure_partitions(connection)
        database = Database(url, size=1)
        await database.open()
        await catalogue.create(database, "bench", config, Author(who="benchmark", why="measured"))
        return cls(database, connection, await serving.load(database, "bench"))

    async def turn(self, asked: list[DecisionInput]) -> tuple[float, ...]:
        """Decide for a while; the `COLUMNS`."""
        async with self._database.connection() as used:
            backend = psutil.Process(await used.fetchval("SELECT pg_backend_pid()"))
        taken: list[float] = []
        before, began = await self._measured(backend), time.perf_counter()
        until = time.monotonic() + SECONDS
        await asyncio.gather(*(self._call(asked, until, taken) for _ in range(CALLERS)))
        seconds = time.perf_counter() - began
        spent = [after - b for after, b in zip(await self._measured(backend), before, strict=True)]
        own, postgres, written = (each / len(taken) for each in spent)
        return (
            len(taken) / seconds,
            1e6 * own,
            1e6 * postgres,
            written,
            1e3 * sorted(taken)[-len(taken) // 100],
        )

    async def _call(self, asked: list[DecisionInput], until: float, taken: list[float]) -> None:
        while (began := time.monotonic()) < until:
            await self._decider.decide("bench", random.choice(asked))
            taken.append(time.monotonic() - began)

    async def get(self, bandit_key: str) -> serving.Serving:  # noqa: ARG002 see `bandit.limited.Servings`
        """The bandit to serve."""
        return self._served

    def loaded(self, bandit_key: str) -> serving.Serving:  # noqa: ARG002 the same
        """It always is."""
        return self._served

    async def _measured(self, backend: psutil.Process) -> tuple[float, float, float]:
        written = await self._connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'")
        return _seconds(psutil.Process()), _seconds(backend), float(written)

    async def close(self) -> None:
        """Let go of the database."""
        self._served.close()
        await self._database.close()
        await self._connection.close()


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def measure(urls: dict[str, str]) -> dict[str, list[float]]:
    """The medians of the `COLUMNS`, by side."""
    limited = msgspec.structs.replace(world.CONFIG, constraints=[_CAP])
    sides = {
        "ordinary": await Side.begin(urls["ordinary"], world.CONFIG),
        "indexed": await Side.begin(urls["indexed"], world.CONFIG, _INDEX),
        "limited": await Side.begin(urls["limited"], limited),
    }
    rng = random.Random(1)
    asked = [world.asked(rng) for _ in range(20_000)]
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in sides}
    for round_ in range(ROUNDS + 1):
        for name, side in sides.items():
            figures = await side.turn(asked)
            if round_:  # the first warms up
                found[name].append(figures)
    for side in sides.values():
        await side.close()
    return {name: [median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}


def main() -> None:
    server, _ = servers.postgres()
    urls = {name: servers.database(server, name) for name in ("ordinary", "indexed", "limited")}
    os.sched_setaffinity(0, servers.SERVER)
    found = asyncio.run(measure(urls))
    table = Table("side", *COLUMNS)
    for name, figures in found.items():
        table.add_row(name, *(f"{each:,.1f}" for each in figures))
    Console(width=110).print(table)
    OUTPUT.parent.mkdir(exist_ok=True)
    report: dict[str, Any] = {name: dict(zip(COLUMNS, row, strict=True)) for name, row in found.items()}
    OUTPUT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
