"""Bandits: create, read, change, list, archive."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api import body
from api.answer import answer
from api.deps import Here
from api.openapi import documented
from api.schemas import (
    BanditAnswer,
    BanditCreate,
    BanditList,
    BanditPatch,
    Signed,
    bandit_answer,
)
from api.switching import ChangeList
from bandit import catalogue, rehearsal
from bandit.changes import Author
from bandit.readiness import Readiness


async def _key(bandit_key: str) -> str:
    # Not a plain function: FastAPI would run that in a thread, at each request.
    body.check_text(bandit_key, "bandit_key")
    return bandit_key


async def _signed(request: Request) -> Author:
    """Who changes something and why, by a body that may be left out."""
    return (await body.read(request, Signed, if_none=b"{}")).author(address(request))


def address(request: Request) -> str:
    """From where a request comes; behind a proxy, the proxy's."""
    return request.client.host if request.client else "an unknown address"


Key = Annotated[str, Depends(_key)]
By = Annotated[Author, Depends(_signed)]
#: How a body of who and why stands in OpenAPI.
SIGNED: dict[str, Any] = {
    "body": Signed,
    "body_needed": False,
    "body_example": {"who": "ada@example.org", "why": "the spring campaign is over"},
}
#: What an entry of the audit log, a bigint in the database, can be.
_LARGEST = 2**63 - 1
Before = Annotated[int, Query(ge=1, le=_LARGEST, description="Only entries under this one.")]
Limit = Annotated[int, Query(ge=1, le=1_000, description="How many changes at most.")]
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
    author = Signed(who=given.who, why=given.why).author(address(request))
    bandit = await catalogue.create(here.database, given.bandit_key, given.config(), author)
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
    bandit = await catalogue.change(
        here.database,
        bandit_key,
        patch.fields(),
        patch.author(address(request)),
        expected_version=patch.if_version,
    )
    await here.servings.refresh()
    return answer(200, bandit_answer(bandit))


@router.get("/{bandit_key}/changes", **documented(200, ChangeList))
async def list_changes(
    bandit_key: Key, here: Here, before: Before = _LARGEST, limit: Limit = 100
) -> Response:
    """Who changed what and why, newest first."""
    found = await catalogue.changes(here.database, bandit_key, before=before, limit=limit + 1)
    shown, more = found[:limit], found[limit:]
    older = shown[-1].entry if more else None
    return answer(200, ChangeList(bandit_key=bandit_key, changes=shown, next_before=older))


@router.post("/{bandit_key}:archive", **documented(200, BanditAnswer, **SIGNED))
async def archive_bandit(bandit_key: Key, author: By, here: Here) -> Response:
    """Take the bandit out of service. Its log and models stay; late rewards still settle."""
    bandit = await catalogue.archive(here.database, bandit_key, author)
    await here.servings.refresh()
    return answer(200, bandit_answer(bandit))
