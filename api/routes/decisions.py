"""Decisions: make one or many, activate, look up."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from starlette.convertors import Convertor, register_url_convertor

from api import body
from api.answer import answer
from api.deps import Here, Process
from api.loaded import loaded
from api.openapi import documented
from api.schemas import (
    Activation,
    AuditAnswer,
    BatchAnswer,
    BatchRequest,
    DecisionAnswer,
    DecisionRecord,
    DecisionRequest,
    decision_answer,
    decision_record,
)
from bandit import audit
from bandit.explain import explain
from bandit.explanation import Explanation


class _Anything(Convertor[str]):
    """A path's end of any characters, slashes and line breaks too: callers choose their own ids."""

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        """From the path."""
        body.check_text(value, "decision_id")
        return value

    def to_string(self, value: str) -> str:
        """To the path."""
        return value


register_url_convertor("anything", _Anything())
router = APIRouter(prefix="/v1", tags=["decisions"])
_INPUT = {"subject": "s-4711", "context": {"device": {"os": "ios", "width": 390}, "returning": True}}
_ANSWER = {
    "decision_id": "019b76da-a800-7c4e-9d1f-3a5b8c2e7f60",
    "action": {"action_id": "summer", "segment": "bargain-hunters", "payload": {"image": "/summer.avif"}},
    "probability": 0.93,
    "action_probs": [
        {"action_id": "summer", "probability": 0.93},
        {"action_id": "new-in", "probability": 0.07},
    ],
    "model_version": 12,
    "mode": "online",
    "explored": False,
}


_EXPLANATION = {
    "decision_id": _ANSWER["decision_id"],
    "bandit_key": "hero",
    "action_id": "summer",
    "segment": "bargain-hunters",
    "sentence": "This was chosen because it best suits what is known here: device os: ios.",
    "mode": "online",
    "model_version": 12,
    "config_version": 1,
    "probability": 0.93,
    "explored": False,
    "chosen_by_caller": False,
    "offered": 2,
    "actions": 2,
    "probability_without_boosts": 0.93,
    "probability_by_policy": 0.935,
    "favoured": True,
    "alike": False,
    "reshaped_by": [{"kind": "constraint", "name": "try new-in", "moved_by": -0.005}],
    "score": 0.081,
    "compared_with": {"action_id": "new-in", "score": 0.033},
    "context_moved_by": 0.036,
    "features": [
        {"feature": "device.os", "side": "context", "value": "ios", "moved_by": 0.031},
        {"feature": "action.features.discount", "side": "action", "value": 0.2, "moved_by": 0.012},
        {"feature": "returning", "side": "context", "value": True, "moved_by": 0.009},
        {"feature": "device.width", "side": "context", "value": 390, "moved_by": -0.002},
    ],
}


@loaded(
    router,
    "/decisions",
    max_bytes=body.MAX_BYTES,
    **documented(
        201,
        DecisionAnswer,
        body=DecisionRequest,
        body_example={"bandit_key": "hero", **_INPUT},
        example=_ANSWER,
    ),
)
async def decide(process: Process, raw: Any) -> DecisionAnswer:
    """Choose an action for one context. Answered once it is committed; the same id gives the same answer."""
    asked = body.convert(raw, DecisionRequest)
    return decision_answer(await process.decider.decide(asked.bandit_key, asked))


@loaded(
    router, "/decisions:batch", max_bytes=body.MAX_BATCH_BYTES,
    **documented(
        201, BatchAnswer, body=BatchRequest,
        body_example={"bandit_key": "hero", "decisions": [_INPUT]}, example={"decisions": [_ANSWER]},
    ),
)  # fmt: skip
async def decide_batch(process: Process, raw: Any) -> BatchAnswer:
    """Choose for up to 1,000 contexts (4 MiB): all are committed or, on any error, none."""
    asked = body.convert(raw, BatchRequest)
    made = await process.decider.decide_many(asked.bandit_key, asked.decisions)
    return BatchAnswer(decisions=[decision_answer(decision) for decision in made])


@router.post("/decisions/{decision_id:anything}/activate", **documented(200, Activation))
async def activate(decision_id: str, here: Here) -> Response:
    """Say that a deferred decision was really shown; only then is it learned from."""
    activated = await here.feedback.activate(decision_id)
    return answer(200, Activation(decision_id=decision_id, activated=activated))


@router.get("/decisions/{decision_id:anything}/audit", **documented(200, AuditAnswer))
async def audit_decision(decision_id: str, here: Here) -> Response:
    """Make the decision again from the log, and say whether everything comes out the same, bit for bit."""
    report = await audit.audit_decision(here.database, decision_id)
    return answer(
        200,
        AuditAnswer(
            decision_id=decision_id, verified=report.difference is None, difference=report.difference
        ),
    )


@router.get(
    "/decisions/{decision_id:anything}/explanation", **documented(200, Explanation, example=_EXPLANATION)
)
async def explain_decision(decision_id: str, here: Here) -> Response:
    """Which fields moved the score of the chosen action, what else had a part, and one plain sentence."""
    return answer(200, await explain(here.database, decision_id))


@router.get("/decisions/{decision_id:anything}", **documented(200, DecisionRecord))
async def get_decision(decision_id: str, here: Here) -> Response:
    """Everything that was logged about a decision, and its rewards."""
    decision = await here.decider.find(decision_id)
    rewards, settled = await here.feedback.received(decision_id)
    return answer(200, decision_record(decision, rewards, settled))
