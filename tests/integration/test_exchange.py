"""Export and import of a bandit's past: nothing is lost, and the same is learned again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import msgspec
import pytest
import vowpalwabbit

from bandit import (
    audit,
    catalogue,
    explain,
    features,
    history,
    importing,
    parquet,
    rebuild,
    recompute,
    records,
)
from bandit.branches import BranchFold
from bandit.changes import SOMEBODY, Author
from bandit.db import bandits, models
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection, Database, connect
from bandit.dsjson import namespaces
from bandit.errors import ArchivedError, ConflictError, InvalidInputError, NotFoundError
from bandit.history import Format
from bandit.records import METADATA, Record
from bandit.steering import Seen
from bandit.vw_arguments import NEUTRAL, arguments
from tests.conftest import Step, api_process, cloned_database
from tests.integration import days
from tests.integration.helpers import create, decide, reward
from tests.integration.test_audit import history as audited_history
from tests.integration.test_learner import assert_newest_model_is_the_fold_of_its_log, step_of_a_new_learner

FORMS: list[Format] = ["parquet", "dsjson"]


async def lived(client: httpx2.AsyncClient, learn: Step) -> None:
    """Everything that can be in a log, and 2 decisions that are not settled."""
    await audited_history(client, learn)
    own = [
        {"action_id": "z", "payload": {"deep": [1, None, 2.5]}},
        {"action_id": "é b|:"},
        {"action_id": "c"},
    ]
    await decide(
        client, decision_id="brought", actions=own, excluded_actions=["c"], context={"t": ["a", "a"]}
    )
    await reward(client, "brought", value=0.5, event_id="e-1")
    await reward(client, "brought", value=0.25, event_id="e-2", corrects="e-1")
    await decide(client, decision_id="shown", deferred=True)
    assert (await client.post("/v1/decisions/shown/activate")).status_code == 200
    made = await decide(client, context={"nested": {"deeper": {"x": True}}})
    for decision_id in ("shown", made["decision_id"]):
        await reward(client, decision_id, value=1.0)
    await learn()
    await reward(client, "brought", value=0.1, kind="late")
    answer = await client.patch("/v1/bandits/hero", json={"mode": "logging_only"})
    assert answer.status_code == 200, answer.text
    await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest
    await decide(client, decision_id="told", logged_choice={"action_id": "b", "probability": 0.4})
    await reward(client, "told", value=0.0)
    await learn()
    await decide(client, decision_id="never shown", deferred=True)


@pytest.fixture
def url_elsewhere(server_url: str, template: str) -> Iterator[str]:
    with cloned_database(server_url, template) as url:
        yield url


@pytest.fixture
async def elsewhere(url_elsewhere: str) -> AsyncIterator[Database]:
    """Another database, with no bandits."""
    database = Database(url_elsewhere, size=2)
    await database.open()
    yield database
    await database.close()


async def moved(
    database: Database, elsewhere: Database, folder: Path, form: Format, *, encoded: bool = False
) -> importing.Imported:
    """Export, import elsewhere, export again: the same file."""
    first, second = folder / f"first.{form}", folder / f"second.{form}"
    written = await history.export(database, "hero", first, form, encoded=encoded)
    imported = await importing.import_(elsewhere, first, form, author=Author(who="ada", why="moving"))
    (change,) = await catalogue.changes(elsewhere, "hero")
    assert (change.who, change.why, change.what) == ("ada", "moving", "imported")
    assert change.details == {"decisions": imported.decisions}
    again = await history.export(elsewhere, "hero", second, form, encoded=encoded)
    assert (written.decisions, again.left_out) == (again.decisions, 0)
    if form == "dsjson":
        assert first.read_bytes() == second.read_bytes()
    one, other = importing.opened_file(first, form), importing.opened_file(second, form)
    assert one[0] == other[0]
    assert (rows := list(one[1])) == list(other[1])
    assert len(rows) == written.decisions == imported.decisions
    return imported


@pytest.mark.parametrize(("form", "encoded"), [("parquet", False), ("dsjson", False), ("dsjson", True)])
async def test_nothing_is_lost_on_the_way(
    client: httpx2.AsyncClient,
    learn: Step,
    database: Database,
    connection: Connection,
    elsewhere: Database,
    tmp_path: Path,
    form: Format,
    encoded: bool,
) -> None:
    await lived(client, learn)
    imported = await moved(database, elsewhere, tmp_path, form, encoded=encoded)
    original = await assert_newest_model_is_the_fold_of_its_log(connection)
    assert imported.weights_sha256 == original.weights_sha256
    named = await connection.fetchval("SELECT max(model_version) FROM decisions")
    assert imported.model_version > named, "no decision says that it was made by it"
    there = await connect(elsewhere.url)
    for seals in (  # which cover every value
        "SELECT seal FROM decisions WHERE decision_id NOT IN ('unsettled', 'never shown') ORDER BY seal",
        "SELECT seal FROM training_log ORDER BY seal",
        "SELECT seal FROM bandit_configs ORDER BY seal",
    ):
        assert await there.fetch(seals) == await connection.fetch(seals)
    await there.close()


async def test_a_copy_says_of_which_decisions_it_lacks_the_model(
    client: httpx2.AsyncClient, learn: Step, database: Database, elsewhere: Database, tmp_path: Path
) -> None:
    await lived(client, learn)
    learned = await decide(client, decision_id="by a model")
    assert learned["model_version"] > 0
    await reward(client, "by a model", value=1.0)
    await learn()
    await moved(database, elsewhere, tmp_path, "parquet")
    found = (await audit.audit_decision(elsewhere, "by a model")).difference
    assert found == recompute.Difference(
        target="decision by a model: model_version",
        logged=learned["model_version"],
        recomputed="not in this database: an imported log has no models of its original",
    )
    everything = (await audit.audit_everything(elsewhere, "hero")).difference
    assert everything is not None
    assert everything.target.endswith("model_version")
    assert everything.recomputed == found.recomputed
    with pytest.raises(NotFoundError, match=r"decision by a model: .* an imported log has no models"):
        await explain.explain(elsewhere, "by a model")


async def test_the_service_goes_on_with_it(
    client: httpx2.AsyncClient, learn: Step, database: Database, elsewhere: Database, tmp_path: Path
) -> None:
    await audited_history(client, learn)
    imported = await moved(database, elsewhere, tmp_path, "parquet")
    async with api_process(elsewhere.url) as there:
        made = await decide(there, context={"x": 0.3})
        assert made["model_version"] == imported.model_version
        await reward(there, made["decision_id"])
        assert await step_of_a_new_learner(elsewhere.url) == 1
    connection = await connect(elsewhere.url)
    assert (await assert_newest_model_is_the_fold_of_its_log(connection)).trained_through_seq == 46
    await connection.close()


async def test_what_is_not_settled_is_counted_and_left_out(
    client: httpx2.AsyncClient, learn: Step, database: Database, tmp_path: Path
) -> None:
    await create(client, terminal_kinds=["reward"])
    with pytest.raises(NotFoundError, match="none yet"):
        await history.export(database, "hero", tmp_path / "f.parquet", "parquet")
    await decide(client, decision_id="a")
    await decide(client, decision_id="b")
    await reward(client, "a")
    await learn()
    written = await history.export(database, "hero", tmp_path / "f.parquet", "parquet")
    assert written == history.Exported(decisions=1, left_out=1)
    assert parquet.describe(tmp_path / "f.parquet").rows == 1


async def test_rewards_that_came_late_count_in_the_file_and_not_in_what_is_learned(
    client: httpx2.AsyncClient, learn: Step, database: Database, tmp_path: Path
) -> None:
    await create(client, terminal_kinds=["end"], reward={"kinds": {"click": {}, "end": {"weight": 0.0}}})
    await decide(client, decision_id="a")
    before = (datetime.now(UTC) + timedelta(milliseconds=1)).isoformat()
    await reward(client, "a", kind="end")
    await learn()
    await reward(client, "a", kind="click", value=0.7, occurred_at=before)
    await history.export(database, "hero", tmp_path / "f.dsjson", "dsjson")
    _, rows = importing.opened_file(tmp_path / "f.dsjson", "dsjson")
    (row,) = rows
    assert (row.reward, row.settled_reward, row.settled_events, len(row.events)) == (0.7, 0.0, 1, 2)


async def test_who_was_left_out_stays_left_out(
    client: httpx2.AsyncClient,
    learn: Step,
    database: Database,
    connection: Connection,
    elsewhere: Database,
    tmp_path: Path,
) -> None:
    await audited_history(client, learn)
    everybody = await models.lineage(connection, "hero", 3)
    without = await rebuild.rebuild(database, "hero", without_subjects=["s-1"], publish=True)
    await catalogue.promote(database, "hero", without.published or 0, SOMEBODY)
    imported = await moved(database, elsewhere, tmp_path, "dsjson", encoded=True)
    assert imported.weights_sha256 == without.weights_sha256 != everybody.weights_sha256
    lines = [json.loads(line) for line in (tmp_path / "first.dsjson").read_text().splitlines()]
    skipped = [line["_segbandit"]["record"]["subject"] for line in lines if line.get("_skipLearn")]
    assert set(skipped) == {"s-1"}
    assert len(skipped) == without.left_out


@pytest.mark.parametrize("key", [None, "other"])
async def test_it_is_imported_once(
    client: httpx2.AsyncClient, learn: Step, database: Database, tmp_path: Path, key: str | None
) -> None:
    await audited_history(client, learn)
    path = tmp_path / "hero.parquet"
    await history.export(database, "hero", path, "parquet")
    with pytest.raises(ConflictError, match="which exists" if key is None else "imported once"):
        await importing.import_(database, path, "parquet", bandit_key=key)
    assert [b["bandit_key"] for b in (await client.get("/v1/bandits")).json()["bandits"]] == ["hero"]


@pytest.mark.parametrize("form", FORMS)
async def test_what_decisions_took_into_account_goes_with_them(
    client: httpx2.AsyncClient,
    learn: Step,
    database: Database,
    connection: Connection,
    elsewhere: Database,
    tmp_path: Path,
    form: Format,
) -> None:
    """And what was shown there is not counted here: it is another service, which begins anew."""
    await steered(client, learn)
    await moved(database, elsewhere, tmp_path, form)
    _, rows = importing.opened_file(tmp_path / f"first.{form}", form)
    one, other = rows
    assert one.seen == Seen(actions={"60": {}}, segments={"60": {}}, action=None, segment=None)
    assert other.seen is not None
    assert sum(other.seen.actions["60"].values()) == 1
    assert other.seen.action is not None
    assert other.unboosted is not None
    assert other.unboosted != other.pmf
    seals = "SELECT seal FROM decisions ORDER BY seal"
    async with elsewhere.connection() as there:
        assert await there.fetch(seals) == await connection.fetch(seals)
        assert await there.fetchval("SELECT count(*) FROM exposures") == 0
    assert (await audit.audit_everything(elsewhere, "hero")).difference is None


async def steered(client: httpx2.AsyncClient, learn: Step) -> None:
    """Two decisions for one subject, limited and boosted, and learned."""
    constraints = [{"name": "often", "cap": {"times": 5, "seconds": 60.0}}, {"name": "row", "in_a_row": 9}]
    boosts = [{"name": "push", "actions": ["b"], "multiplier": 2.0}]
    await create(client, constraints=constraints, boosts=boosts, terminal_kinds=["reward"])
    for _ in range(2):
        await reward(client, (await decide(client, subject="s"))["decision_id"])
    await learn()


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("unboosted", [0.5, 0.4, 0.0], "row 2: unboosted: expected a distribution"),
        ("unboosted", [1.0], "row 2: unboosted: expected a distribution"),
        ("seen", {"actions": {"60": {"a": 0}}, "segments": {"60": {}}}, "row 2: expected a"),
        ("seen", {"actions": {"61": {}}, "segments": {"61": {}}}, "row 2: seen: expected what the config"),
        ("seen", {"actions": {"60": {"a": 1}}}, "row 2: seen: expected what the config"),
        ("subject", None, "row 2: seen: expected what the config"),
    ],
)
async def test_what_cannot_have_been_taken_into_account_is_named(
    client: httpx2.AsyncClient,
    learn: Step,
    database: Database,
    elsewhere: Database,
    tmp_path: Path,
    field: str,
    value: object,
    named: str,
) -> None:
    await steered(client, learn)
    await refused(database, elsewhere, tmp_path, 2, field, value, named)


async def refused(
    database: Database, elsewhere: Database, folder: Path, row: int, field: str, value: object, named: str
) -> None:
    """With this field of this row changed, nothing of the file is imported."""
    path = folder / "hero.dsjson"
    await history.export(database, "hero", path, "dsjson")
    lines = path.read_text().splitlines()
    changed = json.loads(lines[row - 1])
    changed["_segbandit"]["record"][field] = value
    lines[row - 1] = json.dumps(changed)
    path.write_text("\n".join(lines))
    with pytest.raises(InvalidInputError, match=named):
        await importing.import_(elsewhere, path, "dsjson")
    async with elsewhere.connection() as connection:
        assert await bandits.listed(connection) == []


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("seq", 8, "row 7: seq: expected 7, got 8"),
        ("chosen", 3, "row 7: chosen: expected an index"),
        ("probability", 1.5, "row 7: probability: expected above 0"),
        ("pmf", [0.5, 0.4, 0.0], "row 7: pmf: expected a distribution"),
        ("config_version", 9, "row 7: config_version: expected one of the file"),
        ("settled_reward", 7.0, "row 7: settled_reward"),
        ("positions", [0, 1, 7], "row 7: positions"),
        ("context", {"x": [[1]]}, "row 7: context"),
        ("subject", "a\u0000b", "text that PostgreSQL can hold"),
        ("mode", "other", "row 7: expected a"),
    ],
)
async def test_a_row_that_cannot_be_is_named_and_nothing_is_imported(
    client: httpx2.AsyncClient,
    learn: Step,
    database: Database,
    elsewhere: Database,
    tmp_path: Path,
    field: str,
    value: object,
    named: str,
) -> None:
    await audited_history(client, learn)
    await refused(database, elsewhere, tmp_path, 7, field, value, named)


async def test_options_in_a_file_do_not_reach_vowpal_wabbit(
    client: httpx2.AsyncClient, learn: Step, database: Database, elsewhere: Database, tmp_path: Path
) -> None:
    await audited_history(client, learn)
    path = tmp_path / "hero.dsjson"
    await history.export(database, "hero", path, "dsjson")
    path.write_text(path.read_text().replace('"vw_arguments":[]', '"vw_arguments":["--daemon"]', 1))
    with pytest.raises(InvalidInputError, match="vw_arguments"):
        await importing.import_(elsewhere, path, "dsjson")


@pytest.mark.parametrize("form", FORMS)
async def test_a_file_of_others_is_refused(elsewhere: Database, tmp_path: Path, form: Format) -> None:
    path = tmp_path / "theirs"
    path.write_text('{"_label_cost":-1,"c":{}}\n')
    if form == "parquet":

        async def rows() -> AsyncIterator[list[tuple[int]]]:
            yield [(1,)]

        path.unlink()
        await parquet.write(path, {"x": "int4"}, rows())
    with pytest.raises(InvalidInputError, match="names no bandit"):
        await importing.import_(elsewhere, path, form)


@pytest.mark.usefixtures("old_partitions")
async def test_archived_days_are_named(
    client: httpx2.AsyncClient, learn: Step, database: Database, connection: Connection, tmp_path: Path
) -> None:
    await days.two_days(client, database, connection, learn)
    await days.archived(connection, tmp_path, today=days.NEXT + timedelta(days=1))
    with pytest.raises(
        ArchivedError, match=f"from {days.DAY} to {days.DAY} were archived: they are in {tmp_path}"
    ):
        await history.export(database, "hero", tmp_path / "hero.parquet", "parquet")
    assert not (tmp_path / "hero.parquet").exists()


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"importance_bound": 0.1},
        {"exploration": {"algorithm": "cover", "size": 3}},
        {"vw_arguments": ["--coin"]},
    ],
    ids=str,
)
async def test_plain_vowpal_wabbit_learns_the_same_from_it(
    client: httpx2.AsyncClient,
    learn: Step,
    database: Database,
    connection: Connection,
    tmp_path: Path,
    policy: dict[str, object],
) -> None:
    await create(client, terminal_kinds=["reward"], policy={"relearn": 0} | policy)
    for i in range(120):
        context = {"x": i % 10 / 10, "tag": ["a", "a b"], "of": {"os": "i|os", "n": i * 1.7}, "b": i % 3 == 0}
        made = await decide(client, decision_id=f"d{i}", context=context)
        await reward(client, f"d{i}", value=float(made["action"]["action_id"] == "abc"[i % 10 // 4]))
        if i % 30 == 29:
            await learn()
            await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest
    path = tmp_path / "hero.dsjson"
    await history.export(database, "hero", path, "dsjson", encoded=True)

    bandit = await bandits.get(connection, "hero")
    settings = bandit.config.policy
    theirs = vowpalwabbit.Workspace(arg_list=[*arguments(settings), "--dsjson", "--quiet"])
    lines = path.read_text().splitlines()
    for line in lines:
        theirs.learn(line)
    (live,) = await models.branches(connection, "hero")
    ours = await BranchFold.begin(connection, ConfigCache(), bandit, live)
    await ours.advance(connection, ConfigCache(), 120)
    spread = 0.0
    for i in range(20):
        context = {"x": i / 20, "tag": ["a"], "of": {"os": "other", "n": float(i)}}
        encoded = features.encode(context, bandit.config.actions)
        asked = json.dumps({"_label_cost": 0, "_label_probability": 1, "_label_Action": 1, "_labelIndex": 0,
                            "a": [1, 2, 3], "p": [0.3, 0.3, 0.4], "c": "HERE"})  # fmt: skip
        multi = b",".join(namespaces(one) for one in encoded[1:])
        c = b'%b,"_multi":[%b]}' % (namespaces(encoded[0])[:-1], multi)
        predicted = theirs.predict(asked.replace('"HERE"', c.decode()))
        model = ours.fold.policy.model
        expected = (
            [NEUTRAL - r for r in model.expected_rewards(encoded)] if model.scores else model.predict(encoded)
        )
        assert predicted == pytest.approx(expected, abs=1e-6)
        spread = max(spread, max(predicted) - min(predicted))
    assert spread > 1e-3, "something was learned"
    ours.close()
    theirs.finish()


async def test_the_file_says_whose_log_it_is(
    client: httpx2.AsyncClient, learn: Step, database: Database, tmp_path: Path
) -> None:
    await audited_history(client, learn)
    await history.export(database, "hero", tmp_path / "hero.parquet", "parquet")
    described = parquet.describe(tmp_path / "hero.parquet")
    head = msgspec.json.decode(described.metadata[METADATA], type=records.Header)
    assert (head.bandit_key, len(head.configs), head.reward_range) == ("hero", 1, (0.0, 1.0))
    assert described.columns == list(Record.__struct_fields__)
