"""How Alembic connects: one transaction, one migration at a time, never long in front of anyone's lock."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

#: Any constant does, as long as every process that migrates takes the same.
_ONE_AT_A_TIME = 7_305_221


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, transaction_per_migration=False)
    with context.begin_transaction():
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})"))
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        context.run_migrations()


async def _connect(url: str) -> None:
    engine = create_async_engine(url, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_migrate)
    await engine.dispose()


if (given := context.config.attributes.get("connection")) is not None:
    _migrate(given)
else:
    asyncio.run(_connect(context.config.get_main_option("sqlalchemy.url") or ""))
