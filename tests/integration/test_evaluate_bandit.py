"""A bandit's own log, evaluated: from the service's decisions to a verdict on a model that it published."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from bandit import catalogue
from bandit.db.pool import Database
from bandit.errors import NotFoundError
from bandit.serving import saved_policy
from bandit.steering import Constraint
from simulations import evaluate
from simulations.evaluation.values import Report
from simulations.logs.postgres import PostgresLog
from simulations.policies.targets import Static
from tests.conftest import Step
from tests.integration.helpers import AUTHOR, create, decide, reward
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


BOOST = {"name": "push c", "actions": ["c"], "multiplier": 10.0, "if": "context.device == 'phone'"}


async def test_what_a_boost_costs_is_said_of_every_form_of_the_log(
    client: httpx2.AsyncClient, learn: Step, database: Database, tmp_path: Path
) -> None:
    """Phones like b and are pushed c, which earns nothing; the boost's true cost is in the report."""
    await create(client, policy=EPSILON, terminal_kinds=["reward"], boosts=[BOOST])
    await lived(client, learn, 300)
    await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest
    await lived(client, learn, 300)
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT pmf, unboosted FROM decisions WHERE unboosted IS NOT NULL")
    truth = sum(row["unboosted"][1] - row["pmf"][1] for row in rows) / 600
    found = []
    for place in ("hero.parquet", "hero.dsjson", None):
        asked = ["--bandit", "hero"]
        if place is not None:
            ran = await in_thread(database.url, "export", "hero", "--to", str(tmp_path / place))
            assert ran.exit_code == 0, ran.output
            asked = [str(tmp_path / place)]
        written = tmp_path / "report.json"
        ran = await in_thread(database.url, "evaluate", *asked, "--policy", "uniform", "--json", str(written))
        assert ran.exit_code == 0, ran.output
        boosts = Report.of_json(written.read_bytes()).boosts
        assert boosts is not None
        assert boosts.sentence in ran.output
        found.append(boosts)
    assert found[0] == found[1] == found[2]
    assert (found[0].boosted, found[0].rounds) == (300, 600)
    cost = found[0].cost
    assert cost is not None
    assert cost.low is not None
    assert cost.high is not None
    assert 0.0 < cost.low < truth < cost.high


async def test_a_published_model_is_evaluated_as_it_would_be_served_now(
    client: httpx2.AsyncClient, learn: Step, database: Database, tmp_path: Path
) -> None:
    """With action b killed, phones get what earns them nothing."""
    await create(client, policy=EPSILON, terminal_kinds=["reward"])
    await lived(client, learn, 300)
    await lived(client, learn, 300)
    values = []
    for constraints in ([], [Constraint(name="no b", actions=["b"], ceiling=0.0)]):
        await catalogue.change(database, "hero", {"constraints": constraints}, AUTHOR)
        written = tmp_path / "report.json"
        asked = ["--bandit", "hero", "--policy", "model:1", "--json", str(written)]
        ran = await in_thread(database.url, "evaluate", *asked)
        assert ran.exit_code == 0, ran.output
        values.append(Report.of_json(written.read_bytes()).estimates[0].value or 0.0)
    assert values[1] < values[0] - 0.1
