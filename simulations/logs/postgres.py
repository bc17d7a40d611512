"""The settled decisions of a bandit, straight from the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

from bandit import history
from bandit.records import Record
from simulations.logs import check, values
from simulations.logs.rows import Chunk, Logged, Problem

T = TypeVar("T")


class PostgresLog:
    """Those made in [since, until), in the order in which they were learned; rewards that came late count.

    What is settled later does not come in: each reading gives the same rows. A row's number is its place in
    the training log. Decisions of mode logging_only have no pmf.

    Raises:
        NotFoundError: no such bandit.
        ArchivedError, when it is read: some of the days were archived; says which.
    """

    def __init__(
        self,
        url: str,
        bandit_key: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        chunk: int = 10_000,
    ) -> None:
        self.name = bandit_key
        self._url = url
        self._since, self._until = since, until
        self._chunk = chunk
        with _Loop() as loop:
            self.reward_range, self._through = loop.run(self._look())

    async def _look(self) -> tuple[tuple[float, float], int]:
        async with history.opened(self._url) as connection:
            header = await history.header(connection, self.name)
            return header.reward_range, await history.end(connection, self.name)

    def chunks(self) -> Iterator[Chunk]:
        """See `Log`."""
        return check.chunked(self._found(), self._chunk, self.reward_range)

    def _found(self) -> Iterator[Logged | Problem]:
        with _Loop() as loop:
            pages = self._pages()
            try:
                while page := loop.run(_next(pages)):
                    for record in page:
                        yield check.checked(values.logged(record.seq, record))
            finally:
                loop.run(pages.aclose())

    async def _pages(self) -> AsyncGenerator[list[Record], None]:
        async with history.opened(self._url) as connection:
            pages = history.read(
                connection, self.name, through=self._through, since=self._since, until=self._until
            )
            async for page in pages:
                yield page


async def _next(pages: AsyncGenerator[list[Record], None]) -> list[Record]:
    return await anext(pages, [])


class _Loop:
    """An event loop in a thread of its own: who reads may have one already, as a notebook does."""

    def __enter__(self) -> _Loop:
        self._thread = ThreadPoolExecutor(1, "segbandit-log")
        self._runner = asyncio.Runner()
        return self

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives."""
        return self._thread.submit(self._runner.run, work).result()

    def __exit__(self, *_: object) -> None:
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()
