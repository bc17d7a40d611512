"""Old days of decisions: what of them is still needed, and how the rest leaves the database.

A day is sorted out into a small table of what is still needed; the rest is exported. Then the small table
takes the place of the day's partition, in a transaction of some milliseconds that copies nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal

import asyncpg

from bandit.db.pool import Connection
from bandit.types import Value

#: Any constant does, as long as every process that archives takes the same.
_ONE_AT_A_TIME = 7_305_223
#: How long everybody who decides may queue behind us while we wait for the table.
_LOCK_TIMEOUT = "30ms"
#: No transaction that activates a decision takes longer.
_ACTIVATING = timedelta(minutes=1)
#: Rows that are read at a time.
_CHUNK = 500
#: By which columns rows that were exported are deleted; of the decisions themselves the claims on their ids.
KEYS = {
    "decisions": ("decision_id",),
    "training_log": ("bandit_key", "seq"),
    "reward_events": ("source", "event_id", "seal"),
}

#: For each bandit: the lines of the training log after `seq` are needed by a branch that learns, to go on.
_KEEP_AFTER = """
    SELECT b.bandit_key, min(coalesce(m.resumes_after, b.begins_after)) AS seq
    FROM model_branches b
    LEFT JOIN model_versions m ON (m.bandit_key, m.model_version) = (b.bandit_key, b.newest_version)
    WHERE b.state <> 'retired' GROUP BY b.bandit_key
"""
#: Decisions of a day that wait for their reward, or whose line of the log is needed.
_NEEDED = f"""
    SELECT decision_id, decided_at FROM unsettled WHERE decided_at >= $1 AND decided_at < $2
    UNION
    SELECT t.decision_id, t.decided_at FROM ({_KEEP_AFTER}) AS k
    JOIN training_log t ON t.bandit_key = k.bandit_key AND t.seq > k.seq
    WHERE t.decided_at >= $1 AND t.decided_at < $2
"""  # noqa: S608 our own text


class Part(Value, frozen=True, kw_only=True):
    """What leaves the database of one day at one time, and stands in files."""

    day: date
    #: 1; then 2 for the rest, which was still needed when the first one left.
    part: int
    #: Where the files are.
    folder: str
    decisions: int = 0
    training_log: int = 0
    reward_events: int = 0
    #: How many decisions of the day are still needed, and stay.
    kept: int = 0


class SortedOut(Value, frozen=True, kw_only=True):
    """A day whose needed decisions were copied to a table of their own."""

    day: date
    part: int
    kept: int
    #: How many decisions it had.
    total: int
    #: For each bandit, the last line of the log that is no longer needed.
    through: dict[str, int]
    activated_since: datetime
    #: How many decisions were activated since then.
    activated: int


def _bounds(day: date) -> tuple[str, str, str]:
    """The partition of the day, and its limits."""
    return f"decisions_{day:%Y%m%d}", f"{day} 00:00+00", f"{day + timedelta(days=1)} 00:00+00"


def _dropped(day: date) -> str:
    table, _, _ = _bounds(day)
    same = "(k.decision_id, k.decided_at) = (d.decision_id, d.decided_at)"
    return f"SELECT * FROM {table} d WHERE NOT EXISTS (SELECT FROM {table}_kept k WHERE {same})"  # noqa: S608 our own names


async def try_lock(connection: Connection) -> bool:
    """Become the one who archives, for as long as this connection is used; False if there is one."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", _ONE_AT_A_TIME))


