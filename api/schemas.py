"""What goes over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from bandit.feedback import Receipt
from bandit.types import (
    Action,
    Bandit,
    BanditConfig,
    BanditKey,
    Decision,
    DecisionInput,
    Identifier,
    Mode,
    PolicySettings,
    ReceivedEvent,
    RewardDefinition,
    RewardEvent,
    ServedMode,
    Settlement,
    Value,
)

MAX_BATCH = 1_000


class BanditCreate(BanditConfig, frozen=True, kw_only=True):
    """A new decision point; everything but key and actions has a default."""

    bandit_key: BanditKey

    def config(self) -> BanditConfig:
        """All but the key."""
        return BanditConfig(**{name: getattr(self, name) for name in BanditConfig.__struct_fields__})


class BanditPatch(Value, frozen=True, kw_only=True):
    """The fields to replace; each one given replaces the whole field."""

    actions: Annotated[list[Action], Meta(min_length=1, max_length=1_000)] | UnsetType = UNSET
    baseline_action: Identifier | UnsetType | None = UNSET
    policy: PolicySettings | UnsetType = UNSET
    reward: RewardDefinition | UnsetType = UNSET
    reward_wait: Annotated[float, Meta(ge=0.0, le=30 * 86_400.0)] | UnsetType = UNSET
    default_reward: Annotated[float, Meta(ge=-1e6, le=1e6)] | UnsetType = UNSET
    terminal_kinds: Annotated[list[Identifier], Meta(max_length=100)] | UnsetType = UNSET
    mode: Mode | UnsetType = UNSET


class BanditAnswer(BanditConfig, frozen=True, kw_only=True):
    """A bandit under its current configuration."""

    bandit_key: str
    config_version: int
    archived: bool
    created_at: datetime


class BanditList(Value, frozen=True, kw_only=True):
    """All bandits, by key."""

    bandits: list[BanditAnswer]


class DecisionRequest(DecisionInput, frozen=True, kw_only=True):
    """One decision to be made by a bandit."""

    bandit_key: BanditKey


class BatchRequest(Value, frozen=True, kw_only=True):
    """Decisions to be made by one bandit, committed together or not at all."""

    bandit_key: BanditKey
    decisions: Annotated[list[DecisionInput], Meta(min_length=1, max_length=MAX_BATCH)]


class ChosenAction(Value, frozen=True, kw_only=True):
    """What to show."""

    action_id: str
    segment: str | None
    payload: Any


class ActionProbability(Value, frozen=True, kw_only=True):
    """How likely an offered action was to be chosen."""

    action_id: str
    probability: float


class DecisionAnswer(Value, frozen=True, kw_only=True):
    """The decision; it was committed before this was sent."""

    decision_id: str
    action: ChosenAction
    #: Probability with which the action was drawn, after every constraint.
    probability: float
    #: One per offered action, in order; in mode logging_only only the caller's own choice is known.
    action_probs: list[ActionProbability]
    #: 0: nothing was learned yet.
    model_version: int
    mode: ServedMode
    #: Whether a more probable action was passed over.
    explored: bool


class BatchAnswer(Value, frozen=True, kw_only=True):
    """One answer per decision asked for, in order."""

    decisions: list[DecisionAnswer]


class DecisionRecord(DecisionAnswer, frozen=True, kw_only=True):
    """Everything that was logged about a decision, and its rewards."""

    bandit_key: str
    decided_at: datetime
    subject: str | None
    context: dict[str, Any]
    offered_actions: list[Action]
    excluded_actions: list[str]
    deferred: bool
    activated_at: datetime | None
    draw: float
    config_version: int
    rewards: list[ReceivedEvent]
    #: None while the decision waits for its reward.
    settled: Settlement | None


class Activation(Value, frozen=True, kw_only=True):
    """What became of an activation; repeating it changes nothing."""

    decision_id: str
    #: Whether it is active now, by this call or an earlier one; false: it was never deferred.
    activated: bool


class RewardBatch(Value, frozen=True, kw_only=True):
    """Several reward events, committed together or not at all."""

    rewards: Annotated[list[RewardEvent], Meta(min_length=1, max_length=MAX_BATCH)]


class RewardAnswer(Value, frozen=True, kw_only=True):
    """One line per event, in order."""

    results: list[Receipt]


class Health(Value, frozen=True, kw_only=True):
    """A sign of life."""

    status: str


class ErrorBody(Value, frozen=True, kw_only=True):
    """What was expected, what came, what to do."""

    code: str
    message: str
    target: str | None
    details: list[str]


class ErrorAnswer(Value, frozen=True, kw_only=True):
    """The one shape of every error."""

    error: ErrorBody


def bandit_answer(bandit: Bandit) -> BanditAnswer:
    """A bandit as it is shown."""
    config = {field: getattr(bandit.config, field) for field in BanditConfig.__struct_fields__}
    return BanditAnswer(
        bandit_key=bandit.bandit_key,
        config_version=bandit.config_version,
        archived=bandit.archived,
        created_at=bandit.created_at,
        **config,
    )


def decision_answer(decision: Decision) -> DecisionAnswer:
    """A decision as its caller gets it."""
    return DecisionAnswer(**_answer_fields(decision))


def decision_record(
    decision: Decision, rewards: list[ReceivedEvent], settled: Settlement | None
) -> DecisionRecord:
    """A decision with everything that was logged."""
    asked = decision.asked
    return DecisionRecord(
        **_answer_fields(decision),
        bandit_key=decision.bandit_key,
        decided_at=decision.decided_at,
        subject=asked.subject,
        context=asked.context,
        offered_actions=decision.offered,
        excluded_actions=asked.excluded_actions,
        deferred=asked.deferred,
        activated_at=decision.activated_at,
        draw=decision.draw,
        config_version=decision.config_version,
        rewards=rewards,
        settled=settled,
    )


def _answer_fields(decision: Decision) -> dict[str, Any]:
    action = decision.action
    return {
        "decision_id": decision.decision_id,
        "action": ChosenAction(action_id=action.action_id, segment=action.segment, payload=action.payload),
        "probability": decision.probability,
        "action_probs": [
            ActionProbability(action_id=offered.action_id, probability=probability)
            for offered, probability in zip(decision.offered, decision.pmf, strict=True)
            if decision.mode != "logging_only" or probability > 0.0
        ],
        "model_version": decision.model_version,
        "mode": decision.mode,
        "explored": decision.explored,
    }
