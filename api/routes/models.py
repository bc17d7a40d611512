"""Model versions: list, promote, roll back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.answer import answer
from api.deps import Here
from api.openapi import documented
from api.routes.bandits import SIGNED, By, Key
from api.schemas import ModelList, model_list
from bandit import catalogue

router = APIRouter(prefix="/v1/bandits/{bandit_key}/models", tags=["models"])
#: What a version, an int in the database, can be.
_LARGEST = 2**31 - 1
Version = Annotated[int, Path(ge=1, le=_LARGEST)]
Before = Annotated[int, Query(ge=1, le=_LARGEST, description="Only versions under this one.")]
Limit = Annotated[int, Query(ge=1, le=1_000, description="How many versions at most.")]


@router.get("", **documented(200, ModelList))
async def list_models(bandit_key: Key, here: Here, before: Before = _LARGEST, limit: Limit = 100) -> Response:
    """What serves, the branches with their comparisons, and model versions, newest first."""
    found = await catalogue.overview(here.database, bandit_key, before=before, limit=limit)
    return answer(200, model_list(found))


@router.post("/{model_version}:promote", **documented(200, ModelList, **SIGNED))
async def promote(bandit_key: Key, model_version: Version, author: By, here: Here) -> Response:
    """Make this version's branch live. Its newest version is served from now on, and it goes on learning."""
    await catalogue.promote(here.database, bandit_key, model_version, author)
    return await _now(bandit_key, here)


@router.post("/{model_version}:rollback", **documented(200, ModelList, **SIGNED))
async def roll_back(bandit_key: Key, model_version: Version, author: By, here: Here) -> Response:
    """Serve exactly this version until something is promoted; learning goes on beside it."""
    await catalogue.roll_back(here.database, bandit_key, model_version, author)
    return await _now(bandit_key, here)


async def _now(bandit_key: str, here: Here) -> Response:
    await here.servings.refresh()
    return answer(200, model_list(await catalogue.overview(here.database, bandit_key, limit=1)))