async def sort_out(connection: Connection, day: date) -> SortedOut | None:
    """Copy what is still needed of a day; None: leave the day as it is. Inside a transaction of one snapshot.

    Once something of a day was archived, the rest waits until none of it is needed, so that a day comes in
    two parts at most.
    """
    table, since, until = _bounds(day)
    limits = await connection.fetchrow("SELECT $1::text::timestamptz, $2::text::timestamptz", since, until)
    await connection.execute(f"DROP TABLE IF EXISTS {table}_kept")  # of a day that was put off
    parts = await connection.fetchval("SELECT count(*) FROM archived_days WHERE day = $1", day)
    total = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 our own names
    needed = f"FROM {table} d JOIN ({_NEEDED}) AS n USING (decision_id, decided_at)"
    kept = await connection.fetchval(f"SELECT count(*) {needed}", *limits)
    if kept and (parts or kept == total):
        return None
    await connection.execute(
        f"""CREATE TABLE {table}_kept (LIKE {table} INCLUDING ALL,
            CHECK (decided_at >= '{since}' AND decided_at < '{until}'))"""  # so nothing is read to attach it
    )
    await connection.execute(f"INSERT INTO {table}_kept SELECT d.* {needed}", *limits)
    through = await connection.fetch(
        f"""SELECT t.bandit_key, max(t.seq) AS seq FROM ({_dropped(day)}) AS d
            JOIN training_log t USING (decision_id, decided_at) GROUP BY t.bandit_key"""  # noqa: S608 our own names
    )
    activated_since = await connection.fetchval("SELECT now()") - _ACTIVATING
    return SortedOut(
        day=day,
        part=parts + 1,
        kept=kept,
        total=total,
        through={row["bandit_key"]: row["seq"] for row in through},
        activated_since=activated_since,
        activated=await _activated(connection, table, activated_since),
    )


async def _activated(connection: Connection, table: str, since: datetime) -> int:
    found = f"SELECT count(*) FROM {table} WHERE activated_at >= $1"  # noqa: S608 our own names
    return int(await connection.fetchval(found, since))


class Table(Value, frozen=True, kw_only=True):
    """One of the tables that are exported, as far as it is about a day that was sorted out."""

    name: str
    query: str


def exported(day: date) -> list[Table]:
    """What is exported of a day that was sorted out."""
    gone = f"({_dropped(day)}) AS d"
    return [
        Table(name="decisions", query=_dropped(day)),
        Table(
            name="training_log",
            query=f"""SELECT t.* FROM training_log t JOIN {gone} USING (decision_id, decided_at)
                      ORDER BY t.bandit_key, t.seq""",  # noqa: S608 our own names
        ),
        Table(
            name="reward_events",
            query=f"SELECT e.* FROM reward_events e JOIN {gone} USING (decision_id)",  # noqa: S608 our own names
        ),
    ]


async def columns(connection: Connection, table: Table) -> dict[str, str]:
    """The type of each column."""
    statement = await connection.prepare(table.query)
    return {column.name: column.type.name for column in statement.get_attributes()}


async def count(connection: Connection, table: Table) -> int:
    """How many rows are exported of it."""
    return int(await connection.fetchval(f"SELECT count(*) FROM ({table.query}) AS gone"))  # noqa: S608 our own text


async def rows(connection: Connection, table: Table) -> AsyncIterator[Sequence[Sequence[Any]]]:
    """What is exported of it, in chunks. Inside a transaction."""
    cursor = await connection.cursor(table.query)
    while found := await cursor.fetch(_CHUNK):
        yield found


