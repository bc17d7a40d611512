"""Bring a database to the newest schema, and keep partitions ahead of time."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, date, datetime, timedelta
from importlib.resources import as_file, files

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from bandit.db.pool import LONG_PATIENCE, Connection, address, connect
from bandit.errors import SetupError

_log = structlog.get_logger()
#: Any constant does, as long as every process that makes partitions takes the same.
_ONE_AT_A_TIME = 7_305_222

#: Days for which partitions stand ready.
DAYS_AHEAD = 14


def migrate(url: str) -> None:
    """Run all outstanding migrations and make partitions; safe to call from several machines at once.

    Raises:
        SetupError: the database does not answer, does not let us in, or is held by somebody.
    """
    with as_file(files("migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder))
        driver_url = address(url).replace("postgresql://", "postgresql+asyncpg://", 1)
        config.set_main_option("sqlalchemy.url", driver_url.replace("%", "%%"))
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise SetupError(
                f"expected a database of this version, got another: {error}. It was made by an earlier state "
                "of the project; use a new data directory (--data-dir) or a new database."
            ) from error
        except (OSError, SQLAlchemyError, asyncpg.PostgresError) as error:
            raise SetupError(
                f"expected a PostgreSQL that can be migrated at DATABASE_URL, got {type(error).__name__}: "
                f"{error}. Start it, correct the address, or try again when nobody holds its tables; without "
                "DATABASE_URL an embedded one is used."
            ) from error
    asyncio.run(_prepare_partitions(url))


async def _prepare_partitions(url: str) -> None:
    connection = await connect(url, patience=LONG_PATIENCE)
    await ensure_partitions(connection)
    await connection.close()


async def ensure_partitions(connection: Connection, today: date | None = None) -> None:
    """Make the daily partitions of `decisions` from yesterday to two weeks ahead, where they are missing."""
    first = (today or datetime.now(UTC).date()) - timedelta(days=1)
    existing = await partitions(connection)
    for day in (first + timedelta(days=offset) for offset in range(DAYS_AHEAD + 2)):
        if day not in existing:
            try:
                await _create_partition(connection, day)
            except (asyncpg.CheckViolationError, asyncpg.LockNotAvailableError) as error:
                # Rows of that day lie in the default partition already, or somebody holds the table: nothing
                # is lost, decisions land in the default partition.
                _log.warning("partition not made", day=str(day), error=str(error))


async def partitions(connection: Connection) -> set[date]:
    """The days (UTC) of which there is a partition."""
    rows = await connection.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'decisions'::regclass"
    )
    found = (re.search(r"decisions_(\d{4})(\d\d)(\d\d)$", row["name"]) for row in rows)
    return {date(*map(int, match.groups())) for match in found if match}


async def _create_partition(connection: Connection, day: date) -> None:
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _ONE_AT_A_TIME)
        table = f"decisions_{day:%Y%m%d}"
        if await connection.fetchval("SELECT to_regclass($1)", table) is not None:
            return  # by somebody else, just now
        # There are days left to try again, and who writes to the default partition queues behind us.
        await connection.execute("SET LOCAL lock_timeout = '200ms'")
        # Attached, not created as a partition: so nobody who decides meanwhile has to wait.
        await connection.execute(f"CREATE TABLE {table} (LIKE decisions INCLUDING ALL)")
        await connection.execute(
            f"""ALTER TABLE decisions ATTACH PARTITION {table}
                FOR VALUES FROM ('{day} 00:00+00') TO ('{day + timedelta(days=1)} 00:00+00')"""
        )
