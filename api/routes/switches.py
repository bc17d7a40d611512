"""An owner's switches: pause and resume a bandit, kill and revive an action or a segment."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from api import body
from api.answer import answer
from api.deps import Here
from api.openapi import documented
from api.routes.bandits import SIGNED, By, Key, address
from api.schemas import BanditAnswer, Signed, bandit_answer
from api.switching import SwitchAnswer, SwitchRequest, switch_answer
from bandit import switches
from bandit.changes import Author
from bandit.switches import Target

router = APIRouter(prefix="/v1/bandits", tags=["switches"])
_TARGET: dict[str, Any] = {
    "body": SwitchRequest,
    "body_example": {"action_id": "b", "who": "ada@example.org", "why": "its page is broken"},
}


@router.post("/{bandit_key}:pause", **documented(200, BanditAnswer, **SIGNED))
async def pause(bandit_key: Key, author: By, here: Here) -> Response:
    """Serve the baseline with probability 1 until it is resumed; rewards are taken in and learned on."""
    bandit = await switches.pause(here.database, bandit_key, author)
    await here.servings.refresh()
    return answer(200, bandit_answer(bandit))


@router.post("/{bandit_key}:resume", **documented(200, BanditAnswer, **SIGNED))
async def resume(bandit_key: Key, author: By, here: Here) -> Response:
    """End a pause."""
    bandit = await switches.resume(here.database, bandit_key, author)
    await here.servings.refresh()
    return answer(200, bandit_answer(bandit))


@router.post("/{bandit_key}:kill", **documented(200, SwitchAnswer, **_TARGET))
async def kill(bandit_key: Key, request: Request, here: Here) -> Response:
    """Never serve this action or segment again, whoever brings it, until it is revived.

    The last action of the catalogue that may be served cannot be killed (409): pause or archive the bandit.
    """
    target, author = await _target(request)
    switched = await switches.kill(here.database, bandit_key, target, author)
    await here.servings.refresh()
    return answer(200, switch_answer(switched))


@router.post("/{bandit_key}:revive", **documented(200, SwitchAnswer, **_TARGET))
async def revive(bandit_key: Key, request: Request, here: Here) -> Response:
    """Undo a kill."""
    target, author = await _target(request)
    switched = await switches.revive(here.database, bandit_key, target, author)
    await here.servings.refresh()
    return answer(200, switch_answer(switched))


async def _target(request: Request) -> tuple[Target, Author]:
    asked = await body.read(request, SwitchRequest)
    return asked, Signed(who=asked.who, why=asked.why).author(address(request))
