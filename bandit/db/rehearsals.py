"""What a live branch would have done while the baseline was served, until it is counted; and the count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from bandit.db.pool import Connection
from bandit.types import Branch, Value


class Rehearsed(Value, frozen=True, kw_only=True):
    """What a branch would have done with one decision of mode apprentice, and what the baseline earned."""

    decision_id: str
    #: The configuration since which the branch is live in mode apprentice.
    since_config: int
    due_at: datetime
    #: Its probability of the baseline's action, after all that reshapes it.
    agreement: float
    #: Whether every other action was less probable.
    matches: bool
    scaled_reward: float


_NAMES = Rehearsed.__struct_fields__


async def keep(connection: Connection, branch: Branch, noted: Sequence[Rehearsed]) -> None:
    """Keep what was noted until it is counted."""
    place = (branch.bandit_key, branch.branch)
    await connection.copy_records_to_table(
        "rehearsals",
        columns=["bandit_key", "branch", *_NAMES],
        records=[(*place, *msgspec.structs.astuple(one)) for one in noted],
    )


async def take(connection: Connection, branch: Branch, since_config: int, until: datetime) -> list[Rehearsed]:
    """What is due before `until`, by that time; what was noted in an earlier apprenticeship is dropped."""
    rows = await connection.fetch(
        f"""DELETE FROM rehearsals WHERE bandit_key = $1 AND branch = $2
            AND (due_at < $4 OR since_config <> $3) RETURNING {", ".join(_NAMES)}""",  # noqa: S608 our own column names
        branch.bandit_key,
        branch.branch,
        since_config,
        until,
    )
    found = [Rehearsed(**row) for row in rows]
    return sorted(
        (one for one in found if one.since_config == since_config),
        key=lambda one: (one.due_at, one.decision_id),
    )


async def readiness(connection: Connection, branch: Branch) -> bytes | None:
    """What was counted of the branch, as JSON."""
    state: str | None = await connection.fetchval(
        "SELECT readiness FROM model_branches WHERE bandit_key = $1 AND branch = $2",
        branch.bandit_key,
        branch.branch,
    )
    return None if state is None else state.encode()


async def save_readiness(connection: Connection, branch: Branch, state: bytes) -> None:
    """Keep what was counted of the branch."""
    await connection.execute(
        "UPDATE model_branches SET readiness = $3 WHERE bandit_key = $1 AND branch = $2",
        branch.bandit_key,
        branch.branch,
        state.decode(),
    )
