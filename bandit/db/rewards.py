"""Raw reward events, and the signals that tell the learner which of them may settle a decision at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from bandit.db.pool import Connection
from bandit.db.seals import seal_of
from bandit.types import ReceivedEvent


async def insert(connection: Connection, events: Sequence[ReceivedEvent]) -> set[tuple[str, str]]:
    """Keep these events; the (source, event_id) pairs that were new."""
    rows = await connection.fetch(
        """INSERT INTO reward_events
               (source, event_id, decision_id, kind, value, occurred_at, received_at, corrects, seal)
           SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[],
                                $6::timestamptz[], $7::timestamptz[], $8::text[], $9::bigint[])
               AS e (source, event_id, decision_id, kind, value, occurred_at, received_at, corrects, seal)
           ORDER BY source, event_id
           ON CONFLICT DO NOTHING RETURNING source, event_id""",
        [e.source for e in events],
        [e.event_id for e in events],
        [e.decision_id for e in events],
        [e.kind for e in events],
        [e.value for e in events],
        [e.occurred_at for e in events],
        [e.received_at for e in events],
        [e.corrects for e in events],
        [_seal(e) for e in events],
    )
    return {(row["source"], row["event_id"]) for row in rows}


async def first(
    connection: Connection, events: Sequence[ReceivedEvent]
) -> dict[tuple[str, str], ReceivedEvent]:
    """What is kept under the (source, event_id) of each of these events."""
    rows = await connection.fetch(
        f"""SELECT {_COLUMNS} FROM reward_events e
           JOIN unnest($1::text[], $2::text[]) AS w (source, event_id) USING (source, event_id)""",  # noqa: S608 our own column names
        [e.source for e in events],
        [e.event_id for e in events],
    )
    return {(row["source"], row["event_id"]): ReceivedEvent(**row) for row in rows}


async def signal(connection: Connection, events: Sequence[ReceivedEvent]) -> None:
    """Point the learner at events that may settle their decision at once."""
    if events:
        await connection.copy_records_to_table(
            "reward_signals",
            columns=["source", "event_id", "decision_id", "kind"],
            records=[(e.source, e.event_id, e.decision_id, e.kind) for e in events],
        )


async def for_decisions(
    connection: Connection, decision_ids: Iterable[str]
) -> defaultdict[str, list[ReceivedEvent]]:
    """All events of each decision, in no particular order."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM reward_events WHERE decision_id = ANY($1::text[])",  # noqa: S608 our own column names
        list(decision_ids),
    )
    found: defaultdict[str, list[ReceivedEvent]] = defaultdict(list)
    for row in rows:
        found[row["decision_id"]].append(ReceivedEvent(**row))
    return found


async def unsealed(connection: Connection, decision_ids: Iterable[str]) -> tuple[int, list[tuple[str, str]]]:
    """How many events these decisions have, and (source, event_id) of those not as they were written."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS}, seal FROM reward_events WHERE decision_id = ANY($1::text[])",  # noqa: S608 our own column names
        list(decision_ids),
    )
    return len(rows), [
        (row["source"], row["event_id"])
        for row in rows
        if _seal(ReceivedEvent(**{name: row[name] for name in ReceivedEvent.__struct_fields__}))
        != row["seal"]
    ]


_COLUMNS = ", ".join(ReceivedEvent.__struct_fields__)


def _seal(event: ReceivedEvent) -> int:
    return seal_of(*(getattr(event, name) for name in ReceivedEvent.__struct_fields__))
