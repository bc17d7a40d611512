"""A bandit's own log, evaluated: from the service's decisions to a verdict on a model that it published."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from bandit.db.pool import Database
from bandit.errors import NotFoundError
from bandit.serving import saved_policy
from simulations import evaluate
from simulations.evaluation.values import Report
from simulations.logs.postgres import PostgresLog
from simulations.policies.targets import Static
from tests.conftest import Step
from tests.integration.helpers import create, decide, reward
from tests.integration.test_commands import in_thread

DEVICES = ("phone", "desktop")
EPSILON = {"exploration": {"algorithm": "epsilon_greedy", "epsilon": 0.6}}


async def lived(client: httpx2.AsyncClient, learn: Step, rounds: int) -> None:
    """Phones like b, others a."""
    for number in range(rounds):
        device = DEVICES[number % 2]
        made = await decide(client, context={"device": device}, subject=f"s-{number}")
        liked = made["action"]["action_id"] == ("b" if device == "phone" else "a")
        await reward(client, made["decision_id"], value=float(liked))
    assert await learn() == rounds


async def test_a_published_model_is_judged_by_what_it_never_saw(
    client: httpx2.AsyncClient,
    learn: Step,
    database: Database,
    tmp_path: Path,
) -> None:
    await create(client, policy=EPSILON, terminal_kinds=["reward"])
    await lived(client, learn, 300)
    await lived(client, learn, 300)
    policy, published = await saved_policy(database, "hero", 1)
    saved = Static("model:1", policy, learned_until=published)
    log = PostgresLog(database.url, "hero")
    report = await asyncio.to_thread(evaluate, log, saved, against="uniform")
    assert report.rounds == 300
    assert report.excluded == {"learned before the evaluation": 300}
    assert report.verdict.outcome == "better"

    written = tmp_path / "report.json"
    asked = ["--bandit", "hero", "--policy", "model:1", "--against", "uniform", "--json", str(written)]
    ran = await in_thread(database.url, "evaluate", *asked)
    assert ran.exit_code == 0, ran.output
    by_command = Report.of_json(written.read_bytes())
    assert by_command.estimates == report.estimates
    assert by_command.verdict == report.verdict


async def test_a_model_that_is_not_there(client: httpx2.AsyncClient, database: Database) -> None:
    await create(client)
    with pytest.raises(NotFoundError):
        await saved_policy(database, "hero", 7)
