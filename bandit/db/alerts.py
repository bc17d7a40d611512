"""Alerts, and the state of what they watch."""

from __future__ import annotations

from bandit.db.pool import Connection
from bandit.steering import Alert, AlertKind, Finding

_ALERT = ", ".join(Alert.__struct_fields__)


async def tallies(connection: Connection, bandit_key: str) -> bytes | None:
    """The state of what is watched of the bandit, as JSON; None: there is none yet."""
    state: str | None = await connection.fetchval(
        "SELECT state FROM share_tallies WHERE bandit_key = $1", bandit_key
    )
    return None if state is None else state.encode()


async def save_tallies(connection: Connection, bandit_key: str, config_version: int, state: bytes) -> None:
    """Keep it, judged by this configuration."""
    await connection.execute(
        """INSERT INTO share_tallies (bandit_key, config_version, state) VALUES ($1, $2, $3)
           ON CONFLICT (bandit_key) DO UPDATE
           SET config_version = excluded.config_version, state = excluded.state""",
        bandit_key,
        config_version,
        state.decode(),
    )


async def outdated(connection: Connection) -> list[str]:
    """Bandits that have open alerts, judged by another configuration than the one in force."""
    rows = await connection.fetch(
        """SELECT DISTINCT b.bandit_key
           FROM alerts JOIN bandits b USING (bandit_key) LEFT JOIN share_tallies t USING (bandit_key)
           WHERE cleared_at IS NULL AND t.config_version IS DISTINCT FROM b.config_version"""
    )
    return [row["bandit_key"] for row in rows]


async def opened(connection: Connection, bandit_key: str | None = None) -> list[Alert]:
    """The open alerts of a bandit, or of all that are in service, the newest first."""
    rows = await connection.fetch(
        f"""SELECT {_ALERT} FROM alerts JOIN bandits USING (bandit_key)
            WHERE cleared_at IS NULL AND (bandit_key = $1 OR $1::text IS NULL AND archived_at IS NULL)
            ORDER BY alert DESC""",  # noqa: S608 our own column names
        bandit_key,
    )
    return [Alert(**row) for row in rows]


async def past(
    connection: Connection, bandit_key: str, *, before: int | None = None, limit: int = 100
) -> list[Alert]:
    """Alerts of the bandit under `before` that were cleared, the newest first."""
    rows = await connection.fetch(
        f"""SELECT {_ALERT} FROM alerts
            WHERE bandit_key = $1 AND cleared_at IS NOT NULL AND ($2::bigint IS NULL OR alert < $2)
            ORDER BY alert DESC LIMIT $3""",  # noqa: S608 our own column names
        bandit_key,
        before,
        limit,
    )
    return [Alert(**row) for row in rows]


async def raise_(connection: Connection, bandit_key: str, seq: int, found: Finding) -> None:
    """Open an alert, unless one of this kind is open for this target."""
    await connection.execute(
        """INSERT INTO alerts (bandit_key, kind, target, value, bound, seq) VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT (bandit_key, kind, target) WHERE cleared_at IS NULL DO NOTHING""",
        bandit_key,
        found.kind,
        found.target,
        found.value,
        found.bound,
        seq,
    )


async def update(connection: Connection, alert: Alert, seq: int, found: Finding) -> None:
    """Say what is measured now; what is well clears it."""
    await connection.execute(
        """UPDATE alerts SET value = $2, bound = $3, seq = $4,
                  cleared_at = CASE WHEN $5 THEN now() END WHERE alert = $1""",
        alert.alert,
        found.value,
        found.bound,
        seq,
        found.alarming is False,
    )


async def clear(connection: Connection, alert: Alert) -> None:
    """It is over, as it stands."""
    await connection.execute("UPDATE alerts SET cleared_at = now() WHERE alert = $1", alert.alert)


async def clear_unrenewed(
    connection: Connection, bandit_key: str, kind: AlertKind, through: int
) -> list[Alert]:
    """Clear open alerts of this kind that were measured at this line of the log, or before."""
    rows = await connection.fetch(
        f"""UPDATE alerts SET cleared_at = now()
            WHERE bandit_key = $1 AND kind = $2 AND seq <= $3 AND cleared_at IS NULL RETURNING {_ALERT}""",  # noqa: S608 our own column names
        bandit_key,
        kind,
        through,
    )
    return [Alert(**row) for row in rows]


async def count(connection: Connection) -> dict[str, int]:
    """How many are open, by kind, of bandits in service."""
    rows = await connection.fetch(
        """SELECT kind, count(*) AS count FROM alerts JOIN bandits USING (bandit_key)
           WHERE cleared_at IS NULL AND archived_at IS NULL GROUP BY kind"""
    )
    return {row["kind"]: row["count"] for row in rows}
