"""The application: routes, errors, OpenAPI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import deps, errors, openapi
from api.routes import bandits, decisions, health, measurements, models, rewards
from bandit import logs
from bandit.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """The app of one API process; settings come from the environment unless given."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        logs.configure()
        async with deps.process(settings) as process:
            app.state.process = process
            yield

    app = FastAPIOffline(title="segbandit", version=version("segbandit"), lifespan=lifespan)
    errors.install(app)
    for routes in (decisions, rewards, bandits, models, health, measurements):
        app.include_router(routes.router)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]  # FastAPI's way to extend it
    return app
