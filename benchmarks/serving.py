"""What the service costs beside what HTTP, Vowpal Wabbit and PostgreSQL cost by themselves.

One API process has a processor to itself; the load generator, PostgreSQL and the learner share the other. The
sides of each comparison take turns in the same run, and each figure stands beside its baseline.

Run with `make bench`; writes .bench/serving.json, and says what falls short of what is asked; to call that a
failure is left to who reads it, for the machine counts too.

`learner_ratio` is the log folded by production code (read, learned, compared) beside a bare loop that learns
the same events from memory, a line per action; `learner_ratio_to_two_lines` is that beside a loop that learns
only the two lines that count; `settled_ratio` is settling, learning and publishing beside the first.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import platform
import random
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from itertools import cycle
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bandit import catalogue, logs, retention, vw
from bandit.changes import SOMEBODY
from bandit.db.pool import LONG_PATIENCE, Database, connect
from bandit.db.schema import ensure_partitions
from bandit.decide import Decider
from bandit.learner import Learner
from bandit.rebuild import rebuild
from bandit.serving import load as load_serving
from bandit.settings import Settings
from benchmarks import load, servers, world
from benchmarks.rebuild import as_text
from benchmarks.rebuild import bare as bare_vw

ROUNDS, SECONDS = 5, 2.0
CONNECTIONS, BATCH, BATCH_CONNECTIONS = 16, 100, 4
P99_SECONDS = 10.0
#: Until what PostgreSQL does after a full load is done.
_SETTLING_SECONDS = 5.0
REWARD_BATCH, REWARD_CALLS = 500, 120
SETTLED = 40_000
FRESH_SECONDS, FRESH_RATE = 15.0, 500
STORED = 50_000
OUTPUT = Path(".bench/serving.json")
#: What is asked of each figure: the least or, where the name says a cost, the most.
REQUIRED = {
    "single_ratio": (">=", 0.60),
    "request_actions_ratio": (">=", 0.45),
    "single_p99_ms_at_half_load": ("<", 10.0),
    "batch_vs_single": (">=", 3.0),
    "rewards_per_s": (">=", 10_000),
    "settled_per_s": (">=", 5_000),
    "learner_ratio": (">=", 0.8),
    "freshness_p99_s": ("<", 1.0),
    "bytes_per_decision": ("<", 600),
    "ready_s": ("<", 4.0),
    "idle_rss_mb": ("<", 160),
}


class Bench:
    """The figures of one run, and a word on each while it is made."""

    def __init__(self) -> None:
        self.console = Console(width=110)
        self.rng = random.Random(1)
        self.figures: dict[str, float] = {}

    def progress(self, what: str, total: int) -> Iterator[int]:
        """Count, and show how far it is."""
        with Progress(console=self.console, transient=True) as progress:
            yield from progress.track(range(total), description=what)

    def start(self) -> None:
        """How long an installed service takes until it is ready, and what it holds then."""
        ready, idle = [], 0.0
        with tempfile.TemporaryDirectory() as folder:
            for number in self.progress("starting", 4):
                began = time.perf_counter()
                with servers.serve("--data-dir", folder, cpus=servers.SERVER | servers.REST) as (_, started):
                    ready.append(time.perf_counter() - began)
                    time.sleep(1.0)
                    idle = psutil.Process(started.pid).memory_info().rss / 2**20
                if number == 0:
                    ready.clear()  # the first start makes the database
        with servers.bare() as (_, bare):
            self.figures["bare_rss_mb"] = psutil.Process(bare.pid).memory_info().rss / 2**20
        self.figures |= {"ready_s": median(ready), "idle_rss_mb": idle}

    def decisions(self, url: str) -> None:
        """Decisions one by one and in batches beside a bare route, then their latencies at half of that."""
        rng, bandit_key = self.rng, {"bandit_key": "bench"}

        def one(**more: Any) -> dict[str, Any]:
            return {"subject": world.subject(rng), "context": world.context(rng), **more}

        def calls(path: str, bodies: list[Any]) -> Iterator[bytes]:
            return cycle([load.request(path, json.dumps(bandit_key | body).encode()) for body in bodies])

        batches = [{"decisions": [one() for _ in range(BATCH)]} for _ in range(40)]
        single = calls("/v1/decisions", [one() for _ in range(2_000)])
        brought = [one(actions=world.request_actions(rng)) for _ in range(2_000)]
        known = world.request_actions(rng)
        sides: dict[str, tuple[bool, Iterator[bytes], int, int]] = {
            "bare": (True, single, CONNECTIONS, 1),
            "single": (False, single, CONNECTIONS, 1),
            "bare_request_actions": (True, calls("/v1/decisions", brought), CONNECTIONS, 1),
            "request_actions": (False, calls("/v1/decisions", brought), CONNECTIONS, 1),
            "known_request_actions": (
                False, calls("/v1/decisions", [one(actions=known) for _ in range(2_000)]), CONNECTIONS, 1,
            ),
            "batch": (False, calls("/v1/decisions:batch", batches), BATCH_CONNECTIONS, BATCH),
        }  # fmt: skip
        rates: dict[str, list[float]] = {name: [] for name in sides}
        costs: dict[str, list[float]] = {name: [] for name in sides}
        with (
            servers.bare() as (bare, _),
            servers.serve("--no-learner", cpus=servers.SERVER, DATABASE_URL=url) as (ours, api),
            servers.process("-m", "cli.main", "learner", "--minded", cpus=servers.REST, DATABASE_URL=url),
        ):
            servers.post(ours, "/v1/bandits", bandit_key | _wire(world.CONFIG))
            self._teach(ours)
            for round_ in self.progress("decisions", ROUNDS + 1):
                for name, (floor, requests, connections, each) in sides.items():
                    port, before = bare if floor else ours, _processor_seconds(api.pid)
                    found = load.closed(port, requests, connections=connections, seconds=SECONDS)
                    self._all_answered(found)
                    if round_:  # the first warms up
                        rates[name].append(found.rate * each)
                        took = _processor_seconds(api.pid) - before
                        costs[name].append(1e6 * took / (each * len(found.latencies)))
            half = median(rates["single"]) / 2
            self._latencies(url, ours, single, half)
            bare_p99 = load.opened(bare, single, connections=CONNECTIONS, seconds=P99_SECONDS, rate=half)
        self.figures["single_p99_ms_at_half_load"] = self.figures["p99_ms_quiet"]
        self.figures["bare_p99_ms_at_the_same_load"] = 1_000 * bare_p99.quantile(0.99)
        for name, found_rates in rates.items():
            self.figures[f"{name}_per_s"] = median(found_rates)
            if not sides[name][0]:
                self.figures[f"{name}_api_us"] = median(costs[name])
        self.figures |= {
            "single_ratio": _ratio(rates["single"], rates["bare"]),
            "request_actions_ratio": _ratio(rates["request_actions"], rates["bare_request_actions"]),
            "known_request_actions_ratio": _ratio(
                rates["known_request_actions"], rates["bare_request_actions"]
            ),
            "batch_vs_single": _ratio(rates["batch"], rates["single"]),
            "batch_vs_bare": _ratio(rates["batch"], rates["bare"]),
        }

    def _latencies(self, url: str, port: int, single: Iterator[bytes], rate: float) -> None:
        """Latencies at this rate, quiet and while something else goes on."""
        for name in _DISTURBANCES:
            if name == "dropping":
                asyncio.run(_log_old_day(url))
            time.sleep(_SETTLING_SECONDS)
            for _ in self.progress(f"latencies, {name}", 1):
                spawn = multiprocessing.get_context("spawn")
                ready = spawn.Event()
                beside = spawn.Process(target=_beside, args=(name, url, port, P99_SECONDS, ready))
                beside.start()
                if not ready.wait(60):
                    sys.exit(f"expected {name} to begin, it did not")
                found = load.opened(port, single, connections=CONNECTIONS, seconds=P99_SECONDS, rate=rate)
                beside.join()
                if beside.exitcode:
                    sys.exit(f"expected {name} to happen beside the decisions, it failed")
                self._all_answered(found)
                self.figures[f"p50_ms_{name}"] = 1_000 * found.quantile(0.5)
                self.figures[f"p99_ms_{name}"] = 1_000 * found.quantile(0.99)

    def _teach(self, port: int) -> None:
        """Let the bandit learn a little, so that it is not its untrained model that is measured."""
        decisions = [{"context": world.context(self.rng)} for _ in range(1_000)]
        made = servers.post(port, "/v1/decisions:batch", {"bandit_key": "bench", "decisions": decisions})
        rewards = [
            {"decision_id": d["decision_id"], "value": float(self.rng.random() < 0.3)}
            for d in made["decisions"]
        ]
        servers.post(port, "/v1/rewards", rewards)
        probe = {"bandit_key": "bench", "context": {}}
        while servers.post(port, "/v1/decisions", probe)["model_version"] == 0:
            time.sleep(0.05)

    def rewards(self, url: str) -> None:
        """Rewards through batch calls, then how fast a learner settles and learns what they say."""
        ids = asyncio.run(_decide(url, SETTLED))
        self.rng.shuffle(ids)
        events = [
            {
                "decision_id": ids[i % len(ids)],
                "value": float(self.rng.random() < 0.3),
                "event_id": f"event-{i}",
            }
            for i in range(REWARD_BATCH * REWARD_CALLS)
        ]
        calls = [
            load.request("/v1/rewards", json.dumps(events[at : at + REWARD_BATCH]).encode())
            for at in range(0, len(events), REWARD_BATCH)
        ]
        with (
            servers.bare() as (bare, _),
            servers.serve("--no-learner", cpus=servers.SERVER, DATABASE_URL=url) as (ours, _),
        ):
            rates: dict[int, list[float]] = {ours: [], bare: []}
            for turn in self.progress("rewards", 6):
                for port in rates:
                    part = calls[turn * REWARD_CALLS // 6 : (turn + 1) * REWARD_CALLS // 6]
                    found = load.closed(port, part, connections=BATCH_CONNECTIONS, seconds=60.0)
                    self._all_answered(found)
                    rates[port].append(found.rate * REWARD_BATCH)
        self.figures |= {"rewards_per_s": median(rates[ours]), "bare_rewards_per_s": median(rates[bare])}
        os.sched_setaffinity(0, servers.SERVER)
        for _ in self.progress("settling", 1):
            seconds, settled = asyncio.run(_settle(url))
        self.figures["settled_per_s"] = settled / seconds
        whole, two = asyncio.run(_lines(url))
        ratios, to_two_lines, ours_rate = [], [], []
        for _ in self.progress("learning", ROUNDS):
            folded = asyncio.run(_rebuilt(url))
            ratios.append((settled / folded) / (len(whole) / bare_vw(whole)))
            to_two_lines.append((settled / folded) / (len(two) / bare_vw(two)))
            ours_rate.append(settled / folded)
        os.sched_setaffinity(0, servers.SERVER | servers.REST)
        self.figures |= {
            "learner_per_s": median(ours_rate),
            "learner_ratio": median(ratios),
            "learner_ratio_to_two_lines": median(to_two_lines),
            "settled_ratio": median(ratios) * self.figures["settled_per_s"] / median(ours_rate),
        }

    def freshness(self, url: str) -> None:
        """From a reward's commit to being served by each of two API processes, by their own metric."""
        rate, rng = FRESH_RATE, self.rng
        count = int(rate * FRESH_SECONDS)
        decisions = [
            {"bandit_key": "bench", "decision_id": f"f-{i}", "context": world.context(rng)}
            for i in range(count)
        ]
        clicks = [{"decision_id": f"f-{i}", "value": float(rng.random() < 0.3)} for i in range(count)]
        late = rate // 10  # a reward comes a tenth of a second after its decision
        calls = []
        for i in range(count):
            calls.append(load.request("/v1/decisions", json.dumps(decisions[i]).encode()))
            if i >= late:
                calls.append(load.request("/v1/rewards", json.dumps(clicks[i - late]).encode()))
        everywhere = servers.SERVER | servers.REST
        with servers.serve("--workers", "2", cpus=everywhere, DATABASE_URL=url) as (port, _):
            servers.post(port, "/v1/bandits", {"bandit_key": "bench"} | _wire(world.CONFIG))
            for _ in self.progress("freshness", 1):
                found = load.opened(
                    port, calls, connections=CONNECTIONS, seconds=len(calls) / (2 * rate), rate=2 * rate
                )
            self._all_answered(found)
            self.figures["freshness_decisions_per_s"] = count / found.seconds
            self.figures |= _freshness(port)

    def storage(self, url: str) -> None:
        """What a decision takes on disk."""
        for _ in self.progress("storage", 1):
            asyncio.run(_decide(url, STORED))
            sizes = asyncio.run(_sizes(url))
        self.figures |= {name: size / STORED for name, size in sizes.items()}
        body = json.dumps({"bandit_key": "bench", "context": world.context(self.rng)})
        self.figures["bytes_of_the_request"] = len(body)

    def _all_answered(self, found: load.Outcome) -> None:
        if found.refused:
            sys.exit(f"expected every call to be answered 2xx, got {found.refused[0]!r}")

    def report(self) -> None:
        """Print and write everything, and what falls short."""
        figures = self.figures
        table = Table("", "figure", "baseline", "ratio", "asked")
        for name, ours, baseline in _ROWS:
            ratio = figures[ours] / figures[baseline] if baseline else None
            table.add_row(
                name, f"{figures[ours]:,.4g}", f"{figures[baseline]:,.4g}" if baseline else "",
                "" if ratio is None else f"{ratio:.2f}", "",
            )  # fmt: skip
        short = []
        for name, (direction, bound) in REQUIRED.items():
            reached = figures[name] >= bound if direction == ">=" else figures[name] < bound
            table.add_row(name, f"{figures[name]:,.4g}", "", "", f"{direction} {bound:g}")
            if not reached:
                short.append(f"{name} is {figures[name]:.4g}, asked was {direction} {bound:g}")
        self.console.print(table, *short, sep="\n", highlight=False)
        OUTPUT.parent.mkdir(exist_ok=True)
        OUTPUT.write_text(json.dumps({**figures, "measured_on": _machine()}, indent=2) + "\n")


