"""Connections to one PostgreSQL: a pool that turns its absence into `UnavailableError`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg

from bandit.errors import SetupError, UnavailableError

#: What asyncpg raises when the server is away, restarting or refusing new connections.
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement sent to a server that is just dying
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
#: An asyncpg connection, or a pool's proxy for one; the library ships no types.
Connection: TypeAlias = Any
NotMigratedError = asyncpg.UndefinedTableError

#: Something about this bandit changed: a model was published or its configuration was.
CHANGED = "segbandit_changed"
#: There may be something to settle for this bandit.
WORK = "segbandit_work"


#: How long a statement may take, in seconds, before the connection counts as dead: one that died without a
#: word would keep its user waiting for ever. What looks through a whole log gets longer.
PATIENCE, LONG_PATIENCE = 5.0, 3_600.0
#: When the server gives up a client that has fallen silent, and with it what that one holds: rows in the
#: middle of a transaction, the learner's locks. Only so can somebody else go on when a machine is gone.
_SILENT = {
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "6s",
}
_SILENT_CLIENT = {**_SILENT, "idle_in_transaction_session_timeout": "5s"}
#: Who holds locks says something at least this often, in seconds.
SIGN_OF_LIFE_SECONDS = 1.0
_SILENT_LEARNER = {**_SILENT, "idle_in_transaction_session_timeout": "6s", "idle_session_timeout": "6s"}


def address(url: str) -> str:
    """The address as the driver wants it, whatever driver the user's form of it names.

    >>> address("postgresql+psycopg://me@host/db")
    'postgresql://me@host/db'
    """
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)


async def connect(url: str, *, holds_locks: bool = False, patience: float = PATIENCE) -> Connection:
    """One connection outside any pool, for whoever holds locks or listens."""
    settings = _SILENT_LEARNER if holds_locks else {}
    try:
        return await asyncpg.connect(
            address(url), timeout=5, command_timeout=patience, server_settings=settings
        )
    except AWAY as error:
        raise _unavailable(error) from error


async def _leave(_: Connection) -> None:
    """Nothing of a session is ever changed but within a transaction, so nothing is to be reset after use."""


class Database:
    """A pool of connections. `open` before use, `close` after."""

    def __init__(self, url: str, *, size: int, patience: float = PATIENCE) -> None:
        self.url = url
        self._size = size
        self._patience = patience
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Make ready; connections are made when they are first needed, so the server may be away now."""
        self._pool = await asyncpg.create_pool(
            address(self.url),
            min_size=0,
            max_size=self._size,
            timeout=5,
            command_timeout=self._patience,
            reset=_leave,
            server_settings=_SILENT_CLIENT if self._patience == PATIENCE else {},
        )

    async def close(self) -> None:
        """Let running statements end, then disconnect."""
        if self._pool is not None:
            await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection without a transaction: each statement stands alone.

        Raises:
            UnavailableError: the server is away, or went away meanwhile.
        """
        if self._pool is None:
            raise UnavailableError("expected an open database, got one that was never opened or is closed.")
        try:
            async with self._pool.acquire(timeout=self._patience) as connection:
                yield connection
        except AWAY as error:
            await self._pool.expire_connections()  # the others were made before, and may be as dead
            raise _unavailable(error) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside one transaction: committed at the end, rolled back on any error.

        Raises:
            UnavailableError: as for `connection`; whether the transaction was committed is then unknown.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A connection whose statements all see the same moment; nothing can be written.

        Raises:
            UnavailableError: as for `connection`.
        """
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def ping(self) -> None:
        """Ask the server for a sign of life.

        Raises:
            UnavailableError: none came.
        """
        async with self.connection() as connection:
            await connection.execute("SELECT 1")


def _unavailable(error: BaseException) -> UnavailableError | SetupError:
    if isinstance(error, ValueError):
        return SetupError(f"DATABASE_URL: expected postgresql://user@host/name, got another form: {error}.")
    return UnavailableError(
        f"expected PostgreSQL to answer, got {type(error).__name__}: {error}. Nothing can be promised "
        "until it is back; repeat the call then."
    )


async def listen(url: str, channel: str, heard: Callable[[str], None], ready: Callable[[], None]) -> None:
    """Call `heard` with the payload of each notification, for ever, reconnecting when the server was away.

    `ready` is called after each (re)connection: what was notified before it may have been missed.
    """
    while True:
        try:
            connection = await connect(url)
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())  # noqa: B023 awaited in this round
            await connection.add_listener(channel, lambda *args: heard(args[3]))
            ready()
            try:
                await lost.wait()
            finally:
                await connection.close(timeout=1)
        except (UnavailableError, asyncpg.PostgresError, *AWAY):
            await asyncio.sleep(0.5)


async def notify(connection: Connection, channel: str, payload: str) -> None:
    """Tell every listener, when the surrounding transaction commits."""
    await connection.execute("SELECT pg_notify($1, $2)", channel, payload)
