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
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
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
        return self.learners[0]

    @property
    def learners(self) -> list[psutil.Process]:
        """The same; none while serve is about to start another."""
        return self._children("learner")

    @property
    def workers(self) -> list[psutil.Process]:
        """The API processes, where there are several."""
        return self._children("--multiprocessing-fork")

    def _children(self, word: str) -> list[psutil.Process]:
        alive = [c for c in psutil.Process(self.process.pid).children() if c.status() != psutil.STATUS_ZOMBIE]
        return [child for child in alive if word in child.cmdline()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(database_url: str, *options: str, log: Path | None = None, **settings: Any) -> Iterator[Running]:
    """`segbandit serve` on a free port, ready; stopped with the block. Its words go to `log`, if given."""
    port = free_port()
    environment = os.environ | {"DATABASE_URL": database_url}
    environment |= {f"SEGBANDIT_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port), *options]
    with log.open("a") if log else nullcontext() as words:
        process = subprocess.Popen(command, env=environment, stderr=words)
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


@contextmanager
def minded_database(folder: Path, *, log: Path) -> Iterator[str]:
    """An embedded PostgreSQL whose minder, a process of its own, starts it again whenever it dies."""
    code = "import sys, pathlib; from bandit.db import embedded; "
    code += "print(embedded.start(pathlib.Path(sys.argv[1]), mind=True), flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(folder)]
    pipe = subprocess.PIPE
    with (
        log.open("a") as words,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=words, text=True) as minder,
    ):
        assert minder.stdout is not None
        address = next(line for line in minder.stdout if line.startswith("postgresql://"))
        yield address.strip()  # the end of its input, with the block, is the end of the minder
