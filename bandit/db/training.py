"""What waits to be settled, and the training log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta

from bandit.db import bandits, decisions
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection
from bandit.db.seals import seal_of
from bandit.errors import ArchivedError, BrokenLogError
from bandit.types import Branch, Decision, Settlement, Value

#: From decision to commit it takes less, in seconds.
_BEING_MADE = 1.0


class Due(Value, frozen=True, kw_only=True):
    """A decision whose reward can be settled."""

    decision_id: str
    decided_at: datetime
    #: Events that occurred later do not count.
    due_at: datetime
    #: Since when it can be settled: its window is over, or a terminal event is there, if before the decision.
    ready_at: datetime


class LogEntry(Value, frozen=True, kw_only=True):
    """One line of the training log with its decision."""

    seq: int
    reward: float
    #: Events that occurred later do not count.
    due_at: datetime
    #: How many reward events of the decision were there when it was settled, whether they counted or not.
    events: int
    #: The version whose reward definition it was settled by.
    config_version: int
    decision: Decision


#: Decisions that wait and have a terminal event since $1. Laterals, so that what waits, which is much, is
#: looked up by index for each signal, of which there are few: a young table's statistics suggest otherwise.
_SIGNALLED = """
    SELECT u.bandit_key, u.decided_at, s.signalled_at FROM reward_signals s
    CROSS JOIN LATERAL (SELECT * FROM unsettled WHERE decision_id = s.decision_id OFFSET 0) AS u
    JOIN bandits b ON b.bandit_key = u.bandit_key
    JOIN bandit_configs c ON (c.bandit_key, c.config_version) = (b.bandit_key, b.config_version)
    WHERE s.signalled_at >= $1 AND s.kind = ANY(c.terminal_kinds)
"""


async def bandits_with_work(connection: Connection, *, signals_since: datetime) -> dict[str, bool]:
    """Keys of bandits that have something to settle, or a branch that has not learned all of the log.

    With each, whether it has a candidate.
    """
    rows = await connection.fetch(
        f"""SELECT w.bandit_key, EXISTS (SELECT FROM model_branches c WHERE c.bandit_key = w.bandit_key
                                         AND c.state = 'candidate') AS has_candidate FROM (
           SELECT bandit_key FROM bandits b
           WHERE (SELECT min(due_at) FROM unsettled u WHERE u.bandit_key = b.bandit_key) <= now()
           UNION
           SELECT bandit_key FROM ({_SIGNALLED}) AS s
           UNION
           SELECT b.bandit_key FROM model_branches b
           WHERE b.state <> 'retired' AND b.trained_through <
                 (SELECT max(trained_through) FROM model_branches o WHERE o.bandit_key = b.bandit_key)
           ) AS w""",  # noqa: S608 our own text
        signals_since,
    )
    return {row["bandit_key"]: row["has_candidate"] for row in rows}


async def due(
    connection: Connection,
    bandit_key: str,
    terminal_kinds: Sequence[str],
    *,
    signals_since: datetime,
    limit: int,
) -> list[Due]:
    """Up to `limit` decisions of the bandit to settle now, oldest first: window over, or a terminal event."""
    rows = await connection.fetch(
        """SELECT decision_id, decided_at, due_at, min(ready_at) AS ready_at FROM (
               (SELECT decision_id, decided_at, due_at, due_at AS ready_at FROM unsettled
                WHERE bandit_key = $1 AND due_at <= now() ORDER BY due_at LIMIT $4)
               UNION ALL
               (SELECT s.decision_id, u.decided_at, u.due_at, s.signalled_at FROM reward_signals s
                CROSS JOIN LATERAL (SELECT * FROM unsettled WHERE decision_id = s.decision_id OFFSET 0) AS u
                WHERE u.bandit_key = $1 AND s.signalled_at >= $3 AND s.kind = ANY($2::text[]) LIMIT $4)
           ) AS found GROUP BY decision_id, decided_at, due_at ORDER BY decided_at, decision_id LIMIT $4""",
        bandit_key,
        list(terminal_kinds),
        signals_since,
        limit,
    )
    return [Due(**row) for row in rows]


async def lag(connection: Connection, *, signals_since: datetime) -> float:
    """For how many seconds the oldest decision waits that can be settled; 0.0 if there is none."""
    seconds = await connection.fetchval(
        f"""SELECT extract(epoch FROM now() - least(now(), (
               SELECT min(due_at) FROM bandits b CROSS JOIN LATERAL (
                   SELECT min(u.due_at) AS due_at FROM unsettled u WHERE u.bandit_key = b.bandit_key) AS u
           ), (
               SELECT min(greatest(signalled_at, decided_at)) FROM ({_SIGNALLED}) AS s
           )))::float8""",  # noqa: S608 our own text
        signals_since,
    )
    return float(seconds)


async def settled_until(connection: Connection, bandit_key: str, reward_wait: float) -> datetime:
    """All decisions of the bandit that are due before this time are settled, by their window or before.

    Decisions that are being made just now, of which the database does not know yet, are due later.
    """
    until: datetime = await connection.fetchval(
        "SELECT least(now() + $2, min(due_at)) FROM unsettled WHERE bandit_key = $1",
        bandit_key,
        timedelta(seconds=reward_wait - _BEING_MADE),
    )
    return until


async def append(connection: Connection, bandit_key: str, entries: Sequence[LogEntry]) -> None:
    """Give settled decisions their places in the training log; they no longer wait."""
    ids = [entry.decision.decision_id for entry in entries]
    rows = [
        (
            bandit_key,
            e.seq,
            e.decision.decision_id,
            e.decision.decided_at,
            e.due_at,
            e.reward,
            e.events,
            e.config_version,
        )
        for e in entries
    ]
    await connection.copy_records_to_table(
        "training_log", columns=[*_SEALED, "seal"], records=[(*row, seal_of(*row)) for row in rows]
    )
    await connection.execute("DELETE FROM unsettled WHERE decision_id = ANY($1::text[])", ids)
    await connection.execute("DELETE FROM reward_signals WHERE decision_id = ANY($1::text[])", ids)


async def drop_spent_signals(connection: Connection) -> None:
    """Forget signals that have nothing left to say: settled decisions, and orphans beyond any window."""
    await connection.execute(
        """DELETE FROM reward_signals s WHERE s.signalled_at < now() - interval '32 days'
           OR EXISTS (SELECT FROM training_log t WHERE t.decision_id = s.decision_id)"""
    )


async def try_lock(connection: Connection, bandit_key: str) -> bool:
    """Become the one learner of the bandit for as long as this connection lives; False if there is one."""
    got = await connection.fetchval(
        "SELECT pg_try_advisory_lock(hashtextextended('segbandit:' || $1, 0))", bandit_key
    )
    return bool(got)


async def settled_among(connection: Connection, decision_ids: Iterable[str]) -> set[str]:
    """Those of the decisions that are settled."""
    rows = await connection.fetch(
        "SELECT decision_id FROM training_log WHERE decision_id = ANY($1::text[])", list(decision_ids)
    )
    return {row["decision_id"] for row in rows}


async def settlement(connection: Connection, decision_id: str) -> Settlement | None:
    """How the decision was settled; None while it waits."""
    row = await connection.fetchrow(
        "SELECT seq, reward, config_version, settled_at FROM training_log WHERE decision_id = $1", decision_id
    )
    return Settlement(**row) if row else None


async def end(connection: Connection, bandit_key: str) -> int:
    """The place of the last entry of the bandit's training log, archived ones too; 0 before the first."""
    newest = await connection.fetchval(
        """SELECT greatest(archived_through, (SELECT max(seq) FROM training_log WHERE bandit_key = $1))
           FROM bandits WHERE bandit_key = $1""",
        bandit_key,
    )
    return int(newest or 0)


