"""What goes over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, structs

from bandit import steering
from bandit.alerts import Alerts, sentence
from bandit.catalogue import Overview
from bandit.changes import NO_REASON, Author, Why, check_author
from bandit.feedback import Receipt
from bandit.recompute import Difference
from bandit.steering import Alert, Seen
from bandit.types import (
    Action,
    Bandit,
    BanditConfig,
    BanditKey,
    Branch,
    BranchState,
    Candidate,
    Decision,
    DecisionInput,
    Identifier,
    Mode,
    ModelVersion,
    PolicySettings,
    ReceivedEvent,
    RewardDefinition,
    RewardEvent,
    ServedMode,
    Settlement,
    Value,
)

MAX_BATCH = 1_000


class Signed(Value, frozen=True, kw_only=True):
    """Who changes something and why, for the audit log."""

    #: Default: the address of the caller.
    who: Identifier | None = None
    #: For whoever asks later why it is so.
    why: Why = NO_REASON

    def author(self, address: str) -> Author:
        """Who and why; a caller that gave no name is known by its address.

        Raises:
            InvalidInputError: it signs as the learner.
        """
        check_author(self.who or "")
        return Author(who=self.who or f"caller at {address}", why=self.why)


class BanditCreate(BanditConfig, frozen=True, kw_only=True):
    """A new decision point; everything but key and actions has a default."""

    bandit_key: BanditKey
    #: Who creates it, for the audit log. Default: the address of the caller.
    who: Identifier | None = None
    #: Why it is created, for the audit log.
    why: Why = NO_REASON

    def config(self) -> BanditConfig:
        """All but the key, who and why."""
        return BanditConfig(**{name: getattr(self, name) for name in BanditConfig.__struct_fields__})


class BanditPatch(Signed, frozen=True, kw_only=True):
    """The fields to replace; each one given replaces the whole field."""

    #: The `newest_version` of the bandit for which they were made; if it is another now, nothing is changed.
    if_version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    actions: Annotated[list[Action], Meta(min_length=1, max_length=1_000)] | UnsetType = UNSET
    baseline_action: Identifier | UnsetType | None = UNSET
    policy: PolicySettings | UnsetType = UNSET
    reward: RewardDefinition | UnsetType = UNSET
    reward_wait: Annotated[float, Meta(ge=0.0, le=30 * 86_400.0)] | UnsetType = UNSET
    default_reward: Annotated[float, Meta(ge=-1e6, le=1e6)] | UnsetType = UNSET
    terminal_kinds: Annotated[list[Identifier], Meta(max_length=100)] | UnsetType = UNSET
    mode: Mode | UnsetType = UNSET
    promotion: Literal["manual", "automatic"] | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    killed_actions: steering.Names | UnsetType = UNSET
    killed_segments: steering.Names | UnsetType = UNSET
    constraints: steering.Constraints | UnsetType = UNSET
    boosts: steering.Boosts | UnsetType = UNSET
    novelty: steering.Novelty | UnsetType | None = UNSET
    newcomers: steering.Newcomers | UnsetType = UNSET
    exploration_floor: steering.ExplorationFloor | UnsetType = UNSET
    time_zone: steering.TimeZone | UnsetType = UNSET
    alerts: steering.AlertBounds | UnsetType = UNSET
    explainable_fields: steering.Names | UnsetType | None = UNSET

    def fields(self) -> dict[str, Any]:
        """The fields of the configuration that were given."""
        given = {name: getattr(self, name) for name in BanditConfig.__struct_fields__}
        return {name: value for name, value in given.items() if value is not UNSET}


class BanditAnswer(BanditConfig, frozen=True, kw_only=True):
    """A bandit under the configuration in force."""

    bandit_key: str
    config_version: int
    #: The newer of `config_version` and the candidate's: `if_version` of a change that is to meet no other.
    newest_version: int
    #: A changed policy that is learned from the log beside the live one, until it is promoted.
    candidate: Candidate | None
    archived: bool
    created_at: datetime


class BanditList(Value, frozen=True, kw_only=True):
    """All bandits, by key."""

    bandits: list[BanditAnswer]


class ModelAnswer(ModelVersion, frozen=True, kw_only=True):
    """A model version and its lineage."""

    #: Whether its bytes are kept; where they were pruned it can be folded again from the log.
    kept: bool


class ComparisonAnswer(Value, frozen=True, kw_only=True):
    """A 95 % interval that holds however often it is looked at, in units of the reward."""

    #: What is compared: the candidate, or the baseline, with what was served.
    difference: Literal["candidate - live", "baseline - live"]
    estimate: float
    low: float
    high: float
    #: How many events it rests on.
    events: int


class BranchAnswer(Value, frozen=True, kw_only=True):
    """A branch of models and how it does."""

    branch: int
    state: BranchState
    #: The configuration whose policy and reward range it learns under.
    config_version: int
    #: 0: there is none yet.
    newest_version: int
    #: What `newest_version` has learned of the training log.
    trained_through: int
    #: The model version beside which it was begun; null for the first branch.
    beside: int | None
    #: The branch that it replaced, which comes back if it earns less than the baseline.
    replaced: int | None
    #: Of how many subjects it learns nothing.
    subjects_left_out: int
    #: Why it is in this state.
    reason: str
    created_at: datetime
    changed_at: datetime
    #: Null: nothing was compared yet.
    comparison: ComparisonAnswer | None


class ModelList(Value, frozen=True, kw_only=True):
    """What serves, the branches, and model versions, newest first."""

    bandit_key: str
    config_version: int
    #: The version that is served; 0: nothing was learned yet.
    served: int
    #: Whether that version stays until something is promoted, rather than the newest of the live branch.
    pinned: bool
    branches: list[BranchAnswer]
    models: list[ModelAnswer]
    #: To get older versions, ask with `before` set to this; None: there are none.
    next_before: int | None


class AlertAnswer(Alert, frozen=True, kw_only=True):
    """Something to look at."""

    #: What happened, since when, and what to do.
    sentence: str


class AlertList(Value, frozen=True, kw_only=True):
    """The alerts of a bandit, each newest first."""

    bandit_key: str
    open: list[AlertAnswer]
    #: What was cleared.
    past: list[AlertAnswer]
    #: To get older past ones, ask with `before` set to this; None: there are none.
    next_before: int | None


class DecisionRequest(DecisionInput, frozen=True, kw_only=True):
    """One decision to be made by a bandit."""

    bandit_key: BanditKey


class BatchRequest(Value, frozen=True, kw_only=True):
    """Decisions to be made by one bandit, committed together or not at all."""

    bandit_key: BanditKey
    decisions: Annotated[list[DecisionInput], Meta(min_length=1, max_length=MAX_BATCH)]


class ChosenAction(Value, frozen=True, kw_only=True, gc=False):
    """What to show."""

    action_id: str
    segment: str | None
    payload: Any


class ActionProbability(Value, frozen=True, kw_only=True, gc=False):
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
    #: One probability per offered action as they would have been without boosts; null: there were none.
    unboosted: list[float] | None
    #: What its subject was shown before, where that was taken into account.
    seen: Seen | None
    rewards: list[ReceivedEvent]
    #: None while the decision waits for its reward.
    settled: Settlement | None


class Activation(Value, frozen=True, kw_only=True):
    """What became of an activation; repeating it changes nothing."""

    decision_id: str
    #: Whether it is active now, by this call or an earlier one; false: it was never deferred.
    activated: bool


class AuditAnswer(Value, frozen=True, kw_only=True):
    """Whether a decision comes out the same again."""

    decision_id: str
    verified: bool
    #: None: there is none.
    difference: Difference | None


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


def model_list(overview: Overview) -> ModelList:
    """The models of a bandit as they are shown."""
    models = [ModelAnswer(**structs.asdict(model), kept=kept) for model, kept in overview.models]
    oldest = models[-1].model_version if models else 1
    return ModelList(
        bandit_key=overview.bandit.bandit_key,
        config_version=overview.bandit.config_version,
        served=overview.served,
        pinned=overview.pinned,
        branches=[
            BranchAnswer(
                **{name: getattr(branch, name) for name in _SHOWN},
                subjects_left_out=len(branch.without_subjects),
                comparison=_comparison(overview, branch),
            )
            for branch in overview.branches
        ],
        models=models,
        next_before=oldest if oldest > 1 else None,
    )


def alert_list(alerts: Alerts, limit: int) -> AlertList:
    """The alerts of a bandit as they are shown, `limit` past ones; were there more, there is a next page."""
    past = alerts.past[:limit]
    return AlertList(
        bandit_key=alerts.bandit_key,
        open=[_alert(each) for each in alerts.open],
        past=[_alert(each) for each in past],
        next_before=past[-1].alert if len(alerts.past) > limit else None,
    )


def _alert(alert: Alert) -> AlertAnswer:
    return AlertAnswer(**structs.asdict(alert), sentence=sentence(alert))


def _comparison(overview: Overview, branch: Branch) -> ComparisonAnswer | None:
    found = overview.compared.get(branch.branch)
    if found is None:
        return None
    return ComparisonAnswer(
        difference="baseline - live" if branch.state == "live" else "candidate - live",
        **structs.asdict(found),
    )


#: Of a branch, as it is. Who is left out is nobody's business.
_SHOWN = set(BranchAnswer.__struct_fields__) & set(Branch.__struct_fields__)


def bandit_answer(bandit: Bandit) -> BanditAnswer:
    """A bandit as it is shown."""
    config = {field: getattr(bandit.config, field) for field in BanditConfig.__struct_fields__}
    return BanditAnswer(
        bandit_key=bandit.bandit_key,
        config_version=bandit.config_version,
        newest_version=bandit.newest_version,
        candidate=bandit.candidate,
        archived=bandit.archived,
        created_at=bandit.created_at,
        **config,
    )


def decision_answer(decision: Decision) -> DecisionAnswer:
    """A decision as its caller gets it."""
    action, probability = decision.action, decision.probability
    return DecisionAnswer(
        decision_id=decision.decision_id,
        action=ChosenAction(action_id=action.action_id, segment=action.segment, payload=action.payload),
        probability=probability,
        action_probs=[
            ActionProbability(action_id=offered.action_id, probability=each)
            for offered, each in zip(decision.offered, decision.pmf, strict=True)
            if each > 0.0 or decision.mode != "logging_only"
        ],
        model_version=decision.model_version,
        mode=decision.mode,
        explored=decision.explored,
    )


def decision_record(
    decision: Decision, rewards: list[ReceivedEvent], settled: Settlement | None
) -> DecisionRecord:
    """A decision with everything that was logged."""
    asked = decision.asked
    return DecisionRecord(
        **structs.asdict(decision_answer(decision)),
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
        unboosted=decision.unboosted,
        seen=decision.seen,
        rewards=rewards,
        settled=settled,
    )
