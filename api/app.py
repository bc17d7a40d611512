"""The application: routes, errors, OpenAPI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import Receive, Scope, Send

from api import deps, errors, openapi
from api.loaded import BY_PATH
from api.routes import alerts, bandits, decisions, health, measurements, models, rewards, switches
from bandit import logs
from bandit.settings import Settings


class App:
    """The calls that carry the load are answered past the framework; it answers all others."""

    def __init__(self, framework: FastAPI) -> None:
        self.framework = framework

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        loaded = BY_PATH.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if loaded is None:
            await self.framework(scope, receive, send)
        else:
            await loaded(self.framework.state.process, scope, receive, send)


def create_app(settings: Settings | None = None) -> App:
    """The app of one API process; settings come from the environment unless given."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        logs.configure()
        async with deps.process(settings) as process:
            app.state.process = process
            yield

    app = FastAPIOffline(
        title="segbandit",
        version=version("segbandit"),
        lifespan=lifespan,
        redirect_slashes=False,  # a redirect would look like an answer to whoever does not follow it
    )
    errors.install(app)
    for routes in (decisions, rewards, bandits, switches, models, alerts, health, measurements):
        app.include_router(routes.router)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]  # FastAPI's way to extend it
    return App(app)
