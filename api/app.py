"""The application: routes, errors, OpenAPI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline

from api import deps, errors, schemas
from api.routes import bandits, decisions, health, rewards
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
    for routes in (decisions, rewards, bandits, health):
        app.include_router(routes.router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary="Decisions that can be proved: choose, log, reward, learn.",
            routes=app.routes,
        )
        document.setdefault("components", {})["schemas"] = schemas.components()
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("200", None) if "201" in operation["responses"] else None
        app.openapi_schema = document
    return app.openapi_schema
