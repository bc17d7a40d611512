"""The bandits this process serves: loaded when asked for, swapped for newer ones, unloaded when unused.

Everything that uses a model runs in the event loop's thread, in the step in which it got it or among what is
called next. So whatever is swapped or unloaded is freed after that, and nobody needs to count who uses it.
"""

from __future__ import annotations

import asyncio
import ctypes
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from bandit import metrics, serving
from bandit.db.pool import Database
from bandit.serving import Serving
from bandit.settings import Settings

_log = structlog.get_logger()


class Servings:
    """Loads bandits when they are first asked for and keeps them fresh. `run` beside the requests."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._servings: dict[str, Serving] = {}
        #: When each of them was last asked for, in seconds of the monotonic clock.
        self._used: dict[str, float] = {}
        #: The memory that they take, in bytes.
        self._size = 0
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        #: Keys of bandits that may have changed; some of them are not loaded.
        self._heard_of: set[str] = set()
        self._changed = asyncio.Event()
        #: Set once changes are heard of; before that some could be missed.
        self.listening = asyncio.Event()

    async def get(self, bandit_key: str) -> Serving:
        """The bandit to serve; valid until the event loop comes round again, and what it calls then is done.

        Raises:
            NotFoundError: no such bandit.
            UnavailableError: it is not loaded yet, and the database is away.
        """
        loaded = self.loaded(bandit_key)
        if loaded is None:
            loaded = await self._load(bandit_key)
            self._used[bandit_key] = time.monotonic()
        return loaded

    def loaded(self, bandit_key: str) -> Serving | None:
        """The same, where it is loaded."""
        loaded = self._servings.get(bandit_key)
        if loaded is not None:
            self._used[bandit_key] = time.monotonic()
        return loaded

    async def refresh(self, bandit_keys: Iterable[str] | None = None) -> None:
        """Swap each of these bandits, or of all, of which there is a newer configuration or model."""
        keys = self._servings.keys() if bandit_keys is None else self._servings.keys() & bandit_keys
        held = {key: self._servings[key] for key in keys}
        for bandit_key in await serving.outdated(self._database, held.values()) if held else ():
            try:
                await self._swap(bandit_key, held[bandit_key])
            except Exception as error:  # one bandit's failure, whatever it is, must not keep the others stale
                metrics.refresh_failed()
                _log.error("bandit not refreshed", bandit_key=bandit_key, exc_info=error)

    def unload_idle(self) -> int:
        """Free every bandit that was not asked for in a while; how many."""
        until = time.monotonic() - self._settings.idle_seconds
        idle = [key for key, used in self._used.items() if used < until]
        self._unload(idle, "idle")
        return len(idle)

    async def run(self) -> None:
        """Refresh when told of a change, and every so often in case nobody told; for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(serving.watch(self._database, self._heard, self._may_have_missed))
            group.create_task(self._refresh_for_ever())

    def close(self) -> None:
        """Free all models."""
        for loaded in self._servings.values():
            loaded.close()
        self._servings.clear()
        self._used.clear()
        self._size = 0
        metrics.loaded(0, 0)

    def _heard(self, bandit_key: str) -> None:
        self._heard_of.add(bandit_key)
        self._changed.set()

    def _may_have_missed(self) -> None:
        self.listening.set()
        self._heard_of.update(self._servings)
        self._changed.set()

    async def _refresh_for_ever(self) -> None:
        looked_at_all = float("-inf")
        while True:
            with suppress(TimeoutError):  # not wait_for, which may swallow a cancellation
                async with asyncio.timeout(self._settings.poll_seconds):
                    await self._changed.wait()
            heard_of, self._heard_of = self._heard_of, set()
            self._changed.clear()
            everything = time.monotonic() >= looked_at_all + self._settings.poll_seconds
            try:
                await self.refresh(None if everything else heard_of)
                if everything:
                    looked_at_all = time.monotonic()
                    if self.unload_idle():
                        await asyncio.sleep(0)  # until they are freed
                        await asyncio.to_thread(_give_back)
            except Exception as error:  # what is loaded goes on being served, and the next look may succeed
                metrics.refresh_failed()
                _log.warning("not refreshed", error=str(error))
                await asyncio.sleep(1.0)

    async def _load(self, bandit_key: str) -> Serving:
        async with self._locks[bandit_key]:
            loaded = self._servings.get(bandit_key)
            if loaded is None:
                try:
                    loaded = await serving.load(self._database, bandit_key)
                except BaseException:
                    self._locks.pop(bandit_key, None)  # or unknown keys would fill the memory
                    raise
                self._hold(bandit_key, loaded)
            return loaded

    async def _swap(self, bandit_key: str, outdated: Serving) -> None:
        async with self._locks[bandit_key]:
            before = self._servings.get(bandit_key)
            if before is None:
                return  # unloaded meanwhile
            if before is not outdated and not await serving.outdated(self._database, [before]):
                return  # somebody else has swapped it
            new = await serving.load(self._database, bandit_key, instead_of=before)
            if self._servings.get(bandit_key) is not before:
                new.close()  # unloaded while it was loaded
                return
            self._hold(bandit_key, new)
        if new.model_version != before.model_version:
            oldest = new.oldest_ready_at
            metrics.swapped(None if oldest is None else (datetime.now(UTC) - oldest).total_seconds())

    def _hold(self, bandit_key: str, loaded: Serving) -> None:
        """Serve this from now on; those longest unused make room for it."""
        before = self._servings.get(bandit_key)
        self._size += loaded.size - (before.size if before else 0)
        if before is not None:
            _free(before)
        self._servings[bandit_key] = loaded
        self._used.setdefault(bandit_key, time.monotonic())
        if self._size > self._settings.model_memory * 2**20:
            self._unload(list(self._too_many(bandit_key)), "limit")
        metrics.loaded(len(self._servings), self._size)

    def _too_many(self, but: str) -> Iterator[str]:
        over = self._size - self._settings.model_memory * 2**20
        for bandit_key in sorted(self._used, key=self._used.__getitem__):
            if over <= 0:
                return
            size = self._servings[bandit_key].size
            if size and bandit_key != but:
                over -= size
                yield bandit_key

    def _unload(self, bandit_keys: list[str], why: str) -> None:
        for bandit_key in bandit_keys:
            unloaded = self._servings.pop(bandit_key)
            self._size -= unloaded.size
            _free(unloaded)
            del self._used[bandit_key]
        if bandit_keys:
            metrics.unloaded(len(bandit_keys), why)
            metrics.loaded(len(self._servings), self._size)


def _free(unused: Serving) -> None:
    """Free it after those who are to be called soon: they may have got it just before."""
    asyncio.get_running_loop().call_soon(unused.close)


def _give_back() -> None:
    """Give freed memory back to the operating system; the C library, if it is GNU's, would keep it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
