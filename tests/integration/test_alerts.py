"""Collapse alerts: raised once, kept up to date, cleared, whoever learns."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
import structlog

from bandit import alerts, catalogue
from bandit.db import alerts as open_alerts
from bandit.db.pool import Connection, Database
from bandit.steering import Finding
from tests.conftest import Step
from tests.integration.helpers import AUTHOR, create, refused
from tests.integration.test_commands import in_thread
from tests.integration.test_learner import step_of_a_new_learner
from tests.measured import Measured

GREEDY = {"exploration": {"algorithm": "epsilon_greedy", "epsilon": 0.0}}
FAIR = {"exploration": {"algorithm": "epsilon_greedy", "epsilon": 1.0}}
BOUNDS = {"segment_share": 0.05, "action_share": 0.05, "entropy": 0.1, "decisions": 100}


async def play(client: httpx2.AsyncClient, rounds: int = 100) -> None:
    body = {"bandit_key": "hero", "decisions": [{"context": {"x": 1}}] * rounds}
    made = (await client.post("/v1/decisions:batch", json=body)).json()["decisions"]
    rewards = [
        {"decision_id": each["decision_id"], "value": float(each["action"]["action_id"] == "a")}
        for each in made
    ]
    await client.post("/v1/rewards", json={"rewards": rewards})


async def listed(client: httpx2.AsyncClient, **parameters: int) -> dict[str, Any]:
    answer = await client.get("/v1/bandits/hero/alerts", params=parameters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def collapsed(client: httpx2.AsyncClient, database_url: str) -> None:
    """Each learner lives for one step; the greedy policy sticks to action a as soon as it pays."""
    await create(
        client, terminal_kinds=["reward"], policy=GREEDY, alerts=BOUNDS, exploration_floor=1e-4,
    )  # fmt: skip
    for _ in range(4):
        await play(client, 60)
        assert await step_of_a_new_learner(database_url) == 60
        await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest


async def test_a_collapse_is_raised_once_whoever_learns_and_cleared_when_it_is_over(
    client: httpx2.AsyncClient, database_url: str, connection: Connection
) -> None:
    with structlog.testing.capture_logs() as said:
        await collapsed(client, database_url)
    found = await listed(client)
    assert {(one["kind"], one["target"]) for one in found["open"]} == {
        ("action_share", "b"), ("action_share", "c"), ("segment_share", "two"), ("entropy", "")
    }  # fmt: skip
    assert (found["past"], found["next_before"]) == ([], None)
    one = next(one for one in found["open"] if one["target"] == "two")
    assert one["value"] < one["bound"] == 0.025
    assert one["sentence"].startswith("The share of segment 'two' while it is offered is ")
    raised = [line for line in said if line["event"] == "alert raised"]
    assert len(raised) == len(found["open"])
    assert all(line["log_level"] == "warning" for line in raised)

    assert (await client.patch("/v1/bandits/hero", json={"policy": FAIR})).status_code == 200
    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            await play(client)
            await step_of_a_new_learner(database_url)
    assert len([line for line in said if line["event"] == "alert cleared"]) == 4
    found = await listed(client)
    assert found["open"] == []
    assert len(found["past"]) == 4
    assert all(one["cleared_at"] > one["raised_at"] for one in found["past"])
    assert await connection.fetchval("SELECT count(*) FROM alerts") == 4


async def test_a_killed_action_has_no_open_alert(
    client: httpx2.AsyncClient, database: Database, database_url: str
) -> None:
    await collapsed(client, database_url)
    await catalogue.change(database, "hero", {"killed_actions": ["b"]}, AUTHOR)
    await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest
    await play(client, 10)
    await step_of_a_new_learner(database_url)
    assert "b" not in {one["target"] for one in (await listed(client))["open"]}


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "apprentice"},
        {"mode": "logging_only"},
        {"paused": True},
        {"killed_actions": ["b", "c"]},
        {"alerts": {"segment_share": None, "entropy": None}},
    ],
)
async def test_a_change_that_ends_what_was_watched_clears_its_alerts_without_another_decision(
    client: httpx2.AsyncClient, database_url: str, fields: dict[str, Any]
) -> None:
    await collapsed(client, database_url)
    assert (await client.patch("/v1/bandits/hero", json=fields)).status_code == 200
    assert await step_of_a_new_learner(database_url) == 0
    found = await listed(client)
    assert (found["open"], len(found["past"])) == ([], 4)
    measured = Measured((await client.get("/metrics")).text)
    assert measured.value("segbandit_open_alerts", kind="action_share") == 0.0


async def test_a_change_leaves_open_what_is_watched_on(client: httpx2.AsyncClient, database_url: str) -> None:
    await collapsed(client, database_url)
    before = (await listed(client))["open"]
    assert (await client.patch("/v1/bandits/hero", json={"reward_wait": 7.0})).status_code == 200
    await step_of_a_new_learner(database_url)
    assert (await listed(client))["open"] == before


async def test_open_alerts_are_counted_by_kind(
    client: httpx2.AsyncClient, database_url: str, learn: Step
) -> None:
    await collapsed(client, database_url)
    await learn()
    measured = Measured((await client.get("/metrics")).text)
    assert measured.value("segbandit_open_alerts", kind="action_share") == 2.0
    assert measured.value("segbandit_open_alerts", kind="drift") == 0.0


async def test_past_alerts_come_page_by_page(client: httpx2.AsyncClient, database: Database) -> None:
    await create(client)
    for value in (0.1, 0.2, 0.3):
        for alarming in (True, False):
            found = Finding(kind="drift", value=value, bound=0.05, alarming=alarming)
            async with database.transaction() as connection:
                await alerts.report(connection, "hero", 7, ["drift"], [found])
    page = await listed(client, limit=2)
    assert [one["value"] for one in page["past"]] == [0.3, 0.2]
    page = await listed(client, limit=2, before=page["next_before"])
    assert ([one["value"] for one in page["past"]], page["next_before"]) == ([0.1], None)
    refused(await client.get("/v1/bandits/nobody/alerts"), 404, "not_found", "bandit_key")
    refused(await client.get("/v1/bandits/hero/alerts?limit=0"), 422, "invalid_input", "limit")


async def test_drift_is_an_alert_until_as_many_decisions_passed_without_more(
    client: httpx2.AsyncClient, database: Database, database_url: str
) -> None:
    await create(client, terminal_kinds=["reward"], alerts=BOUNDS | {"entropy": None})
    await play(client, 50)
    await step_of_a_new_learner(database_url)
    for after in (0.2, 0.1):
        async with database.transaction() as connection:
            await alerts.drifted(connection, "hero", 50, before=0.4, after=after)
    (one,) = (await listed(client))["open"]
    assert one["sentence"].startswith(
        "The mean reward fell to 10 % of its range, where 40 % was usual, since "
    )
    for still_open in (1, 0):
        await play(client, 60)
        await step_of_a_new_learner(database_url)
        drifts = [each for each in (await listed(client))["open"] if each["kind"] == "drift"]
        assert len(drifts) == still_open


async def test_the_command_says_them_in_words(
    client: httpx2.AsyncClient, database: Database, database_url: str
) -> None:
    await create(client)
    ran = await in_thread(database_url, "bandits", "alerts")
    assert ran.output == "No open alerts.\n"
    async with database.transaction() as connection:
        found = Finding(kind="action_share", target="[b]", value=0.001, bound=0.01, alarming=True)
        await alerts.report(connection, "hero", 7, ["action_share"], [found])
    for arguments in (["hero"], []):
        ran = await in_thread(database_url, "bandits", "alerts", *arguments)
        assert (
            "open hero: The share of action '[b]' while it is offered is 0.1 %, below 1 %, since"
            in ran.output
        )
    async with database.transaction() as connection:
        await alerts.report(connection, "hero", 8, ["action_share"], [])
    ran = await in_thread(database_url, "bandits", "alerts", "hero")
    assert (
        "No open alerts.\nover hero: The share of action '[b]' while it is offered was below 1 % from"
        in ran.output
    )
    assert "UTC; last measured: 0.1 %." in ran.output


async def test_two_at_once_raise_one(client: httpx2.AsyncClient, database: Database) -> None:
    await create(client)
    found = Finding(kind="drift", value=0.3, bound=0.05, alarming=True)

    async def raise_one() -> None:
        async with database.transaction() as connection:
            await open_alerts.raise_(connection, "hero", 7, found)

    await asyncio.gather(*(raise_one() for _ in range(4)))
    assert len((await listed(client))["open"]) == 1
