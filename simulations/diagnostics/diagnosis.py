"""What diagnostics say of a log and a target policy, as values that stand in a report."""

from __future__ import annotations

from bandit.types import Value


class Check(Value, frozen=True, kw_only=True):
    """Something that holds if the logged probabilities are right, and how strongly the log denies it."""

    name: str
    #: At most the probability of such a log if the probabilities are right, all places looked at counted.
    p_value: float
    #: How far off, as a share of what was expected: 0.5 is half too much or half too little.
    off: float
    #: What was expected and what was found, in words; for several places: at the worst one.
    finding: str


class Support(Value, frozen=True, kw_only=True):
    """What the target does that the logging policy cannot."""

    #: Share of rounds whose full distribution is logged. For the others, an action counts as impossible if it
    #: was never chosen in the whole log.
    known_share: float
    #: Mean probability with which the target chooses actions of logged probability zero.
    unsupported_mass: float
    #: Share of rounds in which the target would choose any such action, if their distribution is logged.
    unsupported_rounds: float
    #: Offers with logged probability zero, whatever the target does.
    zero_probabilities: int


class Expected(Value, frozen=True, kw_only=True):
    """How often actions were chosen, beside how often their logged probabilities say."""

    #: The action, or the range of probabilities.
    name: str
    offers: int
    expected: float
    chosen: int
    #: Standard deviation of `chosen` if the probabilities are right.
    deviation: float


class Group(Value, frozen=True, kw_only=True):
    """The rounds of one action, segment or day."""

    name: str
    rounds: int
    mean_reward: float | None
    mean_weight: float | None
    #: What these rounds add to the policy value by IPS: sum of weight times reward / all rounds of the log.
    contribution: float
    #: Share of rounds in which the log chose this, and in which the target would on average.
    logged_share: float
    target_share: float


class Breakdown(Value, frozen=True, kw_only=True):
    """Groups, the largest first, and all the rest as one."""

    groups: list[Group]
    #: Groups that were too many to keep; None: there were none.
    other: Group | None = None


class Bar(Value, frozen=True, kw_only=True):
    """How many weights lie in [low, high); both 0: weights of exactly zero."""

    low: float
    high: float
    count: int


class Diagnosis(Value, frozen=True, kw_only=True):
    """May a target policy be judged by a log, and what does the judgement stand on?"""

    rounds: int
    #: (sum of weights)^2 / sum of squared weights; so many rounds of the target policy itself tell as much.
    effective_sample_size: float
    largest_weight: float
    #: Share of the sum of weight times reward that the ten largest weights bring; None: that sum is zero.
    top_ten_share: float | None
    #: 1 on average if the probabilities are right and the target is supported.
    mean_weight: float
    #: Mean of 1 / (K p) over rounds of K actions; 1 on average where all actions can be chosen.
    mean_inverse: float
    #: Of the weights' tail; None: there is none.
    pareto_k: float | None
    #: From which k on so many rounds are too few.
    pareto_limit: float
    support: Support
    #: Of the logged probabilities.
    checks: list[Check]
    #: Rounds whose probability is not the one that their distribution gives the chosen action.
    contradictions: int
    #: Share of all reward, in absolute value, on rounds of weight zero: of it the estimate sees nothing.
    reward_without_weight: float | None
    #: Share of all reward, in absolute value, on actions that the target never chooses in the whole log.
    reward_never_chosen: float | None
    weights: list[Bar]
    #: By logged probability, and by action; empty where no distribution is logged.
    by_probability: list[Expected]
    by_action: list[Expected]
    actions: Breakdown
    segments: Breakdown
    days: Breakdown
