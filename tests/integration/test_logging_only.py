"""Mode logging_only: what the caller chose is recorded, learned and evaluated, whatever we would do."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from bandit import audit
from bandit.db.pool import Connection, Database
from simulations import evaluate
from simulations.logs.postgres import PostgresLog
from tests.conftest import Step
from tests.integration.helpers import create, decide, logged, refused, reward


def told(action_id: str, probability: float = 1.0) -> dict[str, Any]:
    return {"logged_choice": {"action_id": action_id, "probability": probability}}


@pytest.mark.parametrize(
    "steering",
    [
        {"paused": True},
        {"killed_actions": ["b"]},
        {"killed_segments": ["two"]},
        {"constraints": [{"name": "adults", "actions": ["b"], "eligible_if": "context.age >= 18"}]},
        {"constraints": [{"name": "never b", "actions": ["b"], "ceiling": 0.0}]},
    ],
)
async def test_what_was_chosen_is_recorded_whatever_the_owner_wants_served(
    client: httpx2.AsyncClient, database: Database, learn: Step, steering: dict[str, Any]
) -> None:
    await create(client, mode="logging_only", terminal_kinds=["reward"], baseline_action="a", **steering)
    made = await decide(client, decision_id="d", **told("b", 0.25))
    assert (made["action"]["action_id"], made["probability"], made["mode"]) == ("b", 0.25, "logging_only")
    assert not made["explored"]
    await reward(client, "d")
    assert await learn() == 1
    assert (await logged(client, "d"))["settled"]["reward"] == 1.0
    assert (await audit.audit_everything(database, "hero")).difference is None
    without = await decide(client)
    assert without["action"]["action_id"] == "a", "the baseline, where nobody chose"
    assert without["mode"] == ("paused" if "paused" in steering else "logging_only")


async def test_what_the_request_itself_excludes_was_not_chosen(client: httpx2.AsyncClient) -> None:
    await create(client, mode="logging_only")
    body = {"bandit_key": "hero", "excluded_actions": ["b"], **told("b")}
    refused(await client.post("/v1/decisions", json=body), 422, "invalid_input", "logged_choice.action_id")


async def test_deferred_choices_count_once_shown(client: httpx2.AsyncClient, learn: Step) -> None:
    await create(client, mode="logging_only", terminal_kinds=["reward"])
    await decide(client, decision_id="d", deferred=True, **told("b", 0.5))
    await reward(client, "d")
    assert await learn() == 0
    await client.post("/v1/decisions/d/activate")
    assert await learn() == 1


async def test_it_is_learned_and_evaluated_by_the_callers_own_probabilities(
    client: httpx2.AsyncClient, connection: Connection, database: Database, learn: Step
) -> None:
    """The caller takes b three times in four, and b pays: online, b is what is served, and worth 1."""
    await create(client, mode="logging_only", terminal_kinds=["reward"])
    for i in range(400):
        choice = told("a", 0.25) if i % 4 == 0 else told("b", 0.75)
        made = await decide(client, context={"x": 0.5}, **choice)
        await reward(client, made["decision_id"], value=float(made["action"]["action_id"] == "b"))
    assert await learn() == 400
    log = PostgresLog(database.url, "hero")
    report = await asyncio.to_thread(evaluate, log, "fixed:b", against="logged")
    assert report.rounds == 400
    assert report.verdict.outcome == "better"
    estimate = next(one for one in report.estimates if one.estimator == "ips")
    assert estimate.value == pytest.approx(1.0, abs=0.05)
    assert await connection.fetchval("SELECT bool_and(mode = 'logging_only') FROM decisions")
    await client.patch("/v1/bandits/hero", json={"mode": "online"})
    pmf = {one["action_id"]: one["probability"] for one in (await decide(client))["action_probs"]}
    assert pmf["b"] > pmf["a"]
