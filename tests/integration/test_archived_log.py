"""What is left of a log after its beginning was archived: still proved, still learned from, or refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx2
import pytest

from bandit import audit
from bandit.db import bandits, models
from bandit.db.pool import Connection, Database
from bandit.errors import ArchivedError, InvalidInputError
from bandit.rebuild import rebuild, restore
from tests.conftest import Step
from tests.integration.days import LATER, NEXT, POLICY, archived, happen, sorted_out, swapped, two_days
from tests.integration.helpers import refused, reward
from tests.integration.test_branches import (
    overview,
    patch,
    play_for_the_baseline,
    promote_what_is_dull,
    settled_long_enough,
    states,
    switch,
)
from tests.integration.test_learner import (
    assert_newest_model_is_the_fold_of_its_log,
    step_of_a_new_learner,
)

pytestmark = pytest.mark.usefixtures("old_partitions")


async def test_everything_left_is_audited_and_the_rest_is_said(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, tmp_path: Path
) -> None:
    await two_days(client, database, connection, learn)
    await archived(connection, tmp_path, today=NEXT + timedelta(days=1))
    assert await bandits.archived_through(connection, "hero") == 40
    # Model 5 has learned 60 lines and needs those after 45: the first that what is left of the log allows.
    report = await audit.audit_everything(database, "hero")
    assert report == audit.AuditReport(
        bandit_key="hero", decisions=30, model_versions=1, training_events=30, reward_events=30,
        archived_events=40, archived_versions=5,
    )  # fmt: skip
    await models.prune(connection, keep=0, every=1_000)
    kept = "SELECT model_version FROM model_versions WHERE weights IS NOT NULL ORDER BY 1"
    assert [row[0] for row in await connection.fetch(kept)] == [5, 6], "5, to go on from"
    report = await audit.audit_everything(database, "hero")
    assert report.difference is None
    assert (report.decisions, report.archived_decisions) == (10, 20), "models 3 and 4 are gone for good"
    sample = await audit.audit_sample(database, "hero", 100)
    assert (sample.decisions, sample.archived_decisions, sample.difference) == (10, 20, None)
    of_model_3 = await connection.fetchval("SELECT min(decision_id) FROM decisions")
    with pytest.raises(ArchivedError, match="begins at line 41"):
        await audit.audit_decision(database, of_model_3)
    refused(await client.get(f"/v1/decisions/{of_model_3}/audit"), 409, "archived", "training_log[1]")

    await happen(database, connection, NEXT, 10, start=30)
    await learn()
    await models.prune(connection, keep=0, every=1_000)
    assert (await audit.audit_everything(database, "hero")).model_versions == 2
    await restore(database, "hero", 6)
    with pytest.raises(ArchivedError, match=f"older lines are in {tmp_path} as Parquet"):
        await restore(database, "hero", 4)


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        ("UPDATE training_log SET reward = 1 - reward WHERE seq = 65", "training_log[65]"),
        ("DELETE FROM training_log WHERE seq = 43", "decision"),
        ("WITH gone AS (DELETE FROM training_log WHERE seq = 43 RETURNING decision_id) "
         "DELETE FROM decisions WHERE decision_id IN (SELECT decision_id FROM gone)", "training_log[43]"),
        ("DELETE FROM decisions WHERE decision_id = (SELECT decision_id FROM training_log WHERE seq = 43)",
         "decision"),
        ("UPDATE model_versions SET weights = set_byte(weights, 400, 7) WHERE model_version = 5",
         "model 5: bytes"),
        ("UPDATE model_versions SET weights = set_byte(weights, 400, 7) WHERE model_version = 2",
         "model 2: bytes"),
        ("UPDATE model_versions SET weights_sha256 = 'x' WHERE model_version = 2", "model 2"),
        ("UPDATE decisions SET context = '{}' WHERE model_version = 5", "decision"),
    ],
)  # fmt: skip
async def test_what_is_changed_by_hand_is_found_as_before(
    client: httpx2.AsyncClient,
    database: Database,
    connection: Connection,
    learn: Step,
    tmp_path: Path,
    edit: str,
    named: str,
) -> None:
    await two_days(client, database, connection, learn)
    await archived(connection, tmp_path, today=NEXT + timedelta(days=1))
    await connection.execute(edit)
    found = (await audit.audit_everything(database, "hero")).difference
    assert found is not None
    assert found.target.startswith(named)


async def test_a_rebuild_goes_on_from_a_version_or_learns_what_is_left(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, tmp_path: Path
) -> None:
    await two_days(client, database, connection, learn)
    await archived(connection, tmp_path, today=NEXT + timedelta(days=1))
    same = await rebuild(database, "hero")
    assert (same.resumed_from, same.after, same.through) == (5, 60, 70)
    assert (same.same_as, same.equal, same.published) == (6, True, None)
    for through in (30, 40, 50):
        with pytest.raises(ArchivedError, match="begins at line 41"):
            await rebuild(database, "hero", through=through)
    with pytest.raises(InvalidInputError):
        await rebuild(database, "hero", through=71)
    late = await connection.fetchval("SELECT decision_id FROM training_log WHERE seq = 50")
    await reward(client, late, event_id="c", corrects=f"e-{late}", value=0.7)
    found = await rebuild(database, "hero", publish=True)
    assert (found.resumed_from, found.after, found.revised, found.equal) == (None, 40, 1, None)
    await switch(client, found.published or 0, "promote")
    await happen(database, connection, NEXT, 10, start=30)
    while await learn():
        pass
    newest = await assert_newest_model_is_the_fold_of_its_log(connection)
    assert (newest.branch, newest.trained_through_seq, newest.resumes_after) == (2, 80, 65)
    again = await rebuild(database, "hero")
    assert (again.resumed_from, again.after, again.equal) == (None, 40, True)
    report = await audit.audit_everything(database, "hero")
    assert (report.difference, report.model_versions, report.archived_versions) == (None, 3, 5)


async def test_a_candidate_learns_what_is_left_and_holds_it(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, tmp_path: Path
) -> None:
    await two_days(client, database, connection, learn)
    await archived(connection, tmp_path, today=NEXT + timedelta(days=1))
    await patch(client, policy=POLICY | {"learning_rate": 0.5})
    assert [part.kept for part in await archived(connection, tmp_path) if part.day == NEXT] == []
    await learn()
    found = await overview(client)
    candidate = found["models"][0]
    assert (candidate["branch"], candidate["trained_through_seq"]) == (2, 70)
    assert (await audit.audit_everything(database, "hero")).difference is None
    (part,) = [part for part in await archived(connection, tmp_path) if part.day == NEXT]
    assert (part.decisions, part.kept) == (15, 15)
    await switch(client, candidate["model_version"], "promote")
    await happen(database, connection, LATER, 20)
    await learn()
    (live,) = [b for b in (await overview(client))["branches"] if b["state"] == "live"]
    assert live["trained_through"] == 90


async def test_a_branch_that_cannot_catch_up_does_not_go_live(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, tmp_path: Path
) -> None:
    await two_days(client, database, connection, learn)
    await patch(client, policy=POLICY | {"learning_rate": 0.5})
    await learn()
    candidate = (await overview(client))["models"][0]["model_version"]
    await switch(client, candidate, "promote")
    for start in (0, 20):
        await happen(database, connection, NEXT + timedelta(days=1), 20, start=start)
        await learn()
    await archived(connection, tmp_path)
    assert await bandits.archived_through(connection, "hero") == 95
    for how in ("promote", "rollback"):
        answer = await client.post(f"/v1/bandits/hero/models/6:{how}")
        message = refused(answer, 409, "archived", "model_version")
        assert "learned the log up to line 70" in message
        assert "begins at line 96" in message
    (live,) = [b for b in (await overview(client))["branches"] if b["state"] == "live"]
    assert live["branch"] == 2
    await switch(client, candidate, "rollback")  # its bytes are kept, and its branch goes on


async def test_a_damaged_snapshot_is_folded_again_from_the_one_before(
    client: httpx2.AsyncClient,
    database: Database,
    database_url: str,
    connection: Connection,
    tmp_path: Path,
) -> None:
    learn = partial(step_of_a_new_learner, database_url)
    await two_days(client, database, connection, learn)
    await archived(connection, tmp_path, today=NEXT + timedelta(days=1))
    good = (await rebuild(database, "hero")).weights_sha256
    await connection.execute(
        "UPDATE model_versions SET weights = set_byte(weights, 40, 7) WHERE model_version = 6"
    )
    await happen(database, connection, NEXT, 1, start=30)
    assert await learn() == 0, "first it folds what was settled before"
    again = await models.lineage(connection, "hero", 7)
    assert (again.trained_through_seq, again.weights_sha256) == (70, good)
    assert await learn() == 1


async def test_lines_that_a_new_candidate_needs_are_not_dropped(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step
) -> None:
    await two_days(client, database, connection, learn)
    found = await sorted_out(connection)
    await patch(client, policy=POLICY | {"learning_rate": 0.5})
    assert await swapped(connection, found) == "changed"
    await learn()
    assert (await overview(client))["models"][0]["trained_through_seq"] == 70
    assert await swapped(connection, found) == "done"


async def test_a_branch_that_cannot_catch_up_does_not_come_back_by_itself(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, tmp_path: Path
) -> None:
    """Which is what the one does that can: see `test_branches`."""
    await promote_what_is_dull(client, learn)
    await play_for_the_baseline(client, 3)
    await settled_long_enough(learn)
    await archived(connection, tmp_path, today=datetime.now(UTC).date() + timedelta(days=5))
    assert await bandits.archived_through(connection, "hero") == 53
    await play_for_the_baseline(client, 247)
    await settled_long_enough(learn)
    await learn()
    await settled_long_enough(learn)
    found = await overview(client)
    assert states(found) == ["retired", "live"]
    assert found["branches"][1]["comparison"]["low"] > 0.0, "it is known to earn less"
    assert found["branches"][1]["trained_through"] == 300, "and learns on"
    assert (await audit.audit_everything(database, "hero")).difference is None
