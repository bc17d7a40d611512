"""Rewards: raw events, one or many, in whatever order they come."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api import body
from api.deps import Process
from api.loaded import loaded
from api.openapi import documented
from api.schemas import RewardAnswer, RewardBatch
from bandit.types import RewardEvent

router = APIRouter(prefix="/v1", tags=["rewards"])
_EXAMPLE = {
    "decision_id": "019b76da-a800-7c4e-9d1f-3a5b8c2e7f60",
    "kind": "click",
    "value": 1,
    "event_id": "evt-1",
    "occurred_at": "2026-11-21T10:00:00Z",
    "source": "web",
}


@loaded(
    router,
    "/rewards",
    max_bytes=body.MAX_BATCH_BYTES,
    **documented(
        202, RewardAnswer, body=[RewardEvent, RewardBatch, list[RewardEvent]], body_example=_EXAMPLE
    ),
)
async def reward(process: Process, raw: Any) -> RewardAnswer:
    """Keep one event, or up to 1,000 as a list or as {"rewards": [...]}. (source, event_id) counts once.

    Each event gets a line: accepted, duplicate, or orphan (kept, and joined when its decision arrives).
    """
    if isinstance(raw, list):
        raw = {"rewards": raw}
    if isinstance(raw, dict) and "rewards" in raw:
        events = body.convert(raw, RewardBatch).rewards
    else:
        events = [body.convert(raw, RewardEvent)]
    return RewardAnswer(results=await process.feedback.accept(events))
