"""Bandits: create, read, change, list, archive."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from api import body
from api.answer import answer
from api.deps import Here
from api.openapi import documented
from api.schemas import BanditAnswer, BanditCreate, BanditList, BanditPatch, bandit_answer
from bandit import catalogue


async def _key(bandit_key: str) -> str:
    # Not a plain function: FastAPI would run that in a thread, at each request.
    body.check_text(bandit_key, "bandit_key")
    return bandit_key


Key = Annotated[str, Depends(_key)]
router = APIRouter(prefix="/v1/bandits", tags=["bandits"])
_EXAMPLE = {
    "bandit_key": "hero",
    "actions": [
        {"action_id": "summer", "segment": "bargain-hunters", "features": {"discount": 0.2}},
        {"action_id": "new-in", "segment": "trend-setters", "features": {"discount": 0.0}},
    ],
    "reward": {"kinds": {"click": {}, "purchase": {"weight": 5}}, "clip": [0, 10]},
    "reward_wait": 600,
    "terminal_kinds": ["purchase"],
}


@router.post("", **documented(201, BanditAnswer, body=BanditCreate, body_example=_EXAMPLE))
async def create_bandit(request: Request, here: Here) -> Response:
    """Create a decision point. Only `bandit_key` and `actions` are needed."""
    given = await body.read(request, BanditCreate)
    bandit = await catalogue.create(here.database, given.bandit_key, given.config())
    return answer(201, bandit_answer(bandit))


@router.get("", **documented(200, BanditList))
async def list_bandits(here: Here) -> Response:
    """All bandits, by key, the archived ones too."""
    bandits = await catalogue.listed(here.database)
    return answer(200, BanditList(bandits=[bandit_answer(bandit) for bandit in bandits]))


@router.get("/{bandit_key}", **documented(200, BanditAnswer))
async def get_bandit(bandit_key: Key, here: Here) -> Response:
    """One bandit under its current configuration."""
    return answer(200, bandit_answer(await catalogue.get(here.database, bandit_key)))


@router.patch(
    "/{bandit_key}", **documented(200, BanditAnswer, body=BanditPatch, body_example={"mode": "apprentice"})
)
async def change_bandit(bandit_key: Key, request: Request, here: Here) -> Response:
    """Replace the given fields by a new configuration version. What was learned is kept."""
    patch = await body.read(request, BanditPatch)
    fields = {
        name: value
        for name in BanditPatch.__struct_fields__
        if (value := getattr(patch, name)) is not msgspec.UNSET
    }
    bandit = await catalogue.change(here.database, bandit_key, fields)
    await here.servings.refresh()
    return answer(200, bandit_answer(bandit))


@router.post("/{bandit_key}:archive", **documented(200, BanditAnswer))
async def archive_bandit(bandit_key: Key, here: Here) -> Response:
    """Take the bandit out of service. Its log and models stay; late rewards still settle."""
    bandit = await catalogue.archive(here.database, bandit_key)
    await here.servings.refresh()
    return answer(200, bandit_answer(bandit))
