"""Two machines on one database behave as one service: same answers, one writer per bandit, one truth."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterable

import httpx2

from bandit import audit
from bandit.db.pool import Connection, Database
from tests.faults.test_random_kills import killed
from tests.integration.helpers import ACTIONS, create, decide, logged, reward
from tests.integration.test_learner import assert_newest_model_is_the_fold_of_its_log
from tests.processes import Running, serving
from tests.workers import every_worker

KEYS = ["hero", "banner", "footer"]


def http_of(service: Running) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=service.url, timeout=20)


async def test_an_id_has_one_answer_and_an_event_counts_once(database_url: str) -> None:
    with serving(database_url, "--workers", "2") as one, serving(database_url) as other:
        async with http_of(one) as here, http_of(other) as there:
            await create(
                here,
                reward={"kinds": {"click": {}, "done": {"weight": 0}}, "clip": [0, 10]},
                terminal_kinds=["done"],
            )
            for number in range(20):
                name = {"decision_id": f"d-{number}"}
                answers = await asyncio.gather(*(decide(http, **name) for http in (here, there) * 2))
                assert answers == [answers[0]] * 4
            for number in range(20):
                sent = {"decision_id": f"d-{number}", "kind": "click"}
                same = {**sent, "event_id": f"{number}-both"}
                lines = await asyncio.gather(*(reward(http, **same) for http in (here, there) * 2))
                assert sorted(line["status"] for line in lines) == ["accepted"] + ["duplicate"] * 3
                await reward(here, **sent, event_id=f"{number}-here")
                await reward(there, **sent, event_id=f"{number}-there")
                await asyncio.gather(
                    *(
                        reward(http, **sent | {"kind": "done", "event_id": f"{number}"})
                        for http in (here, there)
                    )
                )
            for number in range(20):
                async with asyncio.timeout(20):
                    while (settled := (await logged(there, f"d-{number}"))["settled"]) is None:
                        await asyncio.sleep(0.02)
                assert settled["reward"] == 3.0
                assert await logged(here, f"d-{number}") == await logged(there, f"d-{number}")


async def play(clients: Iterable[httpx2.AsyncClient], rounds: int = 5) -> None:
    """Decisions of all bandits, by one machine, each rewarded at the next."""
    everybody = list(clients)
    for turn in range(rounds):
        for place, key in enumerate(KEYS):
            decides, rewards = everybody[(turn + place) % len(everybody)], everybody[turn % len(everybody)]
            made = await decide(decides, bandit_key=key, context={"x": turn / rounds})
            await reward(rewards, made["decision_id"], value=float(made["action"]["action_id"] == "b"))


async def learners(connection: Connection) -> dict[str, int]:
    """The connection that holds each bandit's lock, by its process id on the server."""
    rows = await connection.fetch(
        """SELECT bandit_key, l.pid FROM bandits
           JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (l.classid::bigint << 32) | l.objid::bigint
                    = hashtextextended('segbandit:' || bandit_key, 0)"""
    )
    assert len({row["bandit_key"] for row in rows}) == len(rows), "one learner per bandit"
    return {row["bandit_key"]: row["pid"] for row in rows}


async def everything_is_learned(connection: Connection) -> None:
    async with asyncio.timeout(20):
        while await connection.fetchval("SELECT count(*) FROM unsettled"):
            await asyncio.sleep(0.02)


async def assert_one_line_of_descent(connection: Connection, database: Database) -> None:
    for key in KEYS:
        rows = await connection.fetch(
            """SELECT model_version, parent, trained_through_seq FROM model_versions WHERE bandit_key = $1
               ORDER BY model_version""",
            key,
        )
        assert [row["model_version"] for row in rows] == list(range(1, len(rows) + 1))
        assert [row["parent"] for row in rows] == [None, *range(1, len(rows))]
        places = [row["trained_through_seq"] for row in rows]
        assert places == sorted(set(places))
        log = await connection.fetch("SELECT seq FROM training_log WHERE bandit_key = $1 ORDER BY seq", key)
        assert [row["seq"] for row in log] == list(range(1, places[-1] + 1))
        assert (await audit.audit_everything(database, key)).difference is None
    await assert_newest_model_is_the_fold_of_its_log(connection)


async def test_one_learner_writes_a_bandit_and_the_other_machines_takes_over(
    database_url: str, database: Database, connection: Connection
) -> None:
    with serving(database_url, "--workers", "2", publish_seconds=0.05) as one:
        async with http_of(one) as here:
            for key in KEYS:
                await create(here, bandit_key=key, terminal_kinds=["reward"])
            await play([here])
            await everything_is_learned(connection)
            first = await learners(connection)
            assert set(first) == set(KEYS)
            with serving(database_url, publish_seconds=0.05) as other:
                async with http_of(other) as there:
                    await play([here, there], rounds=10)
                    await everything_is_learned(connection)
                    assert await learners(connection) == first, "the second machine's learner stands by"

                    os.kill(one.process.pid, signal.SIGSTOP)  # so that it cannot start another at once
                    try:
                        dead = one.learner
                        dead.kill()
                        await play([there], rounds=10)
                        await everything_is_learned(connection)
                        second = await learners(connection)
                        assert set(second) == set(KEYS)
                        assert not set(second.values()) & set(first.values())
                    finally:
                        os.kill(one.process.pid, signal.SIGCONT)
                    async with asyncio.timeout(20):
                        while not one.learners or one.learner.pid == dead.pid:
                            await asyncio.sleep(0.05)
                    await play([here, there], rounds=10)
                    await everything_is_learned(connection)
                    assert await learners(connection) == second, "and the first machine's new one does so now"

                    await killed(other.learner)  # its own serve and the other machine race to go on
                    await play([here, there], rounds=10)
                    await everything_is_learned(connection)
                    assert set(await learners(connection)) == set(KEYS)
    await assert_one_line_of_descent(connection, database)


async def test_models_and_configurations_reach_every_process_of_every_machine(database_url: str) -> None:
    with (
        serving(database_url, "--workers", "2", publish_seconds=0.05) as one,
        serving(database_url, publish_seconds=0.05) as other,
    ):
        here, there = http_of(one), http_of(other)
        await create(here, terminal_kinds=["reward"])
        everybody = [*await every_worker(one), here, there]
        took = []

        async def seen_by_all(field: str, wanted: object) -> None:
            began = time.monotonic()
            async with asyncio.timeout(10):
                while {(await decide(http))[field] for http in everybody} != {wanted}:
                    await asyncio.sleep(0.01)
            took.append(time.monotonic() - began)

        for version in (1, 2, 3):  # learned by whichever machine, from rewards sent to either
            made = await decide(everybody[version])
            await reward((here, there)[version % 2], made["decision_id"])
            await seen_by_all("model_version", version)
        for http, version, how in [(there, 1, "rollback"), (here, 3, "promote"), (here, 2, "rollback")]:
            answer = await http.post(f"/v1/bandits/hero/models/{version}:{how}")
            assert answer.status_code == 200
            await seen_by_all("model_version", answer.json()["served"])
        for http, mode in [(there, "apprentice"), (here, "online")]:
            assert (await http.patch("/v1/bandits/hero", json={"mode": mode})).status_code == 200
            await seen_by_all("mode", mode)
        fewer = {"actions": ACTIONS[:1]}
        assert (await there.patch("/v1/bandits/hero", json=fewer)).status_code == 200
        await seen_by_all("probability", 1.0)
        for http in everybody:
            await http.aclose()
    print(f"every process of both machines followed within {max(took):.3f} s")
    assert sorted(took)[len(took) // 2] < 1.0, "that is what was promised, and takes some hundredths"
