"""What waits to be settled, the training log, and the model versions folded from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from bandit.db.bandits import ConfigCache
from bandit.db.decisions import fetch
from bandit.db.pool import CHANGED, Connection, notify
from bandit.errors import ModelRefusedError, NotFoundError
from bandit.types import Decision, ModelVersion, Settlement, Value


class Due(Value, frozen=True, kw_only=True):
    """A decision whose reward can be settled."""

    decision_id: str
    decided_at: datetime
    #: Events that occurred later do not count.
    due_at: datetime


class LogEntry(Value, frozen=True, kw_only=True):
    """One line of the training log with its decision."""

    seq: int
    reward: float
    decision: Decision


class Lineage(Value, frozen=True, kw_only=True):
    """Where a bandit's learning stands."""

    model: ModelVersion
    #: See `bandits.learning_digest`.
    learning_digest: str


async def bandits_with_work(connection: Connection, *, signals_since: datetime) -> list[str]:
    """Keys of bandits that have something to settle, or whose model was learned under other settings."""
    rows = await connection.fetch(
        """SELECT b.bandit_key FROM bandits b
           WHERE EXISTS (SELECT FROM unsettled u WHERE u.bandit_key = b.bandit_key AND u.due_at <= now())
           UNION
           SELECT u.bandit_key FROM reward_signals s
           JOIN unsettled u USING (decision_id)
           JOIN bandits b USING (bandit_key)
           JOIN bandit_configs c USING (bandit_key, config_version)
           WHERE s.signalled_at >= $1 AND s.kind = ANY(c.terminal_kinds)
           UNION
           SELECT b.bandit_key FROM bandits b
           JOIN bandit_configs c USING (bandit_key, config_version)
           CROSS JOIN LATERAL (SELECT m.learning_digest FROM model_versions m
                               WHERE m.bandit_key = b.bandit_key ORDER BY m.model_version DESC LIMIT 1) m
           WHERE m.learning_digest <> c.learning_digest""",
        signals_since,
    )
    return [row["bandit_key"] for row in rows]


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
        """SELECT decision_id, decided_at, due_at FROM (
               (SELECT decision_id, decided_at, due_at FROM unsettled
                WHERE bandit_key = $1 AND due_at <= now() ORDER BY due_at LIMIT $4)
               UNION
               (SELECT u.decision_id, u.decided_at, u.due_at
                FROM reward_signals s JOIN unsettled u USING (decision_id)
                WHERE u.bandit_key = $1 AND s.signalled_at >= $3 AND s.kind = ANY($2::text[]) LIMIT $4)
           ) AS found ORDER BY decided_at, decision_id LIMIT $4""",
        bandit_key,
        list(terminal_kinds),
        signals_since,
        limit,
    )
    return [Due(**row) for row in rows]


async def append(
    connection: Connection, bandit_key: str, config_version: int, entries: Sequence[LogEntry]
) -> None:
    """Give settled decisions their places in the training log; they no longer wait."""
    ids = [entry.decision.decision_id for entry in entries]
    await connection.copy_records_to_table(
        "training_log",
        columns=["bandit_key", "seq", "decision_id", "decided_at", "reward", "config_version"],
        records=[
            (bandit_key, e.seq, e.decision.decision_id, e.decision.decided_at, e.reward, config_version)
            for e in entries
        ],
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


async def log(
    connection: Connection,
    configs: ConfigCache,
    bandit_key: str,
    after: int,
    through: int,
    chunk: int = 1_000,
) -> AsyncIterator[list[LogEntry]]:
    """The training log's entries with after < seq <= through, in order, in chunks."""
    while after < through:
        rows = await connection.fetch(
            """SELECT seq, reward, decision_id, decided_at FROM training_log
               WHERE bandit_key = $1 AND seq > $2 AND seq <= $3 ORDER BY seq""",
            bandit_key,
            after,
            min(after + chunk, through),
        )
        found = await fetch(connection, configs, [(row["decision_id"], row["decided_at"]) for row in rows])
        yield [
            LogEntry(seq=row["seq"], reward=row["reward"], decision=found[row["decision_id"]]) for row in rows
        ]
        after += chunk


async def publish(connection: Connection, model: ModelVersion, weights: bytes, digest: str) -> None:
    """Write a model version and, when the transaction commits, tell every process."""
    row = msgspec.structs.asdict(model) | {"weights": weights, "learning_digest": digest}
    columns = list(row)
    await connection.copy_records_to_table("model_versions", columns=columns, records=[tuple(row.values())])
    await notify(connection, CHANGED, model.bandit_key)


async def latest(connection: Connection, bandit_key: str) -> Lineage | None:
    """The newest model version of the bandit; None before the first."""
    row = await connection.fetchrow(
        f"""SELECT {_MODEL}, learning_digest FROM model_versions
            WHERE bandit_key = $1 ORDER BY model_version DESC LIMIT 1""",  # noqa: S608 constant columns
        bandit_key,
    )
    return _lineage(row) if row else None


async def weights(connection: Connection, bandit_key: str, model_version: int) -> tuple[bytes, str]:
    """Bytes and recorded sha256 of one model version.

    Raises:
        ModelRefusedError: they are not kept.
    """
    row = await connection.fetchrow(
        "SELECT weights, sha256 FROM model_versions WHERE bandit_key = $1 AND model_version = $2",
        bandit_key,
        model_version,
    )
    if row is None or row["weights"] is None:
        raise ModelRefusedError(f"expected the bytes of model {model_version} of {bandit_key!r}, got none.")
    return row["weights"], row["sha256"]


async def prune_snapshots(connection: Connection, *, keep: int) -> None:
    """Drop the bytes, never the lineage, of all but the newest `keep` model versions of each bandit."""
    await connection.execute(
        """UPDATE model_versions m SET weights = NULL
           FROM (SELECT bandit_key, max(model_version) AS newest FROM model_versions GROUP BY bandit_key) n
           WHERE m.bandit_key = n.bandit_key AND m.model_version <= n.newest - $1
                 AND m.weights IS NOT NULL""",
        keep,
    )


async def lineage(connection: Connection, bandit_key: str, model_version: int) -> ModelVersion:
    """What one model version was learned from.

    Raises:
        NotFoundError: no such version.
    """
    row = await connection.fetchrow(
        f"""SELECT {_MODEL} FROM model_versions WHERE bandit_key = $1 AND model_version = $2""",  # noqa: S608 constant columns
        bandit_key,
        model_version,
    )
    if row is None:
        raise NotFoundError(f"model_version: expected one of {bandit_key!r}, got {model_version}.")
    return ModelVersion(**row)


async def newest_versions(
    connection: Connection, bandit_keys: Sequence[str]
) -> dict[str, tuple[int, int, bool]]:
    """For each key: config_version, newest model_version (0: none yet), whether it is archived."""
    rows = await connection.fetch(
        """SELECT b.bandit_key, b.config_version, b.archived_at IS NOT NULL AS archived,
                  coalesce((SELECT max(m.model_version) FROM model_versions m
                            WHERE m.bandit_key = b.bandit_key), 0) AS model_version
           FROM bandits b WHERE b.bandit_key = ANY($1::text[])""",
        list(bandit_keys),
    )
    return {r["bandit_key"]: (r["config_version"], r["model_version"], r["archived"]) for r in rows}


_MODEL = ", ".join(field.name for field in msgspec.structs.fields(ModelVersion))


def _lineage(row: Any) -> Lineage:
    values = dict(row)
    return Lineage(learning_digest=values.pop("learning_digest"), model=ModelVersion(**values))
