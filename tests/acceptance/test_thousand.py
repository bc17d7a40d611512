"""A thousand trained bandits in one API process: their memory, and the cost of a decision beside one."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from statistics import mean, median
from typing import Any

import httpx2
import psutil
import pytest

from bandit.db.pool import Connection
from bandit.settings import Settings
from tests.processes import serving

BANDITS, EVENTS, BATCH, ROUNDS, ASKED = 1_000, 4_000, 200, 20, 50
LIMIT_BYTES = 1.5e9
ACTIONS = [
    {"action_id": f"a{i}", "features": {"price": i / 10, "kind": f"k{i % 3}", "new": i % 2 == 0}}
    for i in range(10)
]


def context(rng: random.Random) -> dict[str, Any]:
    """Ten features: five numbers, three texts, two booleans."""
    made: dict[str, Any] = {f"number{i}": round(rng.random(), 3) for i in range(5)}
    made |= {f"text{i}": rng.choice("abcdefgh") for i in range(3)}
    return made | {f"flag{i}": rng.random() < 0.5 for i in range(2)}


async def train(http: httpx2.AsyncClient, connection: Connection, rng: random.Random) -> None:
    body = {"bandit_key": "hero", "actions": ACTIONS, "terminal_kinds": ["reward"]}
    (await http.post("/v1/bandits", json=body)).raise_for_status()
    for _ in range(EVENTS // BATCH):
        decisions = [{"context": context(rng)} for _ in range(BATCH)]
        made = await http.post("/v1/decisions:batch", json={"bandit_key": "hero", "decisions": decisions})
        rewards = [
            {"decision_id": d["decision_id"], "value": float(rng.random() < 0.3)}
            for d in made.raise_for_status().json()["decisions"]
        ]
        (await http.post("/v1/rewards", json=rewards)).raise_for_status()
    while await connection.fetchval("SELECT max(trained_through_seq) FROM model_versions") != EVENTS:
        await http.get("/healthz")


async def copy(connection: Connection) -> None:
    """Give the trained bandit's configuration and model to the others."""
    for table, columns in [
        ("bandits", "config_version, newest_model_version, salt, created_at"),
        ("bandit_configs", "config_version, seal, config, terminal_kinds"),
        ("model_branches", "branch, state, config_version, newest_version, trained_through, reason"),
        (
            "model_versions",
            "model_version, branch, config_version, begins_after, trained_through_seq, resumes_after, "
            "learned, drifts, detector, sha256, weights_sha256, vw_version, vw_arguments, seal, weights",
        ),
    ]:
        newest = (
            "AND model_version = (SELECT max(model_version) FROM model_versions)"
            if table == "model_versions"
            else ""
        )
        await connection.execute(
            f"""INSERT INTO {table} (bandit_key, {columns})
                SELECT 'bandit-' || n, {columns} FROM {table}, generate_series(1, {BANDITS}) AS n
                WHERE bandit_key = 'hero' {newest}"""  # noqa: S608 our own names
        )


async def seconds(http: httpx2.AsyncClient, key: str, rng: random.Random) -> float:
    began = time.perf_counter()
    answer = await http.post("/v1/decisions", json={"bandit_key": key, "context": context(rng)})
    took = time.perf_counter() - began
    assert answer.json()["mode"] == "online"
    return took


@pytest.mark.slow
async def test_a_thousand_trained_bandits_fit_in_an_api_process(
    database_url: str, connection: Connection
) -> None:
    rng = random.Random(1)
    fit = int(Settings().model_memory / 1.7)
    keys = [f"bandit-{n}" for n in range(1, BANDITS + 1)]
    took: defaultdict[int, list[float]] = defaultdict(list)
    with serving(database_url) as service:
        api = psutil.Process(service.process.pid)
        async with httpx2.AsyncClient(base_url=service.url, timeout=20) as http:
            await train(http, connection, rng)
            await copy(connection)
            for number, key in enumerate(keys[:fit], start=1):
                await seconds(http, key, rng)
                if number in {1, 10, 100, fit}:
                    print(f"{number:5} loaded: {api.memory_info().rss >> 20} MiB")
            for _ in range(ROUNDS):  # in turns, for the machine is not always as fast
                for count in (1, 10, 100, fit):
                    took[count] += [await seconds(http, rng.choice(keys[:count]), rng) for _ in range(ASKED)]
            for _ in range(ROUNDS * ASKED):
                took[BANDITS].append(await seconds(http, rng.choice(keys), rng))
            for count, times in took.items():
                print(f"of {count:5} bandits: {1e3 * median(times):.2f} ms, mean {1e3 * mean(times):.2f} ms")
            print(f"{BANDITS:5} asked: {api.memory_info().rss >> 20} MiB")
            assert api.memory_info().rss < LIMIT_BYTES
            for key in keys[:3]:
                models = (await http.get(f"/v1/bandits/{key}/models")).raise_for_status().json()
                made = await http.post("/v1/decisions", json={"bandit_key": key})
                assert made.json()["model_version"] == models["served"]
