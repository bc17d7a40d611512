"""A bandit's history on days of long ago, and their archive."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import httpx2

from bandit import decide, retention, serving
from bandit.db import archive as archiving
from bandit.db import decisions, rewards
from bandit.db.pool import Connection, Database
from bandit.steering import Seen
from bandit.types import DecisionInput, ReceivedEvent
from tests.conftest import Step
from tests.integration.helpers import create

DAY = date(2026, 1, 10)
NEXT, LATER = DAY + timedelta(days=1), DAY + timedelta(days=30)
#: The last 15 lines of the log are relearned, so they are needed.
POLICY: dict[str, Any] = {"relearn": 4, "relearn_window": 15, "on_drift": "ignore"}


async def happen(
    database: Database,
    connection: Connection,
    day: date,
    count: int,
    *,
    bandit_key: str = "hero",
    start: int = 0,
    rewarded: bool = True,
    wait: timedelta = timedelta(0),
    seen: Seen | None = None,
    **asked: Any,
) -> None:
    """`count` decisions of that day, a minute apart, with one reward each; those without one wait on."""
    made = []
    served = await serving.load(database, bandit_key)
    for i in range(start, start + count):
        at = datetime.combine(day, time(), UTC) + timedelta(minutes=i)
        fields = {f"f{j}": (i * j % 7) / 7 for j in range(20)}  # as many as make it relearn
        one = DecisionInput(subject=f"s-{i % 4}", context={"x": 0.1 + i / 1000, **fields}, **asked)
        decision_id = decisions.new_id(round(at.timestamp() * 1_000), f"{i:019x}0")
        made.append(decide.choose(served, one, decision_id, at, seen))
    served.close()
    async with connection.transaction():
        await decisions.insert(connection, made, [wait.total_seconds()] * len(made))
        if rewarded:
            await rewards.insert(
                connection,
                [
                    ReceivedEvent(
                        decision_id=one.decision_id, source="api", event_id=f"e-{one.decision_id}",
                        kind="reward", value=0.9 if one.action.action_id == "b" else 0.1,
                        occurred_at=one.decided_at, received_at=one.decided_at,
                    )
                    for one in made
                ],
            )  # fmt: skip


async def two_days(
    client: httpx2.AsyncClient, database: Database, connection: Connection, learn: Step
) -> None:
    """40 decisions on one day and 30 on the next, in six model versions; the last 15 are needed."""
    await create(client, policy=POLICY, reward_wait=0)
    for start in (0, 15, 30):
        await happen(database, connection, DAY, 15 if start < 30 else 10, start=start)
        await learn()
    for start in (0, 10, 20):
        await happen(database, connection, NEXT, 10, start=start)
        await learn()


async def archived(
    connection: Connection, folder: Path, keep_days: int = 1, **options: Any
) -> list[archiving.Part]:
    found = retention.archive(connection, folder, keep_days, **({"today": LATER} | options))
    return [part async for part in found]


async def sorted_out(connection: Connection, day: date = DAY) -> archiving.SortedOut:
    async with connection.transaction(isolation="repeatable_read"):
        found = await archiving.sort_out(connection, day)
    assert found is not None
    return found


async def swapped(connection: Connection, found: archiving.SortedOut) -> str:
    return await archiving.swap(
        connection, found, archiving.Part(day=found.day, part=found.part, folder="nowhere")
    )
