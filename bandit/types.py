"""The words of the house as frozen values. Each field states its unit and invariant.

They are msgspec structs: the same definition is the Python value, the JSON on the wire and the JSON in
Postgres, and unknown fields are refused everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bandit import steering
from bandit.base import MAX_ACTIONS as MAX_ACTIONS
from bandit.base import BanditKey as BanditKey
from bandit.base import Bounded as Bounded
from bandit.base import Features as Features
from bandit.base import Identifier as Identifier
from bandit.base import Positive as Positive
from bandit.base import Time as Time
from bandit.base import Unit as Unit
from bandit.base import Value as Value

Mode = Literal["online", "apprentice", "logging_only"]
#: paused, fallback: the baseline, with probability 1; its owner paused the bandit, or no model works.
ServedMode = Literal["online", "apprentice", "logging_only", "paused", "fallback"]
Aggregation = Literal["sum", "first", "last", "max", "min", "mean"]


class Action(Value, frozen=True, kw_only=True, dict=True):
    """One thing that can be chosen. (`dict`: `features` remembers its encoding with it.)

    >>> Action(action_id="hero-a", segment="newcomers").enabled
    True
    """

    action_id: Identifier
    #: The group of subjects, or the content variant, that this action stands for.
    segment: Identifier | None = None
    #: What it is like, so that what is learned of one action helps another.
    features: Features = {}
    #: Opaque to us; handed back to whoever asked for the decision.
    payload: Any = None
    #: Disabled actions are never offered.
    enabled: bool = True
    #: When it came to a catalogue that was there before; the service says so.
    added_at: Time | None = None


# --- policy settings -------------------------------------------------------------------------------------


class EpsilonGreedy(Value, tag="epsilon_greedy", tag_field="algorithm", frozen=True, kw_only=True):
    """The best action, and with probability `epsilon` a uniform one."""

    epsilon: Unit = 0.05


class SquareCB(Value, tag="squarecb", tag_field="algorithm", frozen=True, kw_only=True):
    """Inverse gap weighting: 1 / (K + gamma * gap), gamma = gamma_scale * n ** gamma_exponent.

    n counts what was learned so far, relearned events too. (Foster & Rakhlin 2020, arXiv 2002.04926.)
    """

    gamma_scale: Positive = 3.0
    gamma_exponent: Unit = 0.7


class RegCB(Value, tag="regcb", tag_field="algorithm", frozen=True, kw_only=True):
    """Uniform over the actions whose confidence bound still reaches the best one's."""

    mellowness: Positive = 0.001


class Bag(Value, tag="bag", tag_field="algorithm", frozen=True, kw_only=True):
    """Online bootstrap: `size` models, each votes for its best action; plus epsilon uniform."""

    size: Annotated[int, Meta(ge=2, le=64)] = 5
    epsilon: Unit = 0.02


class Cover(Value, tag="cover", tag_field="algorithm", frozen=True, kw_only=True):
    """Online cover of `size` policies that disagree where it pays; `psi` weighs diversity."""

    size: Annotated[int, Meta(ge=2, le=64)] = 3
    psi: Positive = 1.0
    epsilon: Unit = 0.02


class Softmax(Value, tag="softmax", tag_field="algorithm", frozen=True, kw_only=True):
    """Probabilities proportional to exp(lambda * predicted reward), mixed with epsilon uniform."""

    lambda_: Positive = msgspec.field(default=10.0, name="lambda")
    epsilon: Unit = 0.02


Exploration = EpsilonGreedy | SquareCB | RegCB | Bag | Cover | Softmax
Side = Literal["context", "action"]


class Window(Value, tag="window", tag_field="by", frozen=True, kw_only=True):
    """Only the last events count: at least three quarters of `events`, at most all of them.

    At each quarter the model begins anew over the last three, so an event costs four times as much.
    """

    events: Annotated[int, Meta(ge=100, le=50_000)]


class HalfLife(Value, tag="half_life", tag_field="by", frozen=True, kw_only=True):
    """What makes a model ever less ready to change and to explore is halved with every `events` events.

    That is what adapts its learning rates, and the count by which exploration dies out; an eighth at a time.
    """

    events: Annotated[int, Meta(ge=100, le=1_000_000)]


Forgetting = Window | HalfLife


