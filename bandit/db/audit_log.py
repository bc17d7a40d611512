"""The audit log: who changed what of a bandit, and why. Lines are added and read, nothing else."""

from __future__ import annotations

from typing import Any

import msgspec

from bandit.changes import Author, Change, What
from bandit.db.pool import Connection


async def insert(
    connection: Connection, bandit_key: str, author: Author, what: What, details: dict[str, Any] | None = None
) -> None:
    """Note what was changed, in the transaction that changed it and after that, for the version in force."""
    await connection.execute(
        """INSERT INTO audit_log (bandit_key, who, what, why, config_version, details)
           SELECT bandit_key, $2, $3, $4, config_version, $5 FROM bandits WHERE bandit_key = $1""",
        bandit_key,
        author.who,
        what,
        author.why,
        msgspec.json.encode(details or {}).decode(),
    )


async def listed(connection: Connection, bandit_key: str, *, before: int | None, limit: int) -> list[Change]:
    """Up to `limit` changes of the bandit whose entry is under `before`, newest first."""
    rows = await connection.fetch(
        """SELECT entry, changed_at, who, what, why, config_version, details FROM audit_log
           WHERE bandit_key = $1 AND ($2::bigint IS NULL OR entry < $2) ORDER BY entry DESC LIMIT $3""",
        bandit_key,
        before,
        limit,
    )
    return [Change(**{**row, "details": msgspec.json.decode(row["details"])}) for row in rows]
