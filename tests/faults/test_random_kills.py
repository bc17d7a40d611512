"""Learner, API workers, PostgreSQL and network die at random moments: nothing is lost or counted twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psutil
import pytest

from bandit import audit
from bandit.db import decisions
from bandit.db.bandits import ConfigCache
from bandit.db.pool import AWAY, Database, connect
from bandit.errors import UnavailableError
from tests.faults.callers import Acknowledged, Caller
from tests.integration.test_learner import assert_newest_model_is_the_fold_of_its_log
from tests.processes import Running, minded_database, serving
from tests.proxy import Network

T = TypeVar("T")
CALLERS, WORKERS = 6, 2
RECOVERY_SECONDS = 10.0
DEFAULT_REWARD = 0.125
KINDS = ["learner", "API worker", "PostgreSQL", "network cut", "network silent"]
BANDIT = {
    "bandit_key": "hero",
    "actions": [{"action_id": action_id} for action_id in "abcd"],
    "reward": {"kinds": {"click": {}, "order": {}}, "clip": [0.0, 8.0]},
    "terminal_kinds": ["order"],
    "default_reward": DEFAULT_REWARD,
    "reward_wait": RECOVERY_SECONDS,  # so clicks that are sent at once count, whatever is killed meanwhile
}


async def test_one_kill_of_each_kind(tmp_path: Path) -> None:
    await survive(tmp_path, seed=1, kills=len(KINDS))


@pytest.mark.faults
async def test_twenty_random_kills(tmp_path: Path) -> None:
    await survive(tmp_path, seed=int(os.environ.get("SEGBANDIT_FAULTS_SEED", "1")), kills=20)


async def survive(folder: Path, seed: int, kills: int) -> None:
    """Play while the kills happen; then everything that was acknowledged is there, once."""
    rng = random.Random(seed)
    kinds = KINDS + rng.choices(KINDS, k=kills - len(KINDS))
    rng.shuffle(kinds)
    acknowledged, done = Acknowledged(), asyncio.Event()

    async def play(caller: Caller) -> None:
        while not done.is_set():
            await caller.play()

    log = folder / "service.log"
    async with (
        in_thread(minded_database(folder, log=log)) as url,
        Network(url) as network,
        in_thread(serving(network.url, "--workers", str(WORKERS), log=log, publish_seconds=0.05)) as service,
        httpx2.AsyncClient(base_url=service.url, timeout=10) as http,
    ):
        probe = Caller(http, "probe", acknowledged)
        await probe.call("POST", "/v1/bandits", BANDIT)
        killer = Killer(rng, folder, url, network, service, probe)
        print(f"\nseed {seed}, what the service says is in {log}")
        async with asyncio.TaskGroup() as group:
            for number in range(CALLERS):
                group.create_task(play(Caller(http, f"{seed}-{number}", acknowledged)))
            slowest = await killer.kill_all(kinds)
            done.set()
        async with asyncio.timeout(2 * RECOVERY_SECONDS):
            while not await killer.holds(_ALL_SETTLED):
                await asyncio.sleep(0.1)
        versions = await assert_database_holds(url, acknowledged)
    print(
        f"{len(acknowledged.decisions)} decisions, {len(acknowledged.events)} reward events, {versions} model"
        f" versions, {dict(Counter(kinds))}, slowest recovery {slowest:.2f} s"
    )


@dataclass(frozen=True)
class Killer:
    """Kills, and waits until the service has recovered."""

    rng: random.Random
    folder: Path
    database_url: str
    network: Network
    service: Running
    probe: Caller

    async def kill_all(self, kinds: list[str]) -> float:
        """The seconds of the slowest recovery."""
        began, slowest = time.monotonic(), 0.0
        for kind in kinds:
            await asyncio.sleep(self.rng.uniform(0.0, 1.5))
            start = time.monotonic()
            try:
                async with asyncio.timeout(RECOVERY_SECONDS):
                    await self.kill(kind)
                    await self.recovered()
            except TimeoutError:
                pytest.fail(f"not recovered from {kind}; serve ended with {self.service.process.poll()}")
            seconds = time.monotonic() - start
            print(f"{start - began:7.2f} s  {kind:<14}  recovered in {seconds:5.2f} s", flush=True)
            slowest = max(slowest, seconds)
        return slowest

    async def kill(self, kind: str) -> None:
        match kind:
            case "learner":
                await killed(self.service.learner)
            case "API worker":
                await killed(self.rng.choice(self.service.workers))
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

    async def recovered(self) -> None:
        """A new decision is answered, and its reward learned and published; all processes run."""
        (decision_id,) = self.probe.new_ids(1)
        await self.probe.decide([decision_id])
        await self.probe.report(decision_id, "order")
        while not await self.holds(_PUBLISHED, decision_id) or len(self.service.workers) < WORKERS:
            assert not await self.holds(_TORN)
            await asyncio.sleep(0.05)

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
#: At no moment is a decision both settled and waiting, or the log at another place than cursor and model.
_TORN = """SELECT EXISTS (SELECT FROM training_log JOIN unsettled USING (decision_id))
    OR (SELECT max(seq) FROM training_log) IS DISTINCT FROM
       (SELECT max(trained_through_seq) FROM model_versions)
    OR (SELECT coalesce(max(seq), 0) FROM training_log) <> (SELECT trained_through FROM model_branches)"""
_ALL_SETTLED = "SELECT NOT EXISTS (SELECT FROM unsettled)"


async def assert_database_holds(url: str, acknowledged: Acknowledged) -> int:
    """What was acknowledged, once, and nothing else; the newest model version."""
    database = Database(url, size=2)
    await database.open()
    async with database.connection() as connection:
        places = [
            tuple(row) for row in await connection.fetch("SELECT decision_id, decided_at FROM decisions")
        ]
        logged = await decisions.fetch(connection, ConfigCache(), places)
        assert len(places) == len(acknowledged.decisions)
        assert {i: (one.action.action_id, one.probability) for i, one in logged.items()} == {
            i: (answer["action"]["action_id"], answer["probability"])
            for i, answer in acknowledged.decisions.items()
        }
        events = await connection.fetch("SELECT decision_id, kind, value, event_id FROM reward_events")
        assert len(events) == len(acknowledged.events)
        assert {row["event_id"]: dict(row) for row in events} == acknowledged.events

        log = await connection.fetch("SELECT seq, decision_id, reward FROM training_log ORDER BY seq")
        assert [row["seq"] for row in log] == list(range(1, len(acknowledged.learned) + 1))
        assert {row["decision_id"]: row["reward"] for row in log} == {
            i: sum(values) if values else DEFAULT_REWARD for i, values in acknowledged.learned.items()
        }
        newest = await assert_newest_model_is_the_fold_of_its_log(connection)
    report = await audit.audit_everything(database, "hero")
    await database.close()
    assert report.difference is None
    assert report.decisions == len(logged)
    return newest.model_version


async def killed(process: psutil.Process) -> None:
    """Kill it; back when its parent has noticed."""
    process.kill()
    await asyncio.to_thread(process.wait)


@asynccontextmanager
async def in_thread(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave it while the event loop, in which the network runs, goes on."""
    entered = await asyncio.to_thread(manager.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)
