"""What was decided and learned comes out the same again; what somebody changed by hand is found."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx2
import msgspec
import pytest

from bandit import audit, vw
from bandit.db import models, rewards
from bandit.db.pool import Connection, Database
from bandit.db.seals import seal_of
from bandit.db.training import _SEALED
from bandit.types import PolicySettings
from tests.conftest import Step, api_process
from tests.integration.helpers import create, decide, refused, reward
from tests.integration.test_learner import TERMINAL, play

#: An edit by hand, and what the audit of everything says it is about. The bandit has 45 settled decisions, of
#: which `d-7` is the seventh in the log, and four model versions.
EDITS: list[tuple[str, str]] = [
    ("UPDATE decisions SET context = '{}' WHERE decision_id = 'd-7'", "decision d-7"),
    ("UPDATE decisions SET pmf[1] = pmf[1] + 1e-15 WHERE decision_id = 'd-7'", "decision d-7"),
    ("UPDATE decisions SET chosen = 2 - chosen WHERE decision_id = 'd-7' AND chosen <> 1", "decision d-7"),
    ("UPDATE decisions SET draw = draw / 2 WHERE decision_id = 'd-7'", "decision d-7"),
    ("UPDATE decisions SET subject = 'somebody' WHERE decision_id = 'd-7'", "decision d-7"),
    ("UPDATE decisions SET model_version = 2 WHERE decision_id = 'd-7'", "decision d-7"),
    ("UPDATE decisions SET model_version = 99 WHERE decision_id = 'd-7'", "decision d-7"),
    ("UPDATE decisions SET mode = 'fallback' WHERE decision_id = 'd-7'", "decision d-7"),
    ("DELETE FROM decisions WHERE decision_id = 'd-7'", "decision d-7"),
    ("UPDATE decisions SET bandit_key = 'ghost' WHERE decision_id = 'd-7'", "decision d-7"),
    ("UPDATE bandits SET pinned_model_version = 99", "pinned model version"),
    ("UPDATE model_branches SET state = 'retired'", "branches"),
    ("UPDATE model_branches SET newest_version = 2", "branch 1: trained_through"),
    ("DELETE FROM training_log WHERE decision_id = 'd-7'", "decision d-7"),
    ("UPDATE training_log SET reward = 1 - reward WHERE seq = 7", "training_log[7]"),
    ("UPDATE training_log SET config_version = 2 WHERE seq = 7", "training_log[7]"),
    ("UPDATE training_log SET due_at = due_at - interval '1 hour' WHERE seq = 7", "training_log[7]"),
    ("UPDATE reward_events SET value = 1 - value WHERE decision_id = 'd-7'", "training_log[7]: reward"),
    ("UPDATE reward_events SET occurred_at = occurred_at + interval '1 ms' WHERE decision_id = 'd-7'",
     "reward event"),
    ("UPDATE reward_events SET value = 1 - value WHERE decision_id = 'unsettled'", "reward event"),
    ("UPDATE reward_events SET decision_id = 'd-8' WHERE decision_id = 'd-7'", "training_log[7]: events"),
    ("DELETE FROM reward_events WHERE decision_id = 'd-7'", "training_log[7]: events"),
    ("UPDATE bandit_configs SET config = replace(config::text, '0.9', '0.8')::json WHERE config_version = 1",
     "configuration 1"),
    ("UPDATE bandits SET salt = 'another'", "decision d-1: "),
    ("UPDATE decisions SET config_version = 99 WHERE decision_id = 'd-7'", "decision d-7"),
    ("UPDATE decisions SET positions = '{7,8,9}' WHERE decision_id = 'd-7'", "decision d-7"),
    ("UPDATE decisions SET actions = '[1]' WHERE decision_id = 'd-7'", "decision d-7"),
    ("UPDATE bandit_configs SET config = '{}'", "configuration 1"),
    ("UPDATE bandit_configs SET terminal_kinds = '{}'", "configuration 1"),
    ("DELETE FROM bandit_configs", "configuration 1"),
    ("DELETE FROM unsettled", "decision unsettled"),
    ("UPDATE unsettled SET due_at = due_at + interval '1 hour'", "decision unsettled"),
    ("UPDATE unsettled SET bandit_key = 'other'", "decision unsettled"),
    ("DELETE FROM decisions WHERE decision_id = 'unsettled'", "decision unsettled"),
    ("UPDATE model_versions SET parent = NULL WHERE model_version = 2", "model 2"),
    ("UPDATE model_versions SET vw_version = '8' WHERE model_version = 2", "model 2"),
    ("UPDATE model_versions SET config_version = 7 WHERE model_version = 2", "model 2"),
    ("UPDATE model_versions SET weights = set_byte(weights, 400, 7) WHERE model_version = 3",
     "model 3: bytes"),
    ("UPDATE model_versions SET weights_sha256 = 'x' WHERE model_version = 3", "model 3"),
    ("UPDATE model_versions SET learned = 1 WHERE model_version = 3", "model 3"),
    ("UPDATE model_versions SET trained_through_seq = 31 WHERE model_version = 3", "model 3"),
    ("DELETE FROM model_versions WHERE model_version = 2", "decision"),
]  # fmt: skip


async def history(client: httpx2.AsyncClient, learn: Step) -> None:
    """45 decisions by four models, with many context fields, so that past events are relearned too."""
    await create(client, policy={"relearn": 4, "relearn_window": 15}, **TERMINAL)
    for i in range(45):
        fields = {f"f{j}": (i * j % 7) / 7 for j in range(20)}
        made = await decide(
            client, decision_id=f"d-{i + 1}", subject=f"s-{i % 4}", context={"x": 0.1 + i / 100, **fields}
        )
        await reward(client, made["decision_id"], value=0.9 if made["action"]["action_id"] == "b" else 0.1)
        if i % 15 == 14:
            await learn()
            await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest
    await decide(client, decision_id="unsettled")
    await reward(client, "unsettled", kind="seen")
    await learn()


async def difference(database: Database) -> str | None:
    found = (await audit.audit_everything(database, "hero")).difference
    return found.target if found else None


async def test_everything_comes_out_the_same(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step
) -> None:
    await history(client, learn)
    seen: list[tuple[str, int, int]] = []
    report = await audit.audit_everything(database, "hero", lambda *told: seen.append(told))
    assert report == audit.AuditReport(
        bandit_key="hero", decisions=46, model_versions=3, training_events=45, reward_events=46
    )
    assert seen[0] == ("training log", 0, 45)
    await models.prune(connection, keep=0, every=1_000)
    kept = "SELECT count(*) FROM model_versions WHERE weights IS NOT NULL"
    assert await connection.fetchval(kept) == 1, "only what serves"
    assert await audit.audit_everything(database, "hero") == report
    sampled = await audit.audit_sample(database, "hero", 1_000)
    assert (sampled.decisions, sampled.difference) == (46, None)


@pytest.mark.parametrize(("edit", "about"), EDITS, ids=[edit[:60] for edit, _ in EDITS])
async def test_a_row_edited_by_hand_is_found(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step, edit: str, about: str
) -> None:
    await history(client, learn)
    if "chosen" in edit:  # whatever was drawn, another action of it
        edit = "UPDATE decisions SET chosen = (chosen + 1) % 3 WHERE decision_id = 'd-7'"
    assert int((await connection.execute(edit)).split()[-1]) >= 1, "the edit changed nothing"
    found = await difference(database)
    assert found is not None
    assert found.startswith(about)


async def test_a_forged_model_whose_hashes_fit_is_found(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step
) -> None:
    """The bytes of another model, put in with the right hash: they load, but they are not the fold."""
    await history(client, learn)
    settings = PolicySettings(relearn=4, relearn_window=15)
    other = vw.Model.untrained(settings)
    weights = other.to_bytes()
    other.close()
    sha256 = hashlib.sha256(weights).hexdigest()
    vw.Model.from_bytes(weights, sha256, settings).close()
    await connection.execute(
        "UPDATE model_versions SET weights = $1, sha256 = $2 WHERE model_version = 2", weights, sha256
    )
    assert await difference(database) == "model 2: bytes"
    answer = (await client.get("/v1/decisions/d-40/audit")).json()
    assert answer["verified"] is False, "its probabilities are not those of the model that chose"


async def test_a_seal_made_anew_does_not_help(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step
) -> None:
    """Who changes a row and seals it again must still account for what follows from it."""
    await history(client, learn)
    row = await connection.fetchrow("SELECT * FROM training_log WHERE seq = 7")
    assert row is not None
    values = dict(row) | {"reward": 1.0 - row["reward"]}
    await connection.execute(
        "UPDATE training_log SET reward = $1, seal = $2 WHERE seq = 7",
        values["reward"],
        seal_of(*(values[name] for name in _SEALED)),
    )
    (event,) = (await rewards.for_decisions(connection, ["d-7"]))["d-7"]
    forged = msgspec.structs.replace(event, value=values["reward"])
    await connection.execute(
        "UPDATE reward_events SET value = $1, seal = $2 WHERE decision_id = 'd-7'",
        forged.value,
        rewards._seal(forged),
    )
    assert await difference(database) == "model 1: weights"


async def test_one_decision_is_audited_over_http(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await history(client, learn)
    answer = await client.get("/v1/decisions/d-40/audit")
    assert answer.status_code == 200
    assert answer.json() == {"decision_id": "d-40", "verified": True, "difference": None}
    await connection.execute("UPDATE decisions SET pmf[2] = 0.5 WHERE decision_id = 'd-40'")
    found: dict[str, Any] = (await client.get("/v1/decisions/d-40/audit")).json()
    assert found["verified"] is False
    assert found["difference"]["target"] == "decision d-40"
    refused(await client.get("/v1/decisions/nobody/audit"), 404, "not_found", "decision_id")


async def test_a_decision_of_a_model_that_failed_is_audited_too(
    client: httpx2.AsyncClient, connection: Connection, database: Database, database_url: str, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await play(client, 5)
    await learn()
    weights = await connection.fetchval("SELECT weights FROM model_versions")
    await connection.execute("UPDATE model_versions SET weights = '\\x00'")
    async with api_process(database_url) as begun_now:  # the other one may have the good bytes already
        made = await decide(begun_now)
    assert (made["mode"], made["probability"]) == ("fallback", 1.0)
    await connection.execute("UPDATE model_versions SET weights = $1", weights)
    assert (await audit.audit_everything(database, "hero")).difference is None
    assert (await audit.audit_decision(database, made["decision_id"])).difference is None
