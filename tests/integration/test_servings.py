"""Many bandits in one process: loaded when asked for, unloaded when unused, back when asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from api.refresh import Servings
from bandit.db.pool import Connection
from tests.conftest import Step, api_process
from tests.integration.helpers import ACTIONS, decide, reward
from tests.integration.test_measurements import measured

CONTEXT = {"x": 0.3}
ROOM_FOR_TWO = 4.0


@asynccontextmanager
async def process_with(
    url: str, learn: Step, keys: Sequence[str], **settings: Any
) -> AsyncIterator[tuple[httpx2.AsyncClient, Servings]]:
    """An API process and bandits that have each learned something of their own."""
    async with api_process(url, **settings) as client:
        for number, key in enumerate(keys):
            body = {"bandit_key": key, "actions": ACTIONS, "terminal_kinds": ["reward"]}
            assert (await client.post("/v1/bandits", json=body)).status_code == 201
            for place in range(6):
                made = await decide(client, bandit_key=key, context={"x": place / 6})
                paid = made["action"]["action_id"] == "abc"[number % 3]
                await reward(client, made["decision_id"], value=float(paid))
        assert await learn() == 6 * len(keys)
        servings: Servings = client.app.state.process.servings  # type: ignore[attr-defined]  # see conftest
        await servings.refresh()
        yield client, servings


async def probabilities(client: httpx2.AsyncClient, key: str) -> list[float]:
    made = await decide(client, bandit_key=key, context=CONTEXT)
    assert made["mode"] == "online"
    assert made["model_version"] == 1
    return [line["probability"] for line in made["action_probs"]]


async def loaded(client: httpx2.AsyncClient) -> float:
    return (await measured(client)).value("segbandit_loaded_bandits")


async def test_over_the_limit_the_one_longest_unused_makes_room(database_url: str, learn: Step) -> None:
    keys = ["one", "two", "three", "four"]
    async with process_with(database_url, learn, keys, model_memory=ROOM_FOR_TWO) as (client, servings):
        before = [await probabilities(client, key) for key in keys]
        assert len(set(map(tuple, before))) > 1, "they learned different things"
        assert await loaded(client) == 2
        three, four = await servings.get("three"), await servings.get("four")
        await servings.get("three")
        await servings.get("one")
        assert await servings.get("three") is three
        assert await servings.get("four") is not four
        assert [await probabilities(client, key) for key in keys] == before
        assert await loaded(client) == 2


async def test_what_is_idle_is_unloaded_and_comes_back(database_url: str, learn: Step) -> None:
    keys = ["one", "two"]
    async with process_with(database_url, learn, keys, idle_seconds=0.3, poll_seconds=0.05) as (client, _):
        before = [await probabilities(client, key) for key in keys]
        async with asyncio.timeout(20):
            while await loaded(client) > 0:
                await asyncio.sleep(0.05)
        assert (await measured(client)).value("segbandit_unloaded_bandits_total", why="idle") >= 2
        assert [await probabilities(client, key) for key in keys] == before


async def test_no_request_is_served_by_a_freed_model(database_url: str, learn: Step) -> None:
    """Single calls and batches of eight bandits, two of which have room, while all are unloaded again."""
    keys = [f"bandit-{i}" for i in range(8)]
    async with process_with(database_url, learn, keys, model_memory=ROOM_FOR_TWO) as (client, servings):
        expected = {key: await probabilities(client, key) for key in keys}

        async def ask(turn: int) -> None:
            key = keys[turn * 5 % 8]
            if turn % 3:
                assert await probabilities(client, key) == expected[key], "a freed model fails: the baseline"
                return
            body = {"bandit_key": key, "decisions": [{"context": CONTEXT}] * 60}
            answer = await client.post("/v1/decisions:batch", json=body)
            assert answer.status_code == 201
            for made in answer.json()["decisions"]:
                assert [line["probability"] for line in made["action_probs"]] == expected[key]
                assert made["mode"] == "online"

        for start in range(0, 160, 40):
            asking = [asyncio.create_task(ask(turn)) for turn in range(start, start + 40)]
            while not all(task.done() for task in asking):
                servings._unload(list(servings._servings), "limit")
                await asyncio.sleep(0.002)
            await asyncio.gather(*asking)


async def test_only_what_changed_is_loaded_again(
    database_url: str, learn: Step, connection: Connection
) -> None:
    keys = ["one", "two", "three"]
    async with process_with(database_url, learn, keys, poll_seconds=60) as (client, servings):
        before = {key: await servings.get(key) for key in keys}
        made = await decide(client, bandit_key="two")
        await reward(client, made["decision_id"])
        assert await learn() == 1
        async with asyncio.timeout(20):
            while (await servings.get("two")).model_version < 2:
                await asyncio.sleep(0.01)
        assert await servings.get("one") is before["one"]
        assert await servings.get("three") is before["three"]
        await connection.execute("UPDATE bandits SET archived_at = now() WHERE bandit_key = 'one'")
        await servings.refresh(["two", "three"])
        assert await servings.get("one") is before["one"], "nobody said so"
        await servings.refresh()
        assert (await servings.get("one")).bandit.archived


async def test_two_refreshes_at_once_load_what_changed_once(database_url: str, learn: Step) -> None:
    async with process_with(database_url, learn, ["one"], poll_seconds=60) as (client, servings):
        for version in (2, 3, 4):
            made = await decide(client, bandit_key="one")
            await reward(client, made["decision_id"])
            assert await learn() == 1
            refreshing = [asyncio.create_task(servings.refresh()) for _ in range(4)]
            await asyncio.wait(refreshing, return_when=asyncio.FIRST_COMPLETED)
            first = await servings.get("one")
            await asyncio.gather(*refreshing)
            assert first.model_version == version
            assert await servings.get("one") is first


async def test_what_was_unloaded_is_not_loaded_by_a_change(database_url: str, learn: Step) -> None:
    async with process_with(database_url, learn, ["one", "two"]) as (client, servings):
        await servings.get("one")
        servings.close()
        answer = await client.patch("/v1/bandits/one", json={"mode": "apprentice"})
        assert answer.status_code == 200
        assert await loaded(client) == 0
        made = await decide(client, bandit_key="one")
        assert made["mode"] == "apprentice"
