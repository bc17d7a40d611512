"""Bandits and their append-only configuration versions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from bandit.db.pool import CHANGED, WORK, Connection, notify
from bandit.db.seals import seal_of
from bandit.errors import BrokenLogError, NotFoundError
from bandit.types import Bandit, BanditConfig, Candidate

_SELECT = """
    SELECT b.bandit_key, c.config_version, c.config, b.salt, b.created_at,
           b.archived_at IS NOT NULL AS archived, r.branch, r.config_version AS candidate_version,
           k.config AS candidate_config
    FROM bandits b JOIN bandit_configs c USING (bandit_key)
    LEFT JOIN model_branches r ON r.bandit_key = b.bandit_key AND r.state = 'candidate'
    LEFT JOIN bandit_configs k ON k.bandit_key = r.bandit_key AND k.config_version = r.config_version
"""
_decode_config = msgspec.json.Decoder(BanditConfig).decode


async def insert(connection: Connection, bandit: Bandit) -> bool:
    """Create a bandit with its first configuration; False if the key is taken."""
    created = await connection.fetchval(
        """INSERT INTO bandits (bandit_key, salt, config_version, created_at) VALUES ($1, $2, $3, $4)
           ON CONFLICT DO NOTHING RETURNING true""",
        bandit.bandit_key,
        bandit.salt,
        bandit.config_version,
        bandit.created_at,
    )
    if created:
        await insert_config(connection, bandit)
    return bool(created)


async def update(connection: Connection, bandit: Bandit) -> None:
    """Put the next configuration of a bandit that was read with `lock=True` in force, and tell everybody."""
    await insert_config(connection, bandit)
    await connection.execute(
        "UPDATE bandits SET config_version = $2 WHERE bandit_key = $1",
        bandit.bandit_key,
        bandit.config_version,
    )
    await notify(connection, CHANGED, bandit.bandit_key)
    await notify(connection, WORK, bandit.bandit_key)


async def insert_config(connection: Connection, bandit: Bandit) -> None:
    """Keep a configuration version, without putting it in force."""
    config = msgspec.json.encode(bandit.config).decode()
    await connection.execute(
        """INSERT INTO bandit_configs (bandit_key, config_version, config, seal, terminal_kinds)
           VALUES ($1, $2, $3, $4, $5)""",
        bandit.bandit_key,
        bandit.config_version,
        config,
        seal_of(bandit.bandit_key, bandit.config_version, config, bandit.config.terminal_kinds),
        bandit.config.terminal_kinds,
    )


async def next_config_version(connection: Connection, bandit_key: str) -> int:
    """The number of the next configuration of a bandit that was read with `lock=True`."""
    newest = await connection.fetchval(
        "SELECT max(config_version) FROM bandit_configs WHERE bandit_key = $1", bandit_key
    )
    return int(newest) + 1


async def unsealed(connection: Connection, bandit_key: str) -> list[int]:
    """Those configuration versions of the bandit that are missing, or not as they were written.

    Raises:
        NotFoundError: no such bandit.
    """
    newest = await connection.fetchval("SELECT config_version FROM bandits WHERE bandit_key = $1", bandit_key)
    if newest is None:
        raise _no_such_bandit(bandit_key)
    rows = await connection.fetch("SELECT * FROM bandit_configs WHERE bandit_key = $1", bandit_key)
    good = {
        row["config_version"]
        for row in rows
        if seal_of(bandit_key, row["config_version"], row["config"], row["terminal_kinds"]) == row["seal"]
    }
    newest = max(newest, *(row["config_version"] for row in rows), 0)
    return sorted(set(range(1, newest + 1)) - good)


async def archived_through(connection: Connection, bandit_key: str) -> int:
    """Up to here the bandit's training log was archived; every later line is there. 0: nothing was.

    It stays as it is while the bandit is read with `lock=True`, or the log is held (`training.hold`).
    """
    archived = await connection.fetchval(
        "SELECT archived_through FROM bandits WHERE bandit_key = $1", bandit_key
    )
    return int(archived)


async def archive(connection: Connection, bandit_key: str) -> None:
    """Take the bandit out of service; what it has logged and learned stays."""
    await connection.execute(
        "UPDATE bandits SET archived_at = coalesce(archived_at, now()) WHERE bandit_key = $1", bandit_key
    )
    await notify(connection, CHANGED, bandit_key)


async def get(
    connection: Connection, bandit_key: str, *, config_version: int | None = None, lock: bool = False
) -> Bandit:
    """The bandit under its current configuration, or under `config_version`.

    With `lock`, nobody else changes it until the transaction ends.

    Raises:
        NotFoundError: no such bandit.
    """
    if lock:  # a statement of its own: what is read after it is what the last holder wrote
        await connection.execute("SELECT FROM bandits WHERE bandit_key = $1 FOR NO KEY UPDATE", bandit_key)
    row = await connection.fetchrow(
        _SELECT + " WHERE b.bandit_key = $1 AND c.config_version = coalesce($2, b.config_version)",
        bandit_key,
        config_version,
    )
    if row is None and config_version is not None and await get(connection, bandit_key):
        raise NotFoundError(
            f"config_version: expected a configuration of bandit {bandit_key!r}, got {config_version}.",
            target="config_version",
        )
    if row is None:
        raise _no_such_bandit(bandit_key)
    return _bandit(row)


def _no_such_bandit(bandit_key: str) -> NotFoundError:
    return NotFoundError(
        f"bandit_key: expected the key of an existing bandit, got {bandit_key!r}; "
        "create it with POST /v1/bandits.",
        target="bandit_key",
    )


async def listed(connection: Connection) -> list[Bandit]:
    """All bandits, by key."""
    rows = await connection.fetch(
        _SELECT + " WHERE c.config_version = b.config_version ORDER BY b.bandit_key"
    )
    return [_bandit(row) for row in rows]


class ConfigCache:
    """Configuration versions never change, so each is read and decoded once per process."""

    def __init__(self, size: int = 1_000) -> None:
        self._size = size
        self._configs: dict[tuple[str, int], BanditConfig] = {}

    async def get(
        self, connection: Connection, versions: Iterable[tuple[str, int]]
    ) -> dict[tuple[str, int], BanditConfig]:
        """The configurations for these (bandit_key, config_version) pairs."""
        wanted = set(versions)
        missing = sorted(wanted - self._configs.keys())
        if missing:
            rows = await connection.fetch(
                """SELECT c.bandit_key, c.config_version, c.config FROM bandit_configs c
                   JOIN unnest($1::text[], $2::int[]) AS w (bandit_key, config_version)
                   USING (bandit_key, config_version)""",
                [key for key, _ in missing],
                [version for _, version in missing],
            )
            if len(self._configs) + len(rows) > self._size:
                self._configs = {pair: c for pair, c in self._configs.items() if pair in wanted}
            for row in rows:
                self._configs[row["bandit_key"], row["config_version"]] = _decode_config(row["config"])
        if gone := wanted - self._configs.keys():
            key, version = min(gone)
            raise BrokenLogError(
                f"expected configuration {version} of bandit {key!r}, got nothing: rows were removed or "
                "changed by hand.",
                target=f"configuration {version}",
            )
        return {pair: self._configs[pair] for pair in wanted}

    async def current(self, connection: Connection, bandit_keys: Iterable[str]) -> dict[str, BanditConfig]:
        """The configuration in force of each of these bandits."""
        rows = await connection.fetch(
            "SELECT bandit_key, config_version FROM bandits WHERE bandit_key = ANY($1::text[])",
            list(bandit_keys),
        )
        found = await self.get(connection, {(row["bandit_key"], row["config_version"]) for row in rows})
        return {bandit_key: config for (bandit_key, _), config in found.items()}


def _bandit(row: Any) -> Bandit:
    candidate = None
    if row["branch"] is not None:
        candidate = Candidate(
            branch=row["branch"],
            config_version=row["candidate_version"],
            policy=_decode_config(row["candidate_config"]).policy,
        )
    return Bandit(
        bandit_key=row["bandit_key"],
        config_version=row["config_version"],
        config=_decode_config(row["config"]),
        salt=row["salt"],
        archived=row["archived"],
        created_at=row["created_at"],
        candidate=candidate,
    )


async def earlier_in_force(connection: Connection, bandit: Bandit) -> AsyncIterator[tuple[int, BanditConfig]]:
    """The configurations that were in force before this one, by number, newest first."""
    before = bandit.config_version
    while rows := await connection.fetch(
        """SELECT config_version, config FROM bandit_configs c
           WHERE bandit_key = $1 AND config_version < $2 AND EXISTS (
               SELECT FROM audit_log a
               WHERE a.bandit_key = c.bandit_key AND a.config_version = c.config_version)
           ORDER BY config_version DESC LIMIT 20""",
        bandit.bandit_key,
        before,
    ):
        for row in rows:
            yield row["config_version"], _decode_config(row["config"])
        before = rows[-1]["config_version"]
