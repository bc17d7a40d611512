"""The commands that prove and change what serves, on a real database."""

from __future__ import annotations

import asyncio
import re

import httpx2
import pytest
from typer.testing import CliRunner, Result

from bandit.db import models
from bandit.db.pool import Connection
from cli.main import app
from tests.conftest import Step
from tests.integration.helpers import decide, reward
from tests.integration.test_audit import history


def run(database_url: str, *arguments: str) -> Result:
    environment = {"DATABASE_URL": database_url, "COLUMNS": "200"}
    return CliRunner().invoke(app, list(arguments), env=environment, catch_exceptions=False)


@pytest.fixture
async def filled(client: httpx2.AsyncClient, learn: Step) -> httpx2.AsyncClient:
    await history(client, learn)
    return client


async def in_thread(database_url: str, *arguments: str) -> Result:
    """Commands bring an event loop of their own."""
    return await asyncio.to_thread(run, database_url, *arguments)


@pytest.mark.usefixtures("filled")
async def test_audit_says_that_everything_comes_out_the_same(database_url: str) -> None:
    for options, looked_at in [
        ([], "46 decisions"),
        (["--sample", "7"], "7 decisions"),
        (["--decision", "d-7"], "1 decision"),
        (["--all"], "46 decisions, 3 model versions, 45 lines of the training log and 46 reward events"),
    ]:
        ran = await in_thread(database_url, "audit", "--bandit", "hero", *options)
        assert ran.exit_code == 0, ran.output
        assert f"hero: {looked_at}, made again: the same, bit for bit." in ran.output


@pytest.mark.usefixtures("filled")
async def test_audit_names_the_first_difference_and_fails(database_url: str, connection: Connection) -> None:
    await connection.execute("UPDATE decisions SET pmf[1] = 0.9 WHERE decision_id = 'd-7'")
    for options in (["--all"], ["--sample", "1000"], ["--decision", "d-7"]):
        ran = await in_thread(database_url, "audit", "--bandit", "hero", *options)
        assert ran.exit_code == 1
        assert "decision d-7: the log has 'changed or removed after it was written'" in ran.output
    ran = await in_thread(database_url, "audit", "--bandit", "hero", "--decision", "d-8")
    assert ran.exit_code == 0


@pytest.mark.usefixtures("filled")
async def test_audit_of_what_is_not_there_fails(database_url: str) -> None:
    for options in (["--bandit", "nobody"], ["--bandit", "hero", "--decision", "nothing"]):
        ran = await in_thread(database_url, "audit", *options)
        assert ran.exit_code == 1
        assert "expected" in ran.output


async def test_rebuild_proves_the_weights_that_serve_and_publishes_others(
    filled: httpx2.AsyncClient, database_url: str, connection: Connection
) -> None:
    ran = await in_thread(database_url, "rebuild", "--bandit", "hero")
    assert ran.exit_code == 0, ran.output
    assert "45 events" in ran.output
    assert "They are those of model 3: difference 0.0." in ran.output
    ran = await in_thread(
        database_url, "rebuild", "--bandit", "hero", "--without-subject", "s-1", "--publish"
    )
    assert "11 left out" in ran.output
    found = re.search(r"Published as model (\d+)", ran.output)
    assert found is not None
    listed = await in_thread(database_url, "models", "list", "hero")
    assert "hero serves model 3, under configuration 1." in listed.output
    assert "candidate" in listed.output
    promoted = await in_thread(database_url, "models", "promote", "hero", found[1])
    assert f"hero serves model {found[1]}, under configuration 2." in promoted.output
    rolled_back = await in_thread(database_url, "models", "rollback", "hero", "1")
    assert "hero serves model 1 until something is promoted" in rolled_back.output
    await models.prune(connection, keep=0, every=1_000)
    pruned = await connection.fetch("SELECT model_version FROM model_versions WHERE weights IS NULL")
    assert [row["model_version"] for row in pruned] == [2]
    restored = await in_thread(database_url, "models", "rollback", "hero", "2")
    assert "hero serves model 2 until something is promoted" in restored.output
    await filled.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest
    assert (await decide(filled))["model_version"] == 2
    assert (await in_thread(database_url, "audit", "--bandit", "hero", "--all")).exit_code == 0


@pytest.mark.usefixtures("filled")
async def test_rebuild_fails_where_the_log_was_changed(database_url: str, connection: Connection) -> None:
    # an event that was counted, and what it gave, in step: only the weights still tell
    await connection.execute("UPDATE decisions SET context = '{}' WHERE decision_id = 'd-2'")
    ran = await in_thread(database_url, "rebuild", "--bandit", "hero")
    assert ran.exit_code == 1
    assert "expected the weights of model 3" in ran.output


async def test_rebuild_takes_a_late_reward(
    filled: httpx2.AsyncClient, database_url: str, connection: Connection
) -> None:
    row = await connection.fetchrow("SELECT decision_id FROM training_log WHERE reward < 0.5 LIMIT 1")
    assert row is not None
    early = "2026-01-01T00:00:00Z"
    await reward(filled, row["decision_id"], event_id="late", occurred_at=early)
    ran = await in_thread(database_url, "rebuild", "--bandit", "hero")
    assert ran.exit_code == 0
    assert "1 with another reward than was learned" in ran.output
    assert "difference 0.0" not in ran.output


@pytest.mark.usefixtures("filled")
async def test_explain_shows_the_sentence_and_what_moved_the_score(
    database_url: str, client: httpx2.AsyncClient
) -> None:
    made = await decide(client, context={"half": "low", "[red]": "[/x]"}, decision_id="here")
    found = await in_thread(database_url, "explain", "here")
    assert found.exit_code == 0, found.output
    assert found.output.startswith("This was chosen ")
    assert f"hero chose {made['action']['action_id']} with probability" in found.output
    assert "[/x]" in found.output
