from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import httpx2

from bandit.db.pool import Connection
from tests.conftest import Step
from tests.integration.helpers import create, decide, logged, refused, reward

REWARD = {"kinds": {"click": {"weight": 0.1}, "buy": {"value": 0.5}}, "clip": [0, 1]}


async def due_now(connection: Connection) -> None:
    """Let every reward window be over, without waiting for it."""
    await connection.execute("UPDATE unsettled SET due_at = now()")


async def test_a_window_that_is_over_settles_with_what_came_or_the_default(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, reward=REWARD, default_reward=0.25)
    paid, ignored = await decide(client), await decide(client)
    assert (await reward(client, paid["decision_id"], kind="click", value=3, event_id="1"))[
        "status"
    ] == "accepted"
    assert (await reward(client, paid["decision_id"], kind="buy", event_id="2"))["status"] == "accepted"
    assert await learn() == 0, "nothing is due yet"
    await due_now(connection)
    assert await learn() == 2
    assert (await logged(client, paid["decision_id"]))["settled"]["reward"] == 0.1 * 3 + 0.5
    assert (await logged(client, ignored["decision_id"]))["settled"]["reward"] == 0.25


async def test_a_terminal_kind_settles_at_once(client: httpx2.AsyncClient, learn: Step) -> None:
    await create(client, reward=REWARD, terminal_kinds=["buy"])
    made = await decide(client)
    await reward(client, made["decision_id"], kind="click", event_id="1")
    assert await learn() == 0
    await reward(client, made["decision_id"], kind="buy", event_id="2")
    assert await learn() == 1
    assert (await logged(client, made["decision_id"]))["settled"]["reward"] == 0.6


async def test_repetitions_count_once_whoever_repeats(client: httpx2.AsyncClient, learn: Step) -> None:
    await create(client, reward=REWARD, terminal_kinds=["buy"])
    made = await decide(client)
    events = [
        {"decision_id": made["decision_id"], "kind": "click", "event_id": "1", "source": "web"},
        {"decision_id": made["decision_id"], "kind": "click", "event_id": "1", "source": "web"},
        {"decision_id": made["decision_id"], "kind": "click", "event_id": "1", "source": "app"},
    ]
    answer = await client.post("/v1/rewards", json={"rewards": events})
    assert [line["status"] for line in answer.json()["results"]] == ["accepted", "duplicate", "accepted"]
    again = await client.post("/v1/rewards", json=events)  # a plain list will do
    assert {line["status"] for line in again.json()["results"]} == {"duplicate"}
    nameless = {"kind": "click", "value": 2, "occurred_at": "2026-01-01T00:00:00Z"}
    assert (await reward(client, made["decision_id"], **nameless))["status"] == "accepted"
    assert (await reward(client, made["decision_id"], **nameless))["status"] == "duplicate"
    await reward(client, made["decision_id"], kind="buy")
    await learn()
    assert (await logged(client, made["decision_id"]))["settled"]["reward"] == 0.1 + 0.1 + 0.2 + 0.5


async def test_rewards_before_their_decision_are_kept_and_joined(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, reward=REWARD, terminal_kinds=["buy"])
    assert (await reward(client, "later", kind="buy"))["status"] == "orphan"
    assert (await reward(client, "much-later", kind="buy"))["status"] == "orphan"
    assert await learn() == 0
    await decide(client, decision_id="later")
    assert await learn() == 1
    assert (await logged(client, "later"))["settled"]["reward"] == 0.5
    await connection.execute("UPDATE reward_signals SET signalled_at = now() - interval '1 day'")
    await decide(client, decision_id="much-later")
    assert await learn() == 0, "an old signal waits for the next full sweep"


async def test_an_old_orphan_is_found_by_the_full_sweep(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, reward=REWARD, terminal_kinds=["buy"])
    await reward(client, "much-later", kind="buy")
    await connection.execute("UPDATE reward_signals SET signalled_at = now() - interval '1 day'")
    await decide(client, decision_id="much-later")
    assert await learn() == 1, "the first step sweeps"


