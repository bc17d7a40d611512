"""Bring a database to the newest schema, and keep partitions ahead of time."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config

from bandit.db.pool import Connection, address

#: Days for which partitions stand ready.
DAYS_AHEAD = 14


def migrate(url: str) -> None:
    """Run all outstanding migrations; safe to call from several machines at once."""
    with as_file(files("migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder))
        driver_url = address(url).replace("postgresql://", "postgresql+asyncpg://", 1)
        config.set_main_option("sqlalchemy.url", driver_url.replace("%", "%%"))
        command.upgrade(config, "head")


async def ensure_partitions(connection: Connection, today: date | None = None) -> None:
    """Make the daily partitions of `decisions` from yesterday to two weeks ahead, where they are missing."""
    first = (today or datetime.now(UTC).date()) - timedelta(days=1)
    await connection.execute("SET lock_timeout = '5s'")
    existing = {
        match[1]
        for row in await connection.fetch(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'decisions'::regclass"
        )
        if (match := re.search(r"decisions_(\d{8})$", row["name"]))
    }
    for day in (first + timedelta(days=offset) for offset in range(DAYS_AHEAD + 2)):
        if f"{day:%Y%m%d}" not in existing:
            await connection.execute(
                f"""CREATE TABLE IF NOT EXISTS decisions_{day:%Y%m%d} PARTITION OF decisions
                    FOR VALUES FROM ('{day} 00:00+00') TO ('{day + timedelta(days=1)} 00:00+00')"""
            )
