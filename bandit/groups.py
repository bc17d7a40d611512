"""Work that shares commits: what arrives while one is under way is done together with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from bandit.db.pool import AWAY, Connection, Database
from bandit.errors import UnavailableError
from bandit.types import Decision

T = TypeVar("T")


class Answered(Protocol):
    """Who waits for a decision: for the commit, or for why there is none. A future of asyncio is one."""

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, result: Decision, /) -> None:
        """It is committed."""
        ...

    def set_exception(self, exception: Exception, /) -> None:
        """It is not."""
        ...


class Groups(Generic[T]):
    """Does what is added, a group at a time, on one connection for as long as something waits."""

    def __init__(
        self,
        database: Database,
        commit: Callable[[Connection, Sequence[T]], Awaitable[Sequence[Decision | Exception]]],
        *,
        most: int,
    ) -> None:
        """`commit` does a group of up to `most` and gives what stands for each, or why nothing does."""
        self._database = database
        self._commit_group = commit
        self._most = most
        self._waiting: list[tuple[T, Answered]] = []
        self._committing: asyncio.Task[None] | None = None

    def add(self, one: T, answered: Answered) -> None:
        """Do this in one of the next groups, and then tell who waits for it."""
        self._waiting.append((one, answered))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())

    async def _commit_all(self) -> None:
        group: list[tuple[T, Answered]] = []
        try:
            while self._waiting:
                try:
                    async with self._database.connection() as connection:
                        while self._waiting:
                            group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                            await self._commit(connection, group)
                            group = []
                except Exception as error:  # whatever it is, each caller must hear of it
                    if not group:  # there was no connection for any
                        group, self._waiting = self._waiting, []
                    _tell(group, [error] * len(group))
                    group = []
        finally:  # who is left was stopped together with us
            stopped = UnavailableError("expected to commit the decision, but was stopped. Repeat the call.")
            _tell(group, [stopped] * len(group))
            self._committing = None

    async def _commit(self, connection: Connection, group: Sequence[tuple[T, Answered]]) -> None:
        results: Sequence[Decision | Exception]
        try:
            results = await self._commit_group(connection, [one for one, _ in group])
        except AWAY:
            raise
        except Exception as error:
            if len(group) > 1:
                for one in group:  # one of them spoils the commit of all: let it fail alone
                    await self._commit(connection, [one])
                return
            results = [error]
        _tell(group, results)


def _tell(group: Sequence[tuple[T, Answered]], results: Sequence[Decision | Exception]) -> None:
    for (_, answered), result in zip(group, results, strict=True):
        if answered.done():
            continue  # its caller has gone; the decision stays logged
        if isinstance(result, Exception):
            answered.set_exception(result)
        else:
            answered.set_result(result)
