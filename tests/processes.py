"""The whole service as its users run it: real processes, a real port, a real database."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil


@dataclass(frozen=True)
class Running:
    """A started `segbandit serve`."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def learner(self) -> psutil.Process:
        """The learner process that serve minds."""
        return next(
            child for child in psutil.Process(self.process.pid).children() if "learner" in child.cmdline()
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(database_url: str, *options: str, **settings: Any) -> Iterator[Running]:
    """`segbandit serve` on a free port, ready; stopped with the block."""
    port = free_port()
    environment = os.environ | {"DATABASE_URL": database_url}
    environment |= {f"SEGBANDIT_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port), *options]
    process = subprocess.Popen(command, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, "the service ended"
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=2):  # noqa: S310 our own address
                    break
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
        else:
            raise AssertionError("the service did not get ready in 30 s")
        yield Running(url, process)
    finally:
        process.terminate()
        process.wait(timeout=20)
