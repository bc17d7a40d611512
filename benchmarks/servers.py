"""What is measured, in processes of its own, each held to the processors it is given."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bandit.db import embedded, schema
from bandit.db.pool import connect

#: The server has the first to itself; the load generator, the database and the learner share the other.
SERVER, REST = {0}, {1}
_START_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*command: str, cpus: set[int], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that ends with the block."""
    started = subprocess.Popen([sys.executable, *command], env=os.environ | environment)
    os.sched_setaffinity(started.pid, cpus)
    try:
        yield started
    finally:
        started.terminate()
        started.wait()


@contextmanager
def serve(*options: str, cpus: set[int], **environment: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """`segbandit serve`, ready; its port."""
    port = free_port()
    command = ["-m", "cli.main", "serve", "--port", str(port), *options]
    with process(*command, cpus=cpus, **environment) as started:
        wait_until_ready(port)
        yield port, started


@contextmanager
def bare() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The bare route, ready; its port."""
    port = free_port()
    with process("-m", "benchmarks.bare", str(port), cpus=SERVER) as started:
        wait_until_ready(port)
        yield port, started


def postgres() -> tuple[str, int]:
    """An embedded PostgreSQL beside the load generator while this process lives; its address and pid."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)  # after the server that is started now has stopped
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, REST)  # which the server inherits
    url = embedded.start(Path(folder))
    os.sched_setaffinity(0, before)
    return url, int((Path(folder) / "postgres/postmaster.pid").read_text().split()[0])


def database(server: str, name: str) -> str:
    """A database of that name with the newest schema; its address."""

    async def create() -> None:
        connection = await connect(server)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(create())
    before, question, options = server.partition("?")
    url = before.rpartition("/")[0] + "/" + name + question + options
    schema.migrate(url)
    return url


def wait_until_ready(port: int) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except OSError:
            time.sleep(0.005)
    sys.exit(f"expected a server on port {port} to become ready, it did not")


def get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answered:
        return json.load(answered)


def post(port: int, path: str, body: Any) -> Any:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answered:
        return json.load(answered)