class PolicySettings(Value, frozen=True, kw_only=True):
    """How a bandit learns and explores. The defaults were chosen by measurement: see docs/decisions."""

    exploration: Exploration = SquareCB()
    #: Which sides are multiplied; [["context", "action"]] lets each action react to each context feature.
    interactions: Annotated[
        list[Annotated[list[Side], Meta(min_length=2, max_length=4)]], Meta(max_length=8)
    ] = msgspec.field(default_factory=lambda: [["context", "action"], ["context", "context", "action"]])
    learning_rate: Annotated[float, Meta(gt=0.0, le=100.0)] = 0.04
    #: An event counts 1 / max(probability, importance_bound) in the regression; 1.0: all count alike.
    importance_bound: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    #: How many past events are relearned with each new one, at most: one for every three context fields
    #: beyond twelve. With few fields one pass is enough, and more would fit noise.
    relearn: Annotated[int, Meta(ge=0, le=64)] = 8
    #: They are drawn from this many last events of the training log.
    relearn_window: Annotated[int, Meta(ge=1, le=100_000)] = 1_000
    #: For a world that keeps moving. None: all events count alike, until `on_drift`.
    forgetting: Forgetting | None = None
    #: When rewards fall (`bandit.drift`): begin anew with the events since then, as far as twice the
    #: `relearn_window` goes back, only say so, or do not look. With bag, cover and regcb a model does not say
    #: what it expects, and nothing is watched.
    on_drift: Literal["restart", "signal", "ignore"] = "restart"
    #: Raw Vowpal Wabbit options, `--name=value`, from the allowlist in `bandit.vw`.
    vw_arguments: Annotated[list[str], Meta(max_length=16)] = []


# --- bandits ---------------------------------------------------------------------------------------------


class KindRule(Value, frozen=True, kw_only=True):
    """What one event of a kind contributes: `weight` times the event's value, or the fixed `value`."""

    weight: Bounded = 1.0
    value: Bounded | None = None


class RewardDefinition(Value, frozen=True, kw_only=True):
    """From raw events to one scalar per decision.

    An event whose kind is not named in `kinds` is kept but does not count.
    """

    kinds: Annotated[dict[Identifier, KindRule], Meta(min_length=1, max_length=100)] = msgspec.field(
        default_factory=lambda: {"reward": KindRule()}
    )
    #: How counting events become one number; first and last go by occurred_at.
    aggregation: Aggregation = "sum"
    #: The scalar is clipped to [low, high], low < high; learning sees it scaled to [0, 1].
    clip: tuple[Bounded, Bounded] = (0.0, 1.0)


class BanditConfig(Value, frozen=True, kw_only=True, dict=True):
    """One immutable version of a bandit's configuration.

    (`dict`: `constraints`, `exposures` and `shares` remember with it what they made of it.)
    """

    #: The catalogue: what can be chosen where a request brings no actions of its own.
    actions: Annotated[list[Action], Meta(min_length=1, max_length=MAX_ACTIONS)]
    #: Served when the model cannot be, and in apprentice mode. Default: the first enabled action.
    baseline_action: Identifier | None = None
    #: How it learns and explores.
    policy: PolicySettings = PolicySettings()
    #: From raw events to one reward.
    reward: RewardDefinition = RewardDefinition()
    #: Seconds from decision (or activation) until the reward is settled.
    reward_wait: Annotated[float, Meta(ge=0.0, le=30 * 86_400.0)] = 600.0
    #: The reward when no counting event arrives within reward_wait.
    default_reward: Bounded = 0.0
    #: Event kinds that settle a decision at once.
    terminal_kinds: Annotated[list[Identifier], Meta(max_length=100)] = []
    #: online: the policy chooses. apprentice: the baseline is served and learned from. logging_only: the
    #: caller chooses, and its choice is recorded and learned from.
    mode: Mode = "online"
    #: How a changed policy, learned as a candidate beside the live one, goes live: by hand, or automatically
    #: once the lower end of the interval of (candidate - live) is above zero.
    promotion: Literal["manual", "automatic"] = "manual"
    #: While it is paused, the baseline is served with probability 1; what was decided is learned on.
    paused: bool = False
    #: Ids of actions that are never served, whoever brings them.
    killed_actions: steering.Names = []
    #: The same of all actions of a segment.
    killed_segments: steering.Names = []
    #: What holds for actions and segments: shares, schedules, conditions, caps.
    constraints: steering.Constraints = []
    #: What the business wants more or less of than the policy.
    boosts: steering.Boosts = []
    #: The share of what a subject was not shown of late. Null: no such share.
    novelty: steering.Novelty | None = None
    newcomers: steering.Newcomers = steering.Newcomers()
    #: What all offered actions have together at least, each alike, so that none is ever out of sight.
    exploration_floor: steering.ExplorationFloor = 0.01
    time_zone: steering.TimeZone = steering.TimeZone()
    alerts: steering.AlertBounds = steering.AlertBounds()
    #: Fields of the context that an explanation's sentence may name, each with all below it, dots between
    #: levels. Null: all.
    explainable_fields: steering.Names | None = None


