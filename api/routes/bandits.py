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
from bandit import catalogue, rehearsal
from bandit.readiness import Readiness


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
_READINESS = {
    "bandit_key": "hero",
    "mode": "apprentice",
    "ready": True,
    "verdict": "Ready: even if every deviation from the baseline earned the lowest reward, the policy would "
    "keep at least 90% of what the baseline earns (95 % confidence, 4,000 decisions).",
    "branch": 1,
    "since_config": 2,
    "decisions": 4_000,
    "match_rate": 0.99,
    "agreement": 0.97,
    "baseline": 0.62,
    "baseline_between": {"low": 0.58, "high": 0.66},
    "policy_between": {"low": 0.57, "high": 0.69},
    "difference_between": {"low": -0.06, "high": 0.05},
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


@router.get("/{bandit_key}/readiness", **documented(200, Readiness, example=_READINESS))
async def get_readiness(bandit_key: Key, here: Here) -> Response:
    """Whether a bandit in mode apprentice may go online, by what its baseline earned."""
    return answer(200, await rehearsal.readiness(here.database, bandit_key))


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
