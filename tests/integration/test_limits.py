"""What a subject is shown is limited exactly, and every decision says what it took into account."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

import httpx2
import msgspec
import pytest

from api.deps import Process
from bandit import audit, catalogue, serving
from bandit.db import exposures
from bandit.db.pool import Connection, Database
from bandit.limited import LimitedDecider
from bandit.serving import Serving
from bandit.types import BanditConfig, DecisionInput
from tests.conftest import api_process
from tests.integration.helpers import ACTIONS, AUTHOR, create, decide, logged, refused
from tests.proxy import Network

HOUR = "3600"
TWICE = {"name": "twice an hour", "actions": ["a", "b"], "cap": {"times": 2, "seconds": 3_600.0}}
LIMITED: dict[str, Any] = {"constraints": [TWICE], "baseline_action": "c"}


async def shown(connection: Connection, subject: str = "s") -> Counter[str]:
    rows = await connection.fetch("SELECT action_id FROM exposures WHERE subject = $1", subject)
    return Counter(row["action_id"] for row in rows)


async def change(client: httpx2.AsyncClient, **fields: Any) -> None:
    process: Process = client.app.state.process  # type: ignore[attr-defined]  # see conftest
    config = msgspec.convert({"actions": ACTIONS} | fields, BanditConfig)
    await catalogue.change(process.database, "hero", {name: getattr(config, name) for name in fields}, AUTHOR)
    await process.servings.refresh()


async def seen(client: httpx2.AsyncClient, made: dict[str, Any]) -> dict[str, int]:
    """What the decision took into account: how often each action was shown within the hour."""
    found: dict[str, int] = (await logged(client, made["decision_id"]))["seen"]["actions"][HOUR]
    return found


async def assert_each_counts_all_before_it(connection: Connection, decisions: int) -> None:
    """Of the subject "s": none counts too little, none too much, and time is their order."""
    rows = await connection.fetch(
        """SELECT (SELECT coalesce(sum(value::int), 0) FROM json_each_text(seen->'actions'->$1)) AS counted
           FROM decisions WHERE subject = 's' ORDER BY decided_at, counted""",
        HOUR,
    )
    assert [row["counted"] for row in rows] == list(range(decisions))


async def test_an_action_is_shown_so_often_and_the_next_subject_sees_it_too(
    client: httpx2.AsyncClient, connection: Connection
) -> None:
    await create(client, **LIMITED)
    for subject in ("s", "é's | \n2"):
        actions = Counter([(await decide(client, subject=subject))["action"]["action_id"] for _ in range(60)])
        assert actions == {"a": 2, "b": 2, "c": 56}
        assert await shown(connection, subject) == actions
    unlimited = Counter([(await decide(client))["action"]["action_id"] for _ in range(60)])
    assert min(unlimited.values()) > 2, "without a subject there is nothing to count"
    assert await connection.fetchval("SELECT count(*) FROM decisions WHERE seen IS NOT NULL") == 120


async def test_a_segment_and_a_row_are_limited(client: httpx2.AsyncClient) -> None:
    constraints = [
        {"name": "segment", "segments": ["one"], "cap": {"times": 1, "seconds": 60.0}},
        {"name": "not again", "actions": ["b", "c"], "in_a_row": 1},
    ]
    await create(client, constraints=constraints, baseline_action="a")
    made = [await decide(client, subject="s") for _ in range(30)]
    actions = [one["action"]["action_id"] for one in made]
    assert actions.count("a") == 1
    others = [action for action in actions if action != "a"]
    assert all(x != y for x, y in pairwise(actions))
    assert set(others) == {"b", "c"}
    record = await logged(client, made[-1]["decision_id"])
    assert record["seen"]["segments"]["60"]["one"] == 1
    assert record["seen"]["action"] == [actions[-2], 1]


async def test_many_processes_decide_for_one_subject_at_once(
    database_url: str, client: httpx2.AsyncClient, connection: Connection, database: Database
) -> None:
    await create(client, **LIMITED)
    async with api_process(database_url) as other, api_process(database_url) as third:
        every = [client, other, third]
        made = await asyncio.gather(
            *(
                decide(every[i % 3], subject="s", **({"decision_id": f"d/{i}"} if i % 2 else {}))
                for i in range(60)
            ),
            *(decide(every[i % 3], subject=f"s-{i}") for i in range(30)),
        )
    assert Counter(one["action"]["action_id"] for one in made[:60]) == {"a": 2, "b": 2, "c": 56}
    await assert_each_counts_all_before_it(connection, 60)
    report = await audit.audit_everything(database, "hero")
    assert report.difference is None


async def test_batches_count_from_one_decision_to_the_next(
    database_url: str, client: httpx2.AsyncClient, connection: Connection
) -> None:
    await create(client, **LIMITED)
    body = {"bandit_key": "hero", "decisions": [{"subject": "s"}] * 30 + [{}] * 5 + [{"subject": "t"}] * 30}
    async with api_process(database_url) as other:
        answers = await asyncio.gather(
            *(each.post("/v1/decisions:batch", json=body) for each in [client, other] * 2)
        )
    assert [answer.status_code for answer in answers] == [201] * 4
    made = [answer.json()["decisions"] for answer in answers]
    for start in (0, 35):
        actions = Counter(one["action"]["action_id"] for batch in made for one in batch[start : start + 30])
        assert actions == {"a": 2, "b": 2, "c": 116}
    for batch in made:
        records = [await logged(client, one["decision_id"]) for one in batch]
        assert [record["subject"] for record in records] == ["s"] * 30 + [None] * 5 + ["t"] * 30
        assert all((record["seen"] is None) == (record["subject"] is None) for record in records)
    await assert_each_counts_all_before_it(connection, 120)


async def test_of_a_batch_all_is_shown_or_nothing(client: httpx2.AsyncClient, connection: Connection) -> None:
    await create(client, **LIMITED)
    body = {
        "bandit_key": "hero",
        "decisions": [{"subject": "s"}, {"subject": "s", "excluded_actions": ["x"]}],
    }
    answer = await client.post("/v1/decisions:batch", json=body)
    refused(answer, 422, "invalid_input", "decisions[1].excluded_actions[0]")
    assert await shown(connection) == {}
    assert await connection.fetchval("SELECT count(*) FROM decisions") == 0


async def test_one_bad_request_in_a_group_fails_alone(
    client: httpx2.AsyncClient, connection: Connection
) -> None:
    await create(client, **LIMITED)
    bodies: list[dict[str, Any]] = [
        {"subject": "s"},
        {"subject": "s", "excluded_actions": ["x"]},
        {"subject": "s"},
    ] * 5
    answers = await asyncio.gather(
        *(client.post("/v1/decisions", json={"bandit_key": "hero"} | body) for body in bodies)
    )
    assert [answer.status_code for answer in answers] == [201, 422, 201] * 5
    await assert_each_counts_all_before_it(connection, 10)


async def test_a_repeated_id_gives_the_first_decision_and_counts_once(
    client: httpx2.AsyncClient, connection: Connection
) -> None:
    await create(client, **LIMITED)
    one = {"subject": "s", "decision_id": "d-1"}
    first = await decide(client, **one)
    again = await asyncio.gather(
        decide(client, **one),
        *(decide(client, subject="s") for _ in range(3)),
        decide(client, **one),
        *(decide(client, subject="s", decision_id="d-2") for _ in range(3)),
    )
    assert again[0] == again[4] == first
    assert again[5] == again[6] == again[7]
    await assert_each_counts_all_before_it(connection, 5)
    assert (await shown(connection)).total() == 5
    conflict = await client.post(
        "/v1/decisions", json={"bandit_key": "hero", "decision_id": "d-1", "subject": "t"}
    )
    refused(conflict, 409, "conflict", "decision_id")
    assert await shown(connection, "t") == {}
    batch = [one | {"context": {"x": 0.5}}, {"subject": "s"}, *[{"subject": "s", "decision_id": "d-3"}] * 2]
    answer = await client.post("/v1/decisions:batch", json={"bandit_key": "hero", "decisions": batch})
    made = answer.json()["decisions"]
    assert (made[0], made[2]) == (first, made[3])
    await assert_each_counts_all_before_it(connection, 7)
    excluding = {"subject": "s", "decision_id": "d-4", "excluded_actions": ["a"]}
    could = await decide(client, **excluding)
    left = [{"action_id": "b"}, {"action_id": "c"}]
    await change(client, actions=left, constraints=[TWICE | {"actions": ["b"]}])
    assert await decide(client, **excluding) == could, "though it could not be decided now"
    now = await client.post("/v1/decisions", json={"bandit_key": "hero"} | excluding | {"decision_id": "d-5"})
    refused(now, 422, "invalid_input", "excluded_actions[0]")


async def test_what_is_deferred_counts_once_it_is_activated(
    client: httpx2.AsyncClient, connection: Connection
) -> None:
    await create(client, **LIMITED)
    deferred = [await decide(client, subject="s", deferred=True) for _ in range(20)]
    assert await seen(client, await decide(client, subject="s", deferred=True)) == {}
    one = next(made for made in deferred if made["action"]["action_id"] == "a")
    for _ in range(2):
        activated = await client.post(f"/v1/decisions/{one['decision_id']}/activate")
        assert activated.json()["activated"]
    made = await decide(client, subject="s")
    assert await seen(client, made) == {"a": 1}
    at = await connection.fetchrow(
        "SELECT activated_at, shown_at FROM decisions, exposures WHERE decision_id = $1 AND action_id = 'a' "
        "ORDER BY exposure LIMIT 1",
        one["decision_id"],
    )
    assert at["activated_at"] == at["shown_at"]
    record = await logged(client, made["decision_id"])
    assert record["decided_at"] >= at["shown_at"].isoformat()
    assert not (await client.post(f"/v1/decisions/{made['decision_id']}/activate")).json()["activated"]
    nobody = await decide(client, deferred=True)
    assert (await client.post(f"/v1/decisions/{nobody['decision_id']}/activate")).json()["activated"]
    assert await connection.fetchval("SELECT count(*) FROM exposures") == 2


async def test_what_was_shown_before_the_window_does_not_count(
    client: httpx2.AsyncClient, connection: Connection, database: Database
) -> None:
    await create(client, **LIMITED)
    early = [await decide(client, subject="s") for _ in range(60)]
    await connection.execute("UPDATE exposures SET shown_at = shown_at - interval '1 hour'")
    late = [await decide(client, subject="s") for _ in range(60)]
    for made in (early, late):
        assert Counter(one["action"]["action_id"] for one in made) == {"a": 2, "b": 2, "c": 56}
    await connection.execute(
        "UPDATE exposures SET shown_at = shown_at - interval '30 days' WHERE action_id <> 'a'"
    )
    await exposures.drop_old(connection, timedelta(days=30))
    assert await shown(connection) == {"a": 4}
    await connection.execute("DELETE FROM exposures")
    report = await audit.audit_everything(database, "hero")
    assert (report.difference, report.decisions) == (None, 120), "the log has what they took into account"


async def test_what_is_shown_in_other_modes_counts_and_is_not_limited(client: httpx2.AsyncClient) -> None:
    await create(client, **LIMITED, mode="apprentice")
    for fields in ({"mode": "apprentice", "baseline_action": "a"}, {"mode": "online", "paused": True}):
        await change(client, **fields)
        for _ in range(3):
            made = await decide(client, subject="s")
            assert made["action"]["action_id"] == "a"
            assert (await logged(client, made["decision_id"]))["seen"] is None
    await change(client, paused=False, mode="logging_only")
    await decide(client, subject="s", logged_choice={"action_id": "b"})
    await change(client, mode="online", baseline_action="c")
    made = await decide(client, subject="s")
    assert await seen(client, made) == {"a": 6, "b": 1}
    assert [p["action_id"] for p in made["action_probs"]] == ["b", "c"]


async def test_a_decision_is_never_earlier_than_what_its_subject_was_shown(
    client: httpx2.AsyncClient, connection: Connection
) -> None:
    """As after a fail-over to a server whose clock is behind: all that was shown counts nevertheless."""
    await create(client, **LIMITED)
    await decide(client, subject="s")
    await connection.execute("UPDATE exposures SET shown_at = now() + interval '1500.0001 ms'")
    made = await decide(client, subject="s")
    assert sum((await seen(client, made)).values()) == 1
    rows = await connection.fetch("SELECT shown_at FROM exposures ORDER BY exposure")
    assert rows[1]["shown_at"] - rows[0]["shown_at"] < timedelta(milliseconds=1)


async def test_limits_begin_with_the_change_that_brings_them(client: httpx2.AsyncClient) -> None:
    await create(client)
    for _ in range(5):
        assert (await logged(client, (await decide(client, subject="s"))["decision_id"]))["seen"] is None
    await change(client, **LIMITED)
    assert await seen(client, await decide(client, subject="s")) == {}


@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/decisions:batch"])
async def test_nothing_is_promised_while_the_database_is_away(database_url: str, path: str) -> None:
    network = Network(database_url)
    await network.mend()
    async with api_process(network.url) as client:
        await create(client, **LIMITED)
        await decide(client, subject="s")
        await network.cut()
        body = {"bandit_key": "hero"} | (
            {"subject": "s"} if path == "/v1/decisions" else {"decisions": [{"subject": "s"}]}
        )
        refused(await client.post(path, json=body), 503, "unavailable", None)
        await network.mend()
        assert sum((await seen(client, await decide(client, subject="s"))).values()) == 1
    await network.cut()


MANY = [("hero", f"s-{i}") for i in range(1_000)]


async def test_a_thousand_subjects_are_held_with_one_lock(connection: Connection) -> None:
    """Were it one each, a few batches would fill the table of locks that all of the server's users share."""
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    for pairs, most in ((MANY, 1), (MANY[:20], 21), ([*MANY, ("other", "s")], 2)):
        async with connection.transaction():
            await exposures.hold(connection, pairs)
            assert 1 <= await connection.fetchval(held) <= most


