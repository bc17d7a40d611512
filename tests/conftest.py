"""One real PostgreSQL per run, one database per test, cloned from a migrated template."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import hypothesis
import pytest

from api.app import create_app
from bandit.db import embedded, schema
from bandit.db.pool import Connection, Database, connect
from bandit.learner import Learner
from bandit.settings import Settings

# The same examples every time, and no test that depends on how fast the machine is.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")

_TEMPLATE = "segbandit_template"
_numbers = count()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Where the shared data sets lie; tests that need them say so when they are missing."""
    folder = Settings().shared_data
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder.absolute()}; set SEGBANDIT_SHARED_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An embedded server, or the one that SEGBANDIT_TEST_DATABASE_URL names."""
    given = os.environ.get("SEGBANDIT_TEST_DATABASE_URL")
    return given or embedded.start(tmp_path_factory.mktemp("data"))


def _sql(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await connect(url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


def _named(url: str, database: str) -> str:
    address, question, options = url.partition("?")
    return address.rpartition("/")[0] + "/" + database + question + options


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    url = _named(server_url, _TEMPLATE)
    _sql(server_url, f"DROP DATABASE IF EXISTS {_TEMPLATE}")
    _sql(server_url, f"CREATE DATABASE {_TEMPLATE}")
    schema.migrate(url)
    return _TEMPLATE


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """A database without any schema."""
    with cloned_database(server_url, "template1") as url:
        yield url


@contextmanager
def cloned_database(server_url: str, template: str) -> Iterator[str]:
    """A new database, dropped with the block."""
    name = f"segbandit_test_{next(_numbers)}"
    _sql(server_url, f"DROP DATABASE IF EXISTS {name}")
    _sql(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _named(server_url, name)
    _sql(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    with cloned_database(server_url, template) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, size=4)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """A connection of the test's own, to look at what was stored or to break it."""
    connection = await connect(database_url)
    yield connection
    await connection.close()


@asynccontextmanager
async def api_process(url: str, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """The app as one API process would run it, and a client of it."""
    app = create_app(Settings(database_url=url, **settings))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.framework.router.lifespan_context(app.framework),
        httpx2.AsyncClient(transport=transport, base_url="http://segbandit") as client,
    ):
        client.app = app.framework  # type: ignore[attr-defined]  # for tests that look behind the wire
        yield client


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with api_process(database_url) as client:
        yield client


Step = Callable[[], Awaitable[int]]


@pytest.fixture
async def learn(database_url: str) -> AsyncIterator[Step]:
    """Settle and learn everything that is due, once; gives the number of decisions settled."""
    settings = Settings(database_url=database_url)
    connection = await connect(database_url)
    learner = Learner(database_url, settings)

    async def step() -> int:
        return await learner.step(connection)

    yield step
    learner.close()
    await connection.close()