_ROWS = [
    ("decisions/s, catalogue (bare route)", "single_per_s", "bare_per_s"),
    ("decisions/s, actions in the request (bare)", "request_actions_per_s", "bare_request_actions_per_s"),
    ("the same, always the same ones (bare)", "known_request_actions_per_s", "bare_request_actions_per_s"),
    ("decisions/s, batches of 100 (single)", "batch_per_s", "single_per_s"),
    ("p99 ms at half load (bare route)", "p99_ms_quiet", "bare_p99_ms_at_the_same_load"),
    ("the same while learning (quiet)", "p99_ms_learning", "p99_ms_quiet"),
    ("the same while partitions roll (quiet)", "p99_ms_partitions", "p99_ms_quiet"),
    ("the same while an old day goes (quiet)", "p99_ms_dropping", "p99_ms_quiet"),
    ("rewards/s, batches of 500 (bare route)", "rewards_per_s", "bare_rewards_per_s"),
    ("bytes of a decision, with index (request)", "bytes_per_decision", "bytes_of_the_request"),
    ("idle MB (bare route)", "idle_rss_mb", "bare_rss_mb"),
]


def _processor_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _ratio(ours: list[float], baseline: list[float]) -> float:
    """Round by round, for the machine's speed drifts."""
    return median(a / b for a, b in zip(ours, baseline, strict=True))


