"""What a request may use: one of each per process, opened and closed with the app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from api.refresh import Servings
from bandit import metrics
from bandit.db.pool import Database
from bandit.errors import SetupError
from bandit.feedback import Feedback
from bandit.limited import LimitedDecider
from bandit.settings import Settings

#: How long to wait at the start until changes are heard of.
_LISTEN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Process:
    """The things that live as long as the process."""

    database: Database
    decider: LimitedDecider
    feedback: Feedback
    servings: Servings
    settings: Settings


@asynccontextmanager
async def process(settings: Settings) -> AsyncIterator[Process]:
    """Open the database and keep models fresh until the block ends."""
    if settings.database_url is None:
        raise SetupError("expected DATABASE_URL; `segbandit serve` sets it for the processes it starts.")
    metrics.share(settings.metrics_folder)
    database = Database(settings.database_url, size=settings.pool_size)
    await database.open()
    servings = Servings(database, settings)
    refreshing = asyncio.create_task(servings.run())
    try:
        with suppress(TimeoutError):  # the database may be away; until it is back nothing can be served
            async with asyncio.timeout(_LISTEN_SECONDS):
                await servings.listening.wait()
        yield Process(database, LimitedDecider(database, servings), Feedback(database), servings, settings)
    finally:
        refreshing.cancel()
        try:
            with suppress(asyncio.CancelledError):
                await refreshing
        finally:
            servings.close()
            await database.close()


async def _of(request: Request) -> Process:
    # Not a plain function: FastAPI would run that in a thread, at each request.
    return cast(Process, request.app.state.process)


Here = Annotated[Process, Depends(_of)]