@pytest.mark.parametrize(
    ("first", "second", "waits"),
    [
        (MANY, MANY[:1], True),
        (MANY[:1], MANY, True),
        (MANY, [("hero", "somebody else")], True),
        (MANY[:3], MANY[2:4], True),
        (MANY[:3], MANY[3:5], False),
        (MANY, [("other", "s-0")], False),
    ],
)
async def test_who_holds_a_subject_holds_it_alone(
    connection: Connection,
    database: Database,
    first: list[exposures.Pair],
    second: list[exposures.Pair],
    waits: bool,
) -> None:
    holding = connection.transaction()
    await holding.start()
    since = await exposures.hold(connection, first)
    async with database.transaction() as other:
        holds = asyncio.create_task(exposures.hold(other, second))
        while waits and not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
        ):
            assert not holds.done()
            await asyncio.sleep(0.01)
        if waits:
            await holding.commit()
        assert await holds > since
    if not waits:
        await holding.commit()


class ForgetfulServings:
    """Loses what was loaded, the first few times."""

    def __init__(self, database: Database, lost: int) -> None:
        self._database = database
        self._lost = lost
        self._loaded: Serving | None = None
        self.loads = 0

    async def get(self, bandit_key: str) -> Serving:
        self.loads += 1
        self._loaded = await serving.load(self._database, bandit_key)
        return self._loaded

    def loaded(self, bandit_key: str) -> Serving | None:
        assert self._loaded is None or self._loaded.bandit.bandit_key == bandit_key
        return self._loaded if self.loads > self._lost else None


async def test_a_bandit_that_was_unloaded_meanwhile_is_loaded_without_a_second_connection(
    client: httpx2.AsyncClient, connection: Connection, database_url: str
) -> None:
    await create(client, **LIMITED)
    database = Database(database_url, size=1)
    await database.open()
    servings = ForgetfulServings(database, lost=3)
    decider = LimitedDecider(database, servings)
    one = DecisionInput(subject="s")
    batch = await decider.decide_many("hero", [one] * 10)
    assert (len(batch), servings.loads) == (10, 4)
    servings = ForgetfulServings(database, lost=2)
    decider = LimitedDecider(database, servings)
    assert (await decider.decide("hero", one)).action.action_id == "c"
    assert servings.loads == 3
    assert (await shown(connection)).total() == 11
    await assert_each_counts_all_before_it(connection, 11)
    await database.close()
