"""Learner, API workers, PostgreSQL and network die at random moments: nothing is lost or counted twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest

from bandit import audit
from bandit.db import decisions
from bandit.db.bandits import ConfigCache
from bandit.db.pool import AWAY, Database, connect
from bandit.errors import UnavailableError
from tests.integration.test_learner import assert_newest_model_is_the_fold_of_its_log
from tests.processes import Running, minded_database, serving
from tests.proxy import Network

T = TypeVar("T")
RECOVERY_SECONDS = 10.0
WORKERS = 2
CLIENTS = 6
KINDS = ["learner", "API worker", "PostgreSQL", "network cut", "network silent"]
DEFAULT_REWARD = 0.125
BANDIT: dict[str, Any] = {
    "bandit_key": "hero",
    "actions": [{"action_id": action_id} for action_id in "abcd"],
    "reward": {"kinds": {"click": {}, "order": {}}, "clip": [0.0, 8.0]},
    "terminal_kinds": ["order"],
    "default_reward": DEFAULT_REWARD,
    "reward_wait": RECOVERY_SECONDS,  # so a click that is sent at once counts, whatever is killed meanwhile
}


@dataclass
class Acknowledged:
    """What callers were promised, so what the database must hold."""

    decisions: dict[str, Any] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Of the decisions that are to be learned: the values of the events that count.
    learned: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class Caller:
    """A well-behaved client: it repeats each call until it is answered."""

    def __init__(self, http: httpx2.AsyncClient, name: str, acknowledged: Acknowledged) -> None:
        self._http = http
        self._name = name
        self._acknowledged = acknowledged
        self._rng = random.Random(name)
        self._made = 0

    async def play(self) -> None:
        """Ask for one decision or some, and report what comes of them."""
        rng = self._rng
        ids = self.new_ids(rng.choice([1, 1, 1, 5]))
        deferred = rng.random() < 0.2
        shown = not deferred or rng.random() < 0.5
        if rng.random() < 0.2:
            await self.report(ids[0], "click", counts=shown)  # before its decision
        await self.decide(ids, deferred=deferred)
        for decision_id in ids if shown else []:
            if deferred:
                await asyncio.sleep(rng.random() / 5)
                await self.call("POST", f"/v1/decisions/{decision_id}/activate")
            await self.follow_up(decision_id)

    async def follow_up(self, decision_id: str) -> None:
        """Up to two clicks; mostly an order, which settles the decision; sometimes a click too late."""
        self._acknowledged.learned[decision_id] += []
        for _ in range(self._rng.choice([0, 1, 2])):
            await self.report(decision_id, "click")
        if self._rng.random() < 0.7:
            await self.report(decision_id, "order")
            if self._rng.random() < 0.1:
                while (await self.call("GET", f"/v1/decisions/{decision_id}"))["settled"] is None:
                    await asyncio.sleep(0.1)
                await self.report(decision_id, "click", counts=False)

    def new_ids(self, count: int) -> list[str]:
        self._made += count
        return [f"{self._name}-{self._made - i}" for i in range(count)]

    async def decide(self, ids: list[str], *, deferred: bool = False) -> None:
        asked = [{"decision_id": i, "deferred": deferred, "context": {"x": self._rng.random()}} for i in ids]
        again = self._rng.random() < 0.1
        for _ in range(1 + again):
            if len(ids) == 1:
                made = [await self.call("POST", "/v1/decisions", {"bandit_key": "hero"} | asked[0])]
            else:
                batch = {"bandit_key": "hero", "decisions": asked}
                made = (await self.call("POST", "/v1/decisions:batch", batch))["decisions"]
            for one in made:
                assert self._acknowledged.decisions.setdefault(one["decision_id"], one) == one

    async def report(self, decision_id: str, kind: str, *, counts: bool = True) -> None:
        """Send a reward event, some of them again."""
        value = self._rng.randrange(9) / 8  # sums of these are exact
        event_id = f"{decision_id}-{len(self._acknowledged.events)}"
        event = {"decision_id": decision_id, "kind": kind, "value": value, "event_id": event_id}
        await self.call("POST", "/v1/rewards", event)
        self._acknowledged.events[event_id] = event
        if counts:
            self._acknowledged.learned[decision_id].append(value)
        if self._rng.random() < 0.1:
            again = await self.call("POST", "/v1/rewards", {"rewards": [event, event]})
            assert [line["status"] for line in again["results"]] == ["duplicate", "duplicate"]

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        while True:
            with suppress(httpx2.TransportError):
                answer = await self._http.request(method, path, json=body)
                if answer.status_code != 503:
                    assert answer.is_success, answer.text
                    return answer.json()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def in_thread(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave it while the event loop goes on: the network runs there."""
    entered = await asyncio.to_thread(manager.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


@dataclass(frozen=True)
class World:
    """The service, the database behind a network, and callers in front."""

    rng: random.Random
    folder: Path
    database_url: str
    network: Network
    service: Running
    caller: Caller

    async def strike(self, kind: str) -> None:
        match kind:
            case "learner":
                self.service.learner.kill()
            case "API worker":
                self.rng.choice(self.service.workers).kill()
            case "PostgreSQL":
                postmaster = (self.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0]
                os.kill(int(postmaster), signal.SIGKILL)
            case "network cut":
                await self.network.cut()
            case "network silent":
                self.network.hold()
        if kind.startswith("network"):
            await asyncio.sleep(self.rng.uniform(0.05, 1.5))
            await self.network.mend()

    async def seconds_to_recover_from(self, kind: str) -> float:
        """Until a new decision is answered and learned, and everything that was killed runs again."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(RECOVERY_SECONDS):
                await self.strike(kind)
                (probe,) = self.caller.new_ids(1)
                await self.caller.decide([probe])
                await self.caller.report(probe, "order")
                while not await self.holds(_PUBLISHED, probe) or len(self.service.workers) < WORKERS:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"not recovered from {kind}; exit code of serve: {self.service.process.poll()}")
        return time.monotonic() - began

    async def holds(self, question: str, *arguments: Any) -> bool:
        """What the database itself says; no, while it is away."""
        with suppress(UnavailableError, *AWAY):
            connection = await connect(self.database_url)
            try:
                return bool(await connection.fetchval(question, *arguments))
            finally:
                await connection.close()
        return False


_PUBLISHED = """SELECT EXISTS (SELECT FROM training_log t JOIN model_versions m USING (bandit_key)
    WHERE t.decision_id = $1 AND m.trained_through_seq >= t.seq)"""
_ALL_SETTLED = """SELECT NOT EXISTS (SELECT FROM unsettled) AND (SELECT max(seq) FROM training_log)
    = (SELECT max(trained_through_seq) FROM model_versions)"""


async def survive(folder: Path, seed: int, kills: int) -> None:
    rng = random.Random(seed)
    kinds = KINDS + rng.choices(KINDS, k=kills - len(KINDS))
    rng.shuffle(kinds)
    acknowledged, done = Acknowledged(), asyncio.Event()

    async def play(caller: Caller) -> None:
        while not done.is_set():
            await caller.play()

    with minded_database(folder) as url:
        network = Network(url)
        await network.mend()
        options = ("--workers", str(WORKERS))
        async with (
            in_thread(serving(network.url, *options)) as service,
            httpx2.AsyncClient(base_url=service.url, timeout=10) as http,
            asyncio.TaskGroup() as group,
        ):
            caller = Caller(http, "prober", acknowledged)
            world = World(rng, folder, url, network, service, caller)
            await caller.call("POST", "/v1/bandits", BANDIT)
            for number in range(CLIENTS):
                group.create_task(play(Caller(http, f"caller-{seed}-{number}", acknowledged)))
            began, slowest = time.monotonic(), 0.0
            for kind in kinds:
                await asyncio.sleep(rng.uniform(0.0, 1.5))
                moment = time.monotonic() - began
                seconds = await world.seconds_to_recover_from(kind)
                print(f"{moment:7.2f} s  {kind:<14}  recovered in {seconds:5.2f} s")
                slowest = max(slowest, seconds)
            done.set()
            async with asyncio.timeout(2 * RECOVERY_SECONDS):
                while not await world.holds(_ALL_SETTLED):
                    await asyncio.sleep(0.1)
        versions = await assert_database_holds(url, acknowledged)
    print(
        f"seed {seed}: {len(acknowledged.decisions)} decisions, {len(acknowledged.events)} reward events, "
        f"{versions} model versions, {dict(Counter(kinds))}, slowest recovery {slowest:.2f} s"
    )


async def assert_database_holds(url: str, acknowledged: Acknowledged) -> int:
    """Everything that was acknowledged, once, and nothing else; the number of model versions."""
    database = Database(url, size=2)
    await database.open()
    async with database.connection() as connection:
        places = [
            tuple(row) for row in await connection.fetch("SELECT decision_id, decided_at FROM decisions")
        ]
        assert Counter(decision_id for decision_id, _ in places) == Counter(acknowledged.decisions.keys())
        logged = await decisions.fetch(connection, ConfigCache(), places)
        for decision_id, answer in acknowledged.decisions.items():
            one = logged[decision_id]
            assert (one.action.action_id, one.probability) == (
                answer["action"]["action_id"], answer["probability"],
            )  # fmt: skip

        rows = await connection.fetch("SELECT decision_id, kind, value, event_id FROM reward_events")
        assert len(rows) == len(acknowledged.events)
        assert {row["event_id"]: dict(row) for row in rows} == acknowledged.events

        log = await connection.fetch("SELECT seq, decision_id, reward FROM training_log ORDER BY seq")
        assert [row["seq"] for row in log] == list(range(1, len(log) + 1))
        assert len(log) == len(acknowledged.learned)
        assert {row["decision_id"]: row["reward"] for row in log} == {
            decision_id: sum(values) if values else DEFAULT_REWARD
            for decision_id, values in acknowledged.learned.items()
        }
        assert await connection.fetchval("SELECT count(*) FROM unsettled") == 0
        newest = await assert_newest_model_is_the_fold_of_its_log(connection)
    report = await audit.audit_everything(database, "hero")
    await database.close()
    assert report.difference is None
    assert report.decisions == len(logged)
    return newest.model_version


async def test_one_kill_of_each_kind(tmp_path: Path) -> None:
    await survive(tmp_path, seed=1, kills=len(KINDS))


@pytest.mark.faults
async def test_twenty_random_kills(tmp_path: Path) -> None:
    print()
    await survive(tmp_path, seed=int(os.environ.get("SEGBANDIT_FAULTS_SEED", "1")), kills=20)