async def swap(connection: Connection, found: SortedOut, part: Part) -> Literal["done", "held", "changed"]:
    """Put what is still needed in the place of the day's partition, unless somebody holds the table, or
    activated a decision of the day, or needs its lines of the log after all: then nothing is changed."""
    table, since, until = _bounds(found.day)
    bandits, through = list(found.through), list(found.through.values())
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            # Who begins a branch, or makes one live, has its bandit's row: before us, or after.
            await connection.execute(
                "SELECT FROM bandits WHERE bandit_key = ANY($1::text[]) FOR NO KEY UPDATE NOWAIT", bandits
            )
            needed = await connection.fetchval(
                f"""SELECT EXISTS (SELECT FROM ({_KEEP_AFTER}) AS k
                    JOIN unnest($1::text[], $2::bigint[]) AS gone (bandit_key, seq) USING (bandit_key)
                    WHERE gone.seq > k.seq)""",  # noqa: S608 our own text
                bandits,
                through,
            )
            # A machine whose clock is days behind may have decided on that day, after we looked.
            total = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 our own names
            if needed or total != found.total:
                return "changed"
            await connection.execute(
                """UPDATE bandits b SET archived_through = gone.seq
                   FROM unnest($1::text[], $2::bigint[]) AS gone (bandit_key, seq)
                   WHERE b.bandit_key = gone.bandit_key AND b.archived_through < gone.seq""",
                bandits,
                through,
            )
            await connection.execute(
                """INSERT INTO archived_days (day, part, folder, decisions, training_log, reward_events)
                   VALUES ($1, $2, $3, $4, $5, $6)""",
                part.day, part.part, part.folder, part.decisions, part.training_log, part.reward_events,
            )  # fmt: skip
            limits = f"FOR VALUES FROM ('{since}') TO ('{until}')"
            attach = f"""ALTER TABLE {table}_kept RENAME TO {table};
                         ALTER TABLE decisions ATTACH PARTITION {table} {limits}"""
            # From here on all who decide wait, so it is one round trip, and then the commit.
            await connection.execute(
                f"""LOCK TABLE ONLY decisions IN ACCESS EXCLUSIVE MODE;
                    DO $$ BEGIN
                        IF (SELECT count(*) FROM {table} WHERE activated_at >= '{found.activated_since}')
                           <> {found.activated} THEN RAISE 'activated'; END IF;
                    END $$;
                    ALTER TABLE decisions DETACH PARTITION {table};
                    ALTER TABLE {table} RENAME TO {table}_dropped;
                    {attach if found.kept else f"DROP TABLE {table}_kept"}"""  # noqa: S608 our own names, numbers and times
            )
    except asyncpg.RaiseError:
        return "changed"
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        return "held"
    return "done"


async def to_delete(connection: Connection) -> list[Part]:
    """Parts whose partition is gone, while lines, events and claims of them may still be there."""
    found = await connection.fetch(
        """SELECT day, part, folder, decisions, training_log, reward_events FROM archived_days
           WHERE NOT deleted ORDER BY day, part"""
    )
    return [Part(**row) for row in found]


async def drop(connection: Connection, part: Part) -> None:
    """Drop what was the partition, which nobody reads any more."""
    await connection.execute(f"DROP TABLE IF EXISTS {_bounds(part.day)[0]}_dropped")


async def delete(connection: Connection, table: str, part: Part, keys: Sequence[Sequence[Any]]) -> None:
    """Delete exported rows of a table by their `KEYS`."""
    values = [list(column) for column in zip(*keys, strict=True)]
    if table == "decisions":  # a claim that is younger is another one: the id was free again
        _, _, until = _bounds(part.day)
        await connection.execute(
            """DELETE FROM decision_claims
               WHERE decision_id = ANY($1::text[]) AND decided_at < $2::text::timestamptz""",
            *values,
            until,
        )
    elif table == "training_log":
        await connection.execute(
            """DELETE FROM training_log t USING unnest($1::text[], $2::bigint[]) AS gone (bandit_key, seq)
               WHERE (t.bandit_key, t.seq) = (gone.bandit_key, gone.seq)""",
            *values,
        )
    else:  # the seal covers when it was received: the same event, sent again since, is another row
        await connection.execute(
            """DELETE FROM reward_events e
               USING unnest($1::text[], $2::text[], $3::bigint[]) AS gone (source, event_id, seal)
               WHERE (e.source, e.event_id, e.seal) = (gone.source, gone.event_id, gone.seal)""",
            *values,
        )


async def deleted(connection: Connection, part: Part) -> None:
    """Note that nothing of the part is left to be deleted."""
    await connection.execute(
        "UPDATE archived_days SET deleted = true WHERE day = $1 AND part = $2", part.day, part.part
    )


async def in_default(connection: Connection, before: date) -> int:
    """How many decisions older than this day lie in the default partition, from where none is dropped."""
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM decisions_default WHERE decided_at < $1::text::timestamptz",
            f"{before} 00:00+00",
        )
    )