def _wire(config: Any) -> dict[str, Any]:
    return {"actions": [{"action_id": a.action_id, "features": a.features} for a in config.actions],
            "terminal_kinds": config.terminal_kinds}  # fmt: skip


def _machine() -> dict[str, Any]:
    told = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    return {
        "processor": told.get("model name\t", platform.processor()).strip(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "vowpalwabbit": vw.VERSION,
        "at": f"{datetime.now(UTC):%F %R}",
        "load_before": _LOAD_BEFORE,
    }


_LOAD_BEFORE = os.getloadavg()[0]


# --- with the database ---------------------------------------------------------------------------------


async def _decide(url: str, count: int) -> list[str]:
    """Decisions of a bandit made by production code; their ids."""
    rng = random.Random(2)
    database = Database(url, size=2)
    await database.open()
    await catalogue.create(database, "bench", world.CONFIG, SOMEBODY)
    serving, decider = await load_serving(database, "bench"), Decider(database)

    async def current() -> Any:
        return serving

    ids = []
    for _ in range(count // 500):
        made = await decider.decide_many(current, [world.asked(rng) for _ in range(500)])
        ids += [decision.decision_id for decision in made]
    await database.close()
    return ids


async def _settle(url: str) -> tuple[float, int]:
    """Seconds that a learner takes for all that can be settled, and how much that is."""
    connection = await connect(url, holds_locks=True)
    learner = Learner(url, Settings(database_url=url))
    settled, began = 0, time.perf_counter()
    while step := await learner.step(connection):
        settled += step
    seconds = time.perf_counter() - began
    learner.close()
    await connection.close()
    return seconds, settled


async def _with_database(url: str, use: Callable[[Database], Any]) -> Any:
    database = Database(url, size=2)
    await database.open()
    try:
        return await use(database)
    finally:
        await database.close()


async def _lines(url: str) -> Any:
    return await _with_database(url, lambda database: as_text(database, SETTLED))


async def _rebuilt(url: str) -> float:
    found = await _with_database(url, lambda database: rebuild(database, "bench"))
    if not found.equal:
        sys.exit("the fold is not what was learned")
    return float(found.seconds)


async def _sizes(url: str) -> dict[str, int]:
    connection = await connect(url)
    await connection.execute("CHECKPOINT")
    sizes = {}
    for name, tables in (("bytes_per_decision", "decisions%"), ("bytes_waiting", "unsettled")):
        sizes[name] = await connection.fetchval(
            """SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
               WHERE relkind = 'r' AND relname LIKE $1""",
            tables,
        )
    sizes["bytes_of_index"] = await connection.fetchval(
        """SELECT sum(pg_indexes_size(oid))::bigint FROM pg_class
           WHERE relkind = 'r' AND relname LIKE 'decisions%'"""
    )
    await connection.close()
    return sizes


def _freshness(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answered:
        text = answered.read().decode()
    buckets: dict[float, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "segbandit_model_freshness_seconds_bucket":
                bound = float(sample.labels["le"])
                buckets[bound] = buckets.get(bound, 0.0) + sample.value
    total = buckets[float("inf")]

    def quantile(share: float) -> float:
        return min(bound for bound, count in buckets.items() if count >= share * total)

    return {"freshness_p99_s": quantile(0.99), "freshness_p50_s": quantile(0.5), "freshness_swaps": total}


# --- what happens beside -------------------------------------------------------------------------------


def _beside(what: str, url: str, port: int, seconds: float, ready: Event) -> None:
    """Do something beside the decisions whose latency is measured; `ready` when it begins."""
    os.nice(5)  # there are two processors only, and this is no part of what is measured
    asyncio.run(_DISTURBANCES[what](url, port, seconds, ready))


async def _quiet(_: str, __: int, ___: float, ready: Event) -> None:
    """Nothing."""
    ready.set()


async def _learning(url: str, port: int, seconds: float, ready: Event) -> None:
    """A hundred rewards every fifth of a second, so that the learner publishes at its pace."""
    connection = await connect(url)
    rows = await connection.fetch("SELECT decision_id FROM unsettled LIMIT $1", int(500 * seconds))
    await connection.close()
    ready.set()
    for at in range(0, len(rows), 100):
        rewards = [{"decision_id": row["decision_id"], "value": 1.0} for row in rows[at : at + 100]]
        servers.post(port, "/v1/rewards", rewards)
        await asyncio.sleep(0.2)


async def _partitions(url: str, _: int, seconds: float, ready: Event) -> None:
    """New partitions, two in a second."""
    connection = await connect(url)
    ready.set()
    until = time.monotonic() + seconds
    day = datetime.now(UTC).date() + timedelta(days=30)
    while time.monotonic() < until:
        await ensure_partitions(connection, today=day)
        day += timedelta(days=1)
        await asyncio.sleep(0.5)
    await connection.close()


async def _dropping(url: str, __: int, ___: float, ready: Event) -> None:
    """A day of 50,000 decisions is exported and dropped with its partition."""
    connection = await connect(url, patience=LONG_PATIENCE)
    ready.set()
    with tempfile.TemporaryDirectory() as folder:
        archived = [
            part.decisions async for part in retention.archive(connection, Path(folder), keep_days=30)
        ]
    if sum(archived) != STORED:
        sys.exit(f"expected {STORED} decisions to be archived, got {archived}")
    await connection.close()


async def _log_old_day(url: str) -> None:
    connection = await connect(url, patience=LONG_PATIENCE)
    day = datetime.now(UTC).date() - timedelta(days=60)
    await connection.execute(
        f"""CREATE TABLE decisions_{day:%Y%m%d} PARTITION OF decisions
            FOR VALUES FROM ('{day} 00:00+00') TO ('{day + timedelta(days=1)} 00:00+00')"""
    )
    noon = datetime.combine(day, clock(12), UTC)
    await world.log_copies(connection, "bench", noon, 0, STORED)
    await connection.close()


_DISTURBANCES: dict[str, Callable[[str, int, float, Event], Coroutine[Any, Any, None]]] = {
    "quiet": _quiet,
    "learning": _learning,
    "partitions": _partitions,
    "dropping": _dropping,
}


def main() -> None:
    logs.configure()
    bench, (server, _) = Bench(), servers.postgres()
    os.sched_setaffinity(0, servers.REST)
    bench.start()
    for part in (bench.decisions, bench.rewards, bench.freshness, bench.storage):
        part(servers.database(server, part.__name__))
    bench.report()


if __name__ == "__main__":
    main()
