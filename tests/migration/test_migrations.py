from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, date, datetime

from alembic import command
from alembic.config import Config

from bandit.db import schema
from bandit.db.pool import Connection, connect

_TABLES = """
    SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2
"""


def _columns(url: str) -> list[tuple[str, ...]]:
    async def read() -> list[tuple[str, ...]]:
        connection = await connect(url)
        rows = await connection.fetch(_TABLES)
        await connection.close()
        return [tuple(row) for row in rows]

    return asyncio.run(read())


def test_up_down_and_up_again_gives_the_same_schema(empty_database_url: str) -> None:
    schema.migrate(empty_database_url)
    first = _columns(empty_database_url)
    assert {"decisions", "training_log", "model_versions"} <= {row[0] for row in first}
    config = Config()
    config.set_main_option("script_location", "migrations")
    url = empty_database_url.replace("postgresql://", "postgresql+asyncpg://")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.downgrade(config, "base")
    assert _columns(empty_database_url) == []
    schema.migrate(empty_database_url)
    schema.migrate(empty_database_url)  # and again: nothing to do
    assert _columns(empty_database_url) == first


def test_two_machines_may_migrate_at_once(empty_database_url: str) -> None:
    code = f"from bandit.db import schema; schema.migrate({empty_database_url!r})"
    machines = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [machine.wait(timeout=60) for machine in machines] == [0, 0, 0]
    assert _columns(empty_database_url)


async def test_partitions_are_made_ahead_once_and_decisions_land_in_them(connection: Connection) -> None:
    await schema.ensure_partitions(connection, date(2030, 1, 10))
    await schema.ensure_partitions(connection, date(2030, 1, 11))
    names = [
        row["name"]
        for row in await connection.fetch(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits "
            "WHERE inhparent = 'decisions'::regclass ORDER BY 1"
        )
    ]
    assert "decisions_20300109" in names
    assert "decisions_20300125" in names
    assert "decisions_20300126" not in names
    today = f"decisions_{datetime.now(UTC):%Y%m%d}"
    assert today in names


async def test_a_day_whose_rows_lie_in_the_default_partition_stops_nothing(connection: Connection) -> None:
    await connection.execute(
        """INSERT INTO decisions (decision_id, decided_at, draw, model_version, config_version, chosen,
                                  deferred, bandit_key, mode, context, excluded_actions, pmf, seal)
           VALUES ('d', '2031-01-10 12:00+00', 0, 0, 1, 0, false, 'b', 'online', '{}', '{}', '{1}', 0)"""
    )
    await schema.ensure_partitions(connection, date(2031, 1, 10))
    assert await connection.fetchval("SELECT count(*) FROM decisions_default") == 1
    assert await connection.fetchval("SELECT to_regclass('decisions_20310111') IS NOT NULL")
    assert await connection.fetchval("SHOW lock_timeout") == "0"


def test_migrations_wait_for_nobodys_lock_for_long(empty_database_url: str) -> None:
    """A migration in front of a busy table gives up instead of queueing everyone behind it."""
    schema.migrate(empty_database_url)
    code = f"from bandit.db import schema; schema.migrate({empty_database_url!r})"

    async def hold_and_migrate() -> str:
        holder = await connect(empty_database_url)
        async with holder.transaction():
            await holder.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
            ran = await asyncio.to_thread(
                subprocess.run, [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
            )
        await holder.close()
        assert ran.returncode != 0
        return ran.stderr.decode()

    assert "lock timeout" in asyncio.run(hold_and_migrate())