async def begin(connection: Connection, bandit_key: str) -> int:
    """The place before the first line of the bandit's training log that is there, though gaps may follow."""
    oldest = await connection.fetchval("SELECT min(seq) FROM training_log WHERE bandit_key = $1", bandit_key)
    return int(oldest or 1) - 1


async def hold(connection: Connection) -> None:
    """Let nothing of the log be archived until the transaction ends, of which this is the first statement.

    What its snapshot shows of the log would else point to decisions that are gone with their partition.
    """
    await connection.execute("LOCK TABLE ONLY decisions IN ACCESS SHARE MODE")


async def log(
    connection: Connection,
    configs: ConfigCache,
    branch: Branch,
    after: int,
    through: int,
    chunk: int = 1_000,
) -> AsyncIterator[list[LogEntry]]:
    """The training log's entries with after < seq <= through, in order, in chunks, as the branch learns them.

    Raises:
        ArchivedError: the log begins later.
        BrokenLogError: an entry or its decision is missing.
    """
    if after < through:
        await check_there(connection, branch.bandit_key, after)
    while after < through:
        upto = min(after + chunk, through)
        rows = await connection.fetch(_LOG, branch.bandit_key, after, upto, branch.branch)
        versions = {(row["bandit_key"], row["config_version"]) for row in rows if row["pmf"] is not None}
        known = await configs.get(connection, versions)
        entries = []
        for seq, row in zip(range(after + 1, upto + 1), rows, strict=False):
            if row["seq"] != seq or row["pmf"] is None:
                raise _broken(branch.bandit_key, seq)
            decision = decisions.from_row(row, known[row["bandit_key"], row["config_version"]])
            entries.append(
                LogEntry(
                    seq=seq,
                    reward=row["reward"],
                    due_at=row["due_at"],
                    events=row["events"],
                    config_version=row["settled_by"],
                    decision=decision,
                )
            )
        if len(rows) < upto - after:
            raise _broken(branch.bandit_key, after + len(rows) + 1)
        yield entries
        after = upto


