"""Two processes, many callers, one subject: a limit is never passed, not by one."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import httpx2

from tests.integration.helpers import create, decide
from tests.integration.test_limits import LIMITED
from tests.processes import serving

CALLERS, CALLS = 10, 12


async def _calls(caller: httpx2.AsyncClient) -> list[tuple[str, str]]:
    subjects = [f"s-{i % 3}" for i in range(CALLS)]
    return [(s, (await decide(caller, subject=s))["action"]["action_id"]) for s in subjects]


async def test_no_process_shows_more_than_the_limit(database_url: str) -> None:
    """Each caller keeps its connection, so together they talk to both workers."""
    with serving(database_url, "--workers", "2", "--no-learner") as service:
        async with AsyncExitStack() as stack:
            callers = [
                await stack.enter_async_context(httpx2.AsyncClient(base_url=service.url, timeout=20))
                for _ in range(CALLERS)
            ]
            await create(callers[0], **LIMITED)
            found = await asyncio.gather(*map(_calls, callers))
    actions = Counter(one for answers in found for one in answers)
    assert {one: n for one, n in actions.items() if one[1] != "c"} == {
        (f"s-{i}", action): 2 for i in range(3) for action in "ab"
    }
