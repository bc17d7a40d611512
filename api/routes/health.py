"""Whether the process lives, and whether it can serve."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.answer import answer
from api.deps import Here
from api.openapi import documented
from api.schemas import Health

router = APIRouter(tags=["health"])


@router.get("/healthz", **documented(200, Health))
async def healthz() -> Response:
    """The process lives."""
    return answer(200, Health(status="ok"))


@router.get("/readyz", **documented(200, Health))
async def readyz(here: Here) -> Response:
    """The process can record decisions: the database answers."""
    await here.database.ping()
    return answer(200, Health(status="ready"))
