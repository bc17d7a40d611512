"""Start and mind the processes of the service: API workers and the learner."""

from __future__ import annotations

import asyncio
import ipaddress
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, TypeVar

import structlog
import typer
import uvicorn

from api.app import create_app
from bandit.db import embedded, schema
from bandit.db.pool import LONG_PATIENCE, Database
from bandit.errors import SetupError
from bandit.learner import Learner
from bandit.settings import Settings

_log = structlog.get_logger()
T = TypeVar("T")
#: The first start makes a database, which takes some seconds; a slow disk may take longer.
_START_SECONDS = 60.0

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the embedded database; SEGBANDIT_DATA_DIR, else .data", show_default=False),
]
Host = Annotated[str, typer.Option(help="A loopback address: there are no API keys yet.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)]
Workers = Annotated[int, typer.Option(help="API processes.", min=1, max=64)]

Minded = Annotated[bool, typer.Option("--minded", hidden=True, help="End when the parent process ends.")]
WithLearner = Annotated[
    bool, typer.Option("--learner/--no-learner", help="Run a learner beside the API, or the API alone.")
]


def prepared(data_dir: Path | None, *, mind: bool = False, create: bool = False) -> Settings:
    """Settings with a database behind them: the given one, or an embedded one that is started here.

    Processes started from this one find it in their environment.
    """
    settings = Settings()
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir})
        os.environ["SEGBANDIT_DATA_DIR"] = str(data_dir.absolute())
    if settings.database_url is None:
        if not create and not (settings.data_dir / "postgres").exists():
            raise SetupError(
                f"expected a database in {settings.data_dir.absolute()}, got none. Go to the folder where "
                "the service runs, name its --data-dir or DATABASE_URL, or begin one with `segbandit serve`."
            )
        url = embedded.start(settings.data_dir, mind=mind)
        settings = settings.model_copy(update={"database_url": url})
    os.environ["DATABASE_URL"] = settings.database_url or ""
    return settings


def migrated(data_dir: Path | None, *, mind: bool = False) -> Settings:
    """`prepared`, with the newest schema and partitions in place."""
    settings = prepared(data_dir, mind=mind, create=True)
    schema.migrate(settings.database_url or "")
    return settings


def with_database(settings: Settings, use: Callable[[Database], Awaitable[T]]) -> T:
    """Use the database and close it."""

    async def run() -> T:
        database = Database(settings.database_url or "", size=2, patience=LONG_PATIENCE)
        await database.open()
        try:
            return await use(database)
        finally:
            await database.close()

    return asyncio.run(run())


def migrate(data_dir: DataDir = None) -> None:
    """Bring the database to the newest schema.

    Example: segbandit migrate
    """
    migrated(data_dir)
    typer.echo("The schema is up to date.")


def learner(data_dir: DataDir = None, *, minded: Minded = False) -> None:
    """Run the learner alone: it settles, learns and publishes for every bandit no other learner holds.

    Example: DATABASE_URL=postgresql://me@db/segbandit segbandit learner
    """
    settings = prepared(data_dir)
    if minded:
        _die_with_parent()
        os.nice(5)  # whoever waits for a decision comes first

    async def run() -> None:
        task = asyncio.ensure_future(Learner(settings.database_url or "", settings).run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    asyncio.run(run())


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    workers: Workers = 1,
    data_dir: DataDir = None,
    *,
    with_learner: WithLearner = True,
) -> None:
    """Run the service: migrate, then API and learner, until Ctrl-C.

    Example: segbandit serve --port 8080 --workers 2
    """
    check_address(host, port)
    migrated(data_dir, mind=True)
    with measuring(), minded_learner() if with_learner else nullcontext():
        _log.info("serving", api=f"http://{host}:{port}", docs=f"http://{host}:{port}/docs")
        uvicorn.run(
            "cli.service:api_worker",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            log_level="warning",
            access_log=False,
            ws="none",
            proxy_headers=False,  # nothing depends on where a request comes from
            timeout_keep_alive=75,  # longer than a proxy in front keeps a connection that it may use again
            timeout_graceful_shutdown=10,
            timeout_worker_healthcheck=30,  # on a busy machine one takes longer than 5 s to start
        )


@contextmanager
def measuring() -> Iterator[None]:
    """This process and those started in the block share what they measure (see bandit/metrics.py)."""
    with TemporaryDirectory(prefix="segbandit-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield


def api_worker() -> Any:
    """The app of one API process; one that was started by `serve` does not outlive it."""
    if multiprocessing.parent_process() is not None:
        _die_with_parent()
    return create_app()


def check_address(host: str, port: int) -> None:
    """Refuse what cannot or must not be listened on.

    Raises:
        SetupError: not a loopback address, or the port is taken.
    """
    name = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ipaddress.ip_address(name).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SetupError(
            f"--host: expected a loopback address such as 127.0.0.1, got {host!r}: without API keys anyone "
            "who reaches the port could decide and reward. Put a proxy that authenticates in front."
        )
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((name, port))
        except OSError as error:
            raise SetupError(
                f"--port: expected a free port, got {port}: {error.strerror}. Stop what listens there, or "
                "choose another with --port."
            ) from error


@contextmanager
def started_service(port: int, data_dir: Path | None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The whole service in a process of its own, ready; its address. It is stopped with the block.

    Raises:
        SetupError: it does not come up.
    """
    check_address("127.0.0.1", port)
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port)]
    command += ["--data-dir", str(data_dir)] if data_dir is not None else []
    process = subprocess.Popen(command)  # noqa: S603 our own command
    try:
        until = time.monotonic() + _START_SECONDS
        while not _ready(address):
            if process.poll() is not None or time.monotonic() > until:
                raise SetupError(
                    "expected the service to start, but it did not get ready; its own words stand above."
                )
            time.sleep(0.05)
        yield address, process
    finally:
        process.terminate()
        process.wait()


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=2) as answer:  # noqa: S310 our own address
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def minded_learner() -> Iterator[None]:
    """A learner process beside this one, started again whenever it dies."""
    stop = threading.Event()
    current: list[subprocess.Popen[bytes]] = []

    def mind() -> None:
        while not stop.is_set():
            process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "learner", "--minded"], start_new_session=True
            )
            current[:] = [process]
            code = process.wait()
            if not stop.is_set():
                _log.error("learner died, starting another", exit_code=code)
                time.sleep(0.5)

    minder = threading.Thread(target=mind, daemon=True)
    minder.start()
    try:
        yield
    finally:
        stop.set()
        for process in current:
            process.terminate()
        minder.join(timeout=10)


def _die_with_parent() -> None:
    """What `serve` started must not outlive it, even when it was killed without a word."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