async def test_duplicated_reordered_and_early_rewards_settle_alike(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    await create(client, reward=REWARD | {"aggregation": "last"})
    occurred = datetime.now(UTC) - timedelta(seconds=5)
    ids = [f"d-{i}" for i in range(12)]
    rng = random.Random(1)
    for number, decision_id in enumerate(ids):
        events = [
            {
                "decision_id": decision_id, "kind": kind, "value": value, "event_id": f"{decision_id}-{i}",
                "occurred_at": (occurred + timedelta(seconds=i)).isoformat(),
            }
            for i, (kind, value) in enumerate([("click", 1), ("buy", 1), ("click", 7)])
        ]  # fmt: skip
        sent = events + rng.choices(events, k=3)
        rng.shuffle(sent)
        early = sent[: number % 4]
        for event in early:
            await client.post("/v1/rewards", json=event)
        await decide(client, decision_id=decision_id)
        for event in sent[number % 4 :]:
            await client.post("/v1/rewards", json=event)
    await due_now(connection)
    await learn()
    assert {(await logged(client, decision_id))["settled"]["reward"] for decision_id in ids} == {0.1 * 7}


async def test_what_comes_after_settlement_is_kept_and_changes_nothing(
    client: httpx2.AsyncClient, learn: Step
) -> None:
    await create(client, reward=REWARD, terminal_kinds=["buy"])
    made = await decide(client)
    await reward(client, made["decision_id"], kind="buy", event_id="1")
    await learn()
    before = (await logged(client, made["decision_id"]))["settled"]
    line = await reward(client, made["decision_id"], kind="buy", event_id="2")
    assert line["status"] == "accepted"
    assert "does not change the reward" in line["detail"]
    assert await learn() == 0
    record = await logged(client, made["decision_id"])
    assert record["settled"] == before
    assert len(record["rewards"]) == 2


async def test_a_clock_that_is_ahead_does_not_cost_its_sender_the_reward(
    client: httpx2.AsyncClient, learn: Step
) -> None:
    await create(client, reward=REWARD, terminal_kinds=["buy"], reward_wait=60)
    made = await decide(client)
    ahead = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    await reward(client, made["decision_id"], kind="buy", occurred_at=ahead)
    assert await learn() == 1
    assert (await logged(client, made["decision_id"]))["settled"]["reward"] == 0.5


async def test_an_event_id_used_for_something_else_is_said(client: httpx2.AsyncClient) -> None:
    await create(client)
    await decide(client, decision_id="d-1")
    await decide(client, decision_id="d-2")
    assert (await reward(client, "d-1", event_id="1"))["status"] == "accepted"
    assert (await reward(client, "d-1", event_id="1"))["detail"] is None
    line = await reward(client, "d-2", event_id="1")
    assert line["status"] == "duplicate"
    assert "'d-1'" in line["detail"]


async def test_a_kind_that_does_not_count_is_kept_and_said(client: httpx2.AsyncClient) -> None:
    await create(client, reward=REWARD)
    made = await decide(client)
    line = await reward(client, made["decision_id"], kind="scroll")
    assert line["status"] == "accepted"
    assert "does not count" in line["detail"]


async def test_bad_rewards_change_nothing(client: httpx2.AsyncClient, connection: Connection) -> None:
    await create(client)
    good = {"decision_id": "d", "event_id": "1"}
    for body, target in [
        ({"rewards": [good, {"decision_id": "d", "value": 1e7}]}, "rewards[1].value"),
        ({"rewards": [good, {"event_id": "2"}]}, "rewards[1].decision_id"),
        ({"rewards": [good] * 1_001}, "rewards"),
        ({"rewards": []}, "rewards"),
        ({"decision_id": "d", "value": "much"}, "value"),
        ({"decision_id": "d", "occurred_at": "2026-01-01T00:00:00"}, "occurred_at"),
        ({"decision_id": "d", "occurred_at": "0001-01-01T00:00:00+10:00"}, "occurred_at"),
        ({"decision_id": "d", "occurred_at": "9999-12-31T23:59:59-10:00"}, "occurred_at"),
        (
            {"rewards": [good, {"decision_id": "d", "occurred_at": "2999-01-01T00:00:00Z"}]},
            "rewards[1].occurred_at",
        ),
        ({"decision_id": "d", "bandit_key": "hero"}, "bandit_key"),
        ([good, {"event_id": "2"}], "rewards[1].decision_id"),
        ([], "rewards"),
        ("d", "body"),
    ]:
        refused(await client.post("/v1/rewards", json=body), 422, "invalid_input", target)
    assert await connection.fetchval("SELECT count(*) FROM reward_events") == 0