async def check_there(connection: Connection, bandit_key: str, after: int) -> None:
    """All lines after this place are in the database.

    Raises:
        ArchivedError: some are not, they were archived.
    """
    if after < await bandits.archived_through(connection, bandit_key):
        raise await archived(connection, bandit_key, after + 1)


async def archived(connection: Connection, bandit_key: str, seq: int) -> ArchivedError:
    """The error that says that this line of the log is no longer in the database."""
    begins = await bandits.archived_through(connection, bandit_key) + 1
    folder = await connection.fetchval("SELECT folder FROM archived_days ORDER BY archived_at DESC LIMIT 1")
    return ArchivedError(
        f"expected the training log of bandit {bandit_key!r} from line {seq} on, but it begins at line "
        f"{begins}: older lines are in {folder} as Parquet. What begins there or later can be folded, and "
        "models whose bytes are kept can be served.",
        target=f"training_log[{seq}]",
    )


def _broken(bandit_key: str, seq: int) -> BrokenLogError:
    return BrokenLogError(
        f"expected place {seq} of the training log of {bandit_key!r} and its decision, got nothing there: "
        "rows were removed by hand.",
        target=f"training_log[{seq}]",
    )


#: A lateral join, so that each decision is looked up in the one partition that its time names.
_LOG = """
    SELECT t.seq, t.bandit_key, coalesce(r.reward, t.reward) AS reward, t.due_at, t.events,
           t.config_version AS settled_by, t.decision_id, t.decided_at, d.*
    FROM training_log t
    LEFT JOIN LATERAL (
        SELECT activated_at, subject, context, actions, excluded_actions, deferred, logged_choice, positions,
               pmf, chosen, draw, model_version, config_version, mode, unboosted, seen
        FROM decisions WHERE decision_id = t.decision_id AND decided_at = t.decided_at OFFSET 0
    ) AS d ON true
    LEFT JOIN reward_revisions r ON r.bandit_key = t.bandit_key AND r.branch = $4 AND r.seq = t.seq
    WHERE t.bandit_key = $1 AND t.seq > $2 AND t.seq <= $3
    ORDER BY t.seq
"""
_SEALED = ["bandit_key", "seq", "decision_id", "decided_at", "due_at", "reward", "events", "config_version"]


class Line(Value, frozen=True, kw_only=True):
    """A line of the training log as it stands."""

    seq: int
    decision_id: str
    due_at: datetime
    reward: float
    events: int
    config_version: int
    #: Whether it is as it was written.
    sealed: bool


async def lines(connection: Connection, bandit_key: str, after: int, through: int) -> list[Line]:
    """The lines in (after, through], in order."""
    rows = await connection.fetch(
        "SELECT * FROM training_log WHERE bandit_key = $1 AND seq > $2 AND seq <= $3 ORDER BY seq",
        bandit_key,
        after,
        through,
    )
    return [
        Line(
            **{name: row[name] for name in Line.__struct_fields__ if name != "sealed"},
            sealed=seal_of(*(row[name] for name in _SEALED)) == row["seal"],
        )
        for row in rows
    ]


async def misplaced(connection: Connection, bandit_key: str) -> str | None:
    """A decision that should be either settled or waiting until it is due, and is not; None: there is none.

    When an activated decision is due depends on when it was activated, so only that it waits is looked at.
    """
    decision_id: str | None = await connection.fetchval(
        """SELECT decision_id FROM (
               SELECT d.decision_id FROM decisions d
               LEFT JOIN unsettled u USING (decision_id) LEFT JOIN training_log t USING (decision_id)
               WHERE d.bandit_key = $1 AND (NOT d.deferred OR d.activated_at IS NOT NULL)
                 AND (u.decision_id IS NULL) = (t.decision_id IS NULL)
               UNION ALL
               SELECT t.decision_id FROM training_log t
               LEFT JOIN decisions d ON (d.decision_id, d.decided_at) = (t.decision_id, t.decided_at)
               WHERE t.bandit_key = $1 AND d.bandit_key IS DISTINCT FROM t.bandit_key
                 AND NOT (d.decision_id IS NULL AND t.seq <=  -- archived, and its line is to be deleted next
                          (SELECT archived_through FROM bandits WHERE bandit_key = $1))
               UNION ALL
               SELECT u.decision_id FROM unsettled u
               LEFT JOIN decisions d ON (d.decision_id, d.decided_at) = (u.decision_id, u.decided_at)
               LEFT JOIN bandit_configs c
                      ON (c.bandit_key, c.config_version) = (d.bandit_key, d.config_version)
               WHERE $1 IN (u.bandit_key, d.bandit_key)
                 AND (u.bandit_key IS DISTINCT FROM d.bandit_key OR (NOT d.deferred AND 1e-3 <
                      abs(extract(epoch FROM u.due_at - u.decided_at)
                          - (c.config->>'reward_wait')::float8)))
           ) AS found ORDER BY decision_id LIMIT 1""",
        bandit_key,
    )
    return decision_id
