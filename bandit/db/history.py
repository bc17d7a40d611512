"""A bandit's settled decisions in the order of its training log: read to be evaluated and exported, and
written when they are imported."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

import asyncpg

from bandit.db import decisions, rewards, training
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection
from bandit.db.training import LogEntry
from bandit.errors import BrokenLogError, ConflictError, InvalidInputError
from bandit.types import Decision, ReceivedEvent, Settlement


class Past(NamedTuple):
    """A settled decision."""

    decision: Decision
    settled: Settlement
    #: Events that occurred later do not count.
    due_at: datetime
    #: How many reward events were there when it was settled.
    events: int


class Archived(NamedTuple):
    """Days that are no longer in the database."""

    first: date
    last: date
    folder: str


async def page(
    connection: Connection,
    configs: ConfigCache,
    bandit_key: str,
    *,
    after: int,
    through: int,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> list[Past]:
    """Up to `limit` lines of the log in (after, through] whose decisions were made in [since, until).

    Raises:
        BrokenLogError: a decision is missing.
    """
    rows = await connection.fetch(_PAGE, bandit_key, after, through, since, until, limit)
    if gone := [row["seq"] for row in rows if row["pmf"] is None]:
        raise missing(bandit_key, gone[0])
    known = await configs.get(connection, {(bandit_key, row["config_version"]) for row in rows})
    return [
        Past(
            decisions.from_row(row, known[bandit_key, row["config_version"]]),
            Settlement(
                seq=row["seq"],
                reward=row["reward"],
                config_version=row["settled_by"],
                settled_at=row["settled_at"],
            ),
            row["due_at"],
            row["events"],
        )
        for row in rows
    ]


def missing(bandit_key: str, seq: int) -> BrokenLogError:
    """The error that says that a line of the log or its decision is not there."""
    return BrokenLogError(
        f"expected line {seq} of the training log of {bandit_key!r} and its decision, got nothing there: "
        "rows were removed by hand.",
        target=f"training_log[{seq}]",
    )


_PAGE = """
    SELECT t.seq, t.reward, t.due_at, t.events, t.config_version AS settled_by, t.settled_at, d.*
    FROM training_log t LEFT JOIN LATERAL (
        SELECT * FROM decisions WHERE decision_id = t.decision_id AND decided_at = t.decided_at OFFSET 0
    ) AS d ON true
    WHERE t.bandit_key = $1 AND t.seq > $2 AND t.seq <= $3
      AND ($4::timestamptz IS NULL OR t.decided_at >= $4) AND ($5::timestamptz IS NULL OR t.decided_at < $5)
    ORDER BY t.seq LIMIT $6
"""


async def archived(
    connection: Connection, bandit_key: str, since: datetime | None, until: datetime | None
) -> Archived | None:
    """The archived days in [since, until), if any of the bandit's log was archived."""
    row = await connection.fetchrow(
        """SELECT min(day) AS first, max(day) AS last, max(folder) AS folder
           FROM archived_days, bandits
           WHERE bandit_key = $1 AND archived_through > 0 AND decisions > 0
             AND ($2::timestamptz IS NULL OR (day + 1)::timestamp AT TIME ZONE 'UTC' > $2)
             AND ($3::timestamptz IS NULL OR day::timestamp AT TIME ZONE 'UTC' < $3)""",
        bandit_key,
        since,
        until,
    )
    return Archived(row["first"], row["last"], row["folder"]) if row["first"] is not None else None


async def waiting(connection: Connection, bandit_key: str) -> int:
    """How many decisions are not settled: those that wait for their reward, and those not yet shown."""
    return int(
        await connection.fetchval(
            """SELECT count(*) FROM decisions d WHERE bandit_key = $1
               AND NOT EXISTS (SELECT FROM training_log t WHERE t.decision_id = d.decision_id)""",
            bandit_key,
        )
    )


async def insert(
    connection: Connection, bandit_key: str, past: Sequence[Past], events: Sequence[ReceivedEvent]
) -> None:
    """Write settled decisions, their lines of the log and their raw events.

    Raises:
        ConflictError: a decision or an event is there already.
        InvalidInputError: a text that PostgreSQL cannot hold.
    """
    made = [one.decision for one in past]
    try:
        free = await decisions.claim(connection, made)
        if len(free) < len(made):
            taken = next(one.decision_id for one in made if one.decision_id not in free)
            raise _taken(f"decision {taken!r}")
        new = await rewards.insert(connection, events)
        if len(new) < len(events):
            known = next(e for e in events if (e.source, e.event_id) not in new)
            raise _taken(f"reward event {known.event_id!r} of source {known.source!r}")
        await decisions.insert(connection, made, [0.0] * len(made))
    except asyncpg.DataError as error:
        raise InvalidInputError(f"expected text that PostgreSQL can hold, got {error}.") from error
    await training.append(connection, bandit_key, [_entry(one) for one in past])
    await _date(connection, bandit_key, past)


def _taken(what: str) -> ConflictError:
    return ConflictError(
        f"expected decisions and events that are not in this database, but {what} is, or comes twice; "
        "nothing was imported. A log is imported once into one database."
    )


def _entry(one: Past) -> LogEntry:
    settled = one.settled
    return LogEntry(
        seq=settled.seq,
        reward=settled.reward,
        due_at=one.due_at,
        events=one.events,
        config_version=settled.config_version,
        decision=one.decision,
    )


async def _date(connection: Connection, bandit_key: str, past: Sequence[Past]) -> None:
    """Give what was written the times of then: when it was settled, and when it was shown."""
    await connection.execute(
        """UPDATE training_log t SET settled_at = w.at
           FROM unnest($2::bigint[], $3::timestamptz[]) AS w (seq, at)
           WHERE t.bandit_key = $1 AND t.seq = w.seq""",
        bandit_key,
        [one.settled.seq for one in past],
        [one.settled.settled_at for one in past],
    )
    made = [one.decision for one in past]
    shown = [one for one in made if one.activated_at is not None]
    await connection.execute(
        """UPDATE decisions d SET activated_at = w.shown
           FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS w (id, at, shown)
           WHERE d.decision_id = w.id AND d.decided_at = w.at""",
        [one.decision_id for one in shown],
        [one.decided_at for one in shown],
        [one.activated_at for one in shown],
    )


async def begin_versions_after(connection: Connection, bandit_key: str, model_version: int) -> None:
    """Let the bandit's next model version have a higher number than this."""
    await connection.execute(
        "UPDATE bandits SET newest_model_version = $2 WHERE bandit_key = $1", bandit_key, model_version
    )
