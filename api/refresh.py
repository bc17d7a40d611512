"""The bandits this process serves, swapped for newer ones while requests are in flight.

Everything that uses a model runs in the event loop's thread and holds it only between two awaits, so after a
swap nobody uses the old one and its memory is given back at once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from bandit import metrics, serving
from bandit.db.pool import Database
from bandit.errors import NotFoundError
from bandit.serving import Serving

_log = structlog.get_logger()


class Servings:
    """Loads bandits when they are first asked for and keeps them fresh. `run` beside the requests."""

    def __init__(self, database: Database, poll_seconds: float) -> None:
        self._database = database
        self._poll_seconds = poll_seconds
        self._servings: dict[str, Serving] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._changed = asyncio.Event()
        #: Set once changes are heard of; before that some could be missed.
        self.listening = asyncio.Event()

    async def get(self, bandit_key: str) -> Serving:
        """The bandit to serve; valid until the next await.

        Raises:
            NotFoundError: no such bandit.
            UnavailableError: it is not loaded yet, and the database is away.
        """
        loaded = self._servings.get(bandit_key)
        return loaded if loaded is not None else await self._load(bandit_key, replace=False)

    async def refresh(self) -> None:
        """Swap every bandit of which there is a newer configuration or model."""
        for bandit_key in await serving.outdated(self._database, list(self._servings.values())):
            try:
                await self._load(bandit_key, replace=True)
            except Exception as error:  # one bandit's failure, whatever it is, must not keep the others stale
                metrics.refresh_failed()
                _log.error("bandit not refreshed", bandit_key=bandit_key, exc_info=error)

    async def run(self) -> None:
        """Refresh when told of a change, and every so often in case nobody told; for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(serving.watch(self._database, self._heard))
            group.create_task(self._refresh_for_ever())

    def close(self) -> None:
        """Free all models."""
        for loaded in self._servings.values():
            loaded.close()
        self._servings.clear()

    def _heard(self) -> None:
        self.listening.set()
        self._changed.set()

    async def _refresh_for_ever(self) -> None:
        while True:
            with suppress(TimeoutError):  # not wait_for, which may swallow a cancellation
                async with asyncio.timeout(self._poll_seconds):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self.refresh()
            except Exception as error:  # what is loaded goes on being served, and the next look may succeed
                metrics.refresh_failed()
                _log.warning("not refreshed", error=str(error))
                await asyncio.sleep(1.0)

    async def _load(self, bandit_key: str, *, replace: bool) -> Serving:
        async with self._locks[bandit_key]:
            old = self._servings.get(bandit_key)
            if old is not None and not replace:
                return old
            try:
                new = await serving.load(self._database, bandit_key, instead_of=old)
            except NotFoundError:
                self._locks.pop(bandit_key, None)  # or unknown keys would fill the memory
                raise
            self._servings[bandit_key] = new
            metrics.loaded(len(self._servings))
            if old is not None:
                old.close()
                _measure(old, new)
            return new


def _measure(old: Serving, new: Serving) -> None:
    if new.model_version != old.model_version:
        oldest = new.oldest_ready_at
        metrics.swapped(None if oldest is None else (datetime.now(UTC) - oldest).total_seconds())