class Candidate(Value, frozen=True, kw_only=True):
    """A policy that learns beside the live one and may take its place."""

    branch: int
    config_version: int
    policy: PolicySettings


class Bandit(Value, frozen=True, kw_only=True):
    """A decision point with its current configuration."""

    bandit_key: BanditKey
    #: The configuration in force; every decision logs the version it was made under. Numbers grow, and some
    #: belong to candidates.
    config_version: int
    config: BanditConfig
    #: Secret of the draw: the draw is a hash of salt and decision_id.
    salt: str
    archived: bool
    created_at: datetime
    #: What was asked for by the last change of policy, until it is promoted.
    candidate: Candidate | None = None

    @property
    def newest_version(self) -> int:
        """The newest of the configuration in force and the candidate's: any change makes it another."""
        return max(self.config_version, self.candidate.config_version if self.candidate else 0)


#: What is shown of a bandit beside its configuration; nobody sets it by a file.
SHOWN_BESIDE = frozenset(
    ("bandit_key", "config_version", "newest_version", "candidate", "archived", "created_at")
)


# --- decisions -------------------------------------------------------------------------------------------


class LoggedChoice(Value, frozen=True, kw_only=True):
    """In mode logging_only: what the caller chose, and the probability with which it did."""

    action_id: Identifier
    probability: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0


class DecisionInput(Value, frozen=True, kw_only=True):
    """What a caller says about one decision to be made."""

    #: Pseudonymous id of the person or thing decided for.
    subject: Identifier | None = None
    #: What is known before choosing: nested JSON of strings, numbers, booleans and lists of strings.
    context: Features = {}
    #: Replaces the catalogue for this request.
    actions: Annotated[list[Action], Meta(min_length=1, max_length=MAX_ACTIONS)] | None = None
    #: Never chosen for this request.
    excluded_actions: Annotated[list[Identifier], Meta(max_length=MAX_ACTIONS)] = []
    #: Idempotency key; a time-ordered UUID when absent.
    decision_id: Identifier | None = None
    #: Learned from only once activated.
    deferred: bool = False
    #: Only in mode logging_only.
    logged_choice: LoggedChoice | None = None


class Decision(Value, frozen=True, kw_only=True):
    """Everything that was logged about one decision; enough to recompute it bit for bit."""

    decision_id: str
    bandit_key: str
    decided_at: datetime
    asked: DecisionInput
    #: The actions the draw was made over, in order.
    offered: list[Action]
    #: Their positions in the request's actions, or in the catalogue if the request brought none.
    positions: list[int]
    #: One probability per offered action, summing to 1 within 1e-9; in mode logging_only only the chosen
    #: action's is known, and the others stand as 0.
    pmf: list[float]
    #: Index of the chosen action in `offered`.
    chosen: int
    #: Uniform in [0, 1), a hash of the bandit's salt and the decision_id.
    draw: float
    #: 0: the untrained model of this config_version.
    model_version: int
    config_version: int
    mode: ServedMode
    #: What its subject was shown before, where that was taken into account.
    seen: steering.Seen | None = None
    #: One probability per offered action as they would have been without boosts; None: there were none.
    unboosted: list[float] | None = None
    activated_at: datetime | None = None

    @property
    def action(self) -> Action:
        """The chosen action."""
        return self.offered[self.chosen]

    @property
    def probability(self) -> float:
        """Probability with which the chosen action was drawn, after every constraint."""
        return self.pmf[self.chosen]

    @property
    def explored(self) -> bool:
        """Whether a more probable action was passed over."""
        return self.probability < max(self.pmf)


# --- rewards ---------------------------------------------------------------------------------------------


