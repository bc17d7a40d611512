"""What subjects were shown lately, of bandits that limit it; and who may go on to decide for a subject."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from bandit.db.pool import Connection
from bandit.steering import Exposure

#: A bandit's key and a subject.
Pair = tuple[str, str]
#: A server has room, by default, for 64 locks times the connections it allows, and tables need some of them.
_MOST_HELD = 32


async def hold(connection: Connection, pairs: Sequence[Pair]) -> datetime:
    """Be the only one who decides for these subjects, until the transaction ends; since when, by its clock.

    There is at least one. Each is held by itself or, where there are many, all of their bandits as a whole.
    Locks are taken in one order by all, those of bandits first, so that two who hold several cannot wait for
    each other; take all of them at once. What is read in statements after this one is what others left.
    Their names are none of a learner's (`training.try_lock`), so that nobody waits for it.
    """
    many = len(pairs) > _MOST_HELD
    bandits = sorted({bandit_key for bandit_key, _ in pairs})
    subjects = [] if many else [f"{bandit_key} {subject}" for bandit_key, subject in pairs]
    rows = await connection.fetch(
        """SELECT CASE WHEN shared THEN pg_advisory_xact_lock_shared(key)::text
                       ELSE pg_advisory_xact_lock(key)::text END, clock_timestamp() AS at
           FROM (
               SELECT level, shared, hashtextextended('segbandit shown:' || name, 0) AS key
               FROM (SELECT 0, $2::boolean, unnest($1::text[]) UNION SELECT 1, false, unnest($3::text[]))
                   AS names (level, shared, name) ORDER BY level, key
           ) AS keys""",
        bandits,
        not many,
        subjects,
    )
    held_since: datetime = max(row["at"] for row in rows)
    return held_since


async def recent(
    connection: Connection, pairs: Sequence[Pair], since: datetime, most: int
) -> dict[Pair, list[Exposure]]:
    """For each of these subjects what it was shown after `since`, oldest first; the newest `most`."""
    rows = await connection.fetch(
        """SELECT pairs.bandit_key, pairs.subject, e.action_id, e.segment, e.shown_at
           FROM unnest($1::text[], $2::text[]) AS pairs (bandit_key, subject)
           CROSS JOIN LATERAL (
               SELECT * FROM exposures
               WHERE subject = pairs.subject AND bandit_key = pairs.bandit_key AND shown_at > $3
               ORDER BY shown_at DESC, exposure DESC LIMIT $4
           ) AS e ORDER BY e.shown_at, e.exposure""",
        *_columns(pairs),
        since,
        most,
    )
    found: dict[Pair, list[Exposure]] = {pair: [] for pair in pairs}
    for bandit_key, subject, *exposure in rows:
        found[bandit_key, subject].append(Exposure(*exposure))
    return found


async def insert(connection: Connection, shown: Sequence[tuple[Pair, Exposure]]) -> None:
    """Write what subjects were shown, in its order."""
    if shown:
        await connection.execute(
            """INSERT INTO exposures (bandit_key, subject, action_id, segment, shown_at)
               SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])""",
            *map(list, zip(*((*pair, *exposure) for pair, exposure in shown), strict=True)),
        )


async def drop_old(connection: Connection, age: timedelta) -> None:
    """Delete what was shown longer ago than anybody looks back."""
    await connection.execute("DELETE FROM exposures WHERE shown_at < now() - $1::interval", age)


def _columns(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    return [bandit_key for bandit_key, _ in pairs], [subject for _, subject in pairs]