class RewardEvent(Value, frozen=True, kw_only=True):
    """One raw event. (source, event_id) is its identity: the first one counts, repetitions do not."""

    #: May come before the decision itself.
    decision_id: Identifier
    #: What happened; the reward definition says what it counts.
    kind: Identifier = "reward"
    value: Bounded = 1.0
    #: Default: a hash of the other fields but `source`, so that a repeated call counts once.
    event_id: Identifier | None = None
    #: The event_id of an earlier event of the same source and decision: this event's value takes the place
    #: of that one's. Of several corrections the one that occurred last stands.
    corrects: Identifier | None = None
    #: With a time zone. Default: when it was received.
    occurred_at: Annotated[datetime, Meta(tz=True)] | None = None
    #: Who sent it; event ids need to be unique within a source only.
    source: Identifier = "api"


class ReceivedEvent(Value, frozen=True, kw_only=True):
    """A reward event as it is kept."""

    decision_id: str
    source: str
    event_id: str
    kind: str
    value: float
    occurred_at: datetime
    received_at: datetime
    #: The event whose value this one replaces.
    corrects: str | None = None


class Settlement(Value, frozen=True, kw_only=True):
    """How a decision was settled: its place in the training log and its reward."""

    seq: int
    reward: float
    #: The version whose reward definition it was settled by.
    config_version: int
    settled_at: datetime


class TrainingEvent(Value, frozen=True, kw_only=True):
    """One line of the training log with what is needed to learn it."""

    #: Position in the training log, from 1 without gaps.
    seq: int
    context: Features
    actions: Sequence[Action]
    chosen: int
    #: Probability of the chosen action at decision time, in (0, 1].
    probability: float
    #: Scaled to [0, 1] by the reward definition's clipping range.
    scaled_reward: float


BranchState = Literal["live", "candidate", "retired"]


class Branch(Value, frozen=True, kw_only=True):
    """A succession of model versions, each the fold of its parent and more of the log, under one policy.

    Of a bandit's branches one is live and at most one is a candidate; a retired one rests and can go live
    again.
    """

    bandit_key: str
    branch: int
    state: BranchState
    #: The configuration whose policy and reward range it learns under.
    config_version: int
    #: 0: there is none yet.
    newest_version: int
    #: Its first event in the training log is the one after this; 0 unless older ones were archived before it.
    begins_after: int
    #: What `newest_version` has learned of the training log; `begins_after` where there is none yet.
    trained_through: int
    #: The model version beside which it was begun; None for the first branch.
    beside: int | None
    #: Later events of the log are predicted before they are learned, to compare it with the live one.
    held_out_after: int
    #: The configuration under which it went live last.
    live_since_config: int | None
    #: The branch that it replaced, which comes back if it earns less than the baseline.
    replaced: int | None
    #: Nothing of these subjects is learned.
    without_subjects: list[str]
    #: Why it is in this state.
    reason: str
    created_at: datetime
    changed_at: datetime


class Drift(Value, frozen=True, kw_only=True):
    """An alarm: rewards fell, and not because of what the model knows to earn less; see `bandit.drift`."""

    #: The event of the training log that gave it, and the last one before the fall.
    seq: int
    since: int
    #: Mean reward before and after the fall, scaled to [0, 1], and what the model expected of the same events
    #: when it gave the alarm.
    reward_before: float
    reward_after: float
    expected_before: float
    expected_after: float


class ModelVersion(Value, frozen=True, kw_only=True):
    """A published snapshot and its lineage; the bytes are kept beside it."""

    bandit_key: str
    model_version: int
    #: The succession it belongs to.
    branch: int
    #: The version it was learned on from; of a branch's first, the one it was begun beside. None: the first.
    parent: int | None
    #: The configuration whose policy it was learned under.
    config_version: int
    #: It is the fold over training_log[begins_after + 1 .. trained_through_seq]: from the beginning of its
    #: branch, or from where it began anew (`PolicySettings.on_drift`, `forgetting`).
    begins_after: int
    trained_through_seq: int
    #: Who goes on from it needs the training log after this, whose last events are relearned.
    resumes_after: int
    #: How many events it has learned since it began, relearned ones too.
    learned: int
    #: The alarms on the way here from its parent.
    drifts: list[Drift]
    #: Where its `bandit.drift.Detector` stands, in JSON.
    detector: str
    #: Of the bytes, which are checked before they are loaded.
    sha256: str
    #: Of the weights alone: equal for any two folds over the same log.
    weights_sha256: str
    vw_version: str
    vw_arguments: str
    created_at: datetime
