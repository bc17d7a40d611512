"""May a policy that learns beside the baseline go online? What the baseline's own log can say of it.

Only the baseline is served, so what a policy earns is known where it does the same: with probability m, its
probability of the baseline's action. What it earns elsewhere lies between the worst and the best reward, and
nothing in the log narrows that. With r the baseline's reward in [0, 1] its value is therefore within
[E[m r], E[m r + (1 - m)]]. (Manski, Nonparametric Bounds on Treatment Effects, 1990.) All bounds hold after
every event at once; they bound the mean of what the policy was worth at each event, as it learned.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from bandit.comparison import LeastMean
from bandit.types import Mode, RewardDefinition, Value

#: A policy is ready once it keeps this share of what the baseline earns even if deviations earn the worst.
KEPT = 0.9
#: What an owner may let the baseline keep to learn online what the log cannot say.
FLOOR = 0.8
_FEWEST = 100


class Rehearsals(Value, frozen=True, kw_only=True):
    """All that is remembered of the events so far; can be kept as JSON and resumed.

    Events must come in an order that does not hang on their rewards; see `Comparison`.

    >>> seen = Rehearsals()
    >>> for at in range(1_000):
    ...     seen = seen.add(agreement=0.98, matches=True, reward=float(at % 3 == 0))
    >>> seen.ready
    True
    """

    matches: int = 0
    #: m.
    agreement: LeastMean = LeastMean()
    #: r and 1 - r.
    earned: LeastMean = LeastMean()
    missed: LeastMean = LeastMean()
    #: m r and m (1 - r): what the policy earns, and misses, where it does as the baseline does.
    earned_alike: LeastMean = LeastMean()
    missed_alike: LeastMean = LeastMean()
    #: 1 - (1 - m) r and 1 - (1 - m) (1 - r): less what it could lose, or win, by deviating.
    not_lost: LeastMean = LeastMean()
    not_won: LeastMean = LeastMean()
    #: KEPT + (m - KEPT) r: above KEPT on average if it keeps that share whatever deviations earn.
    kept: LeastMean = LeastMean()

    def add(self, *, agreement: float, matches: bool, reward: float) -> Rehearsals:
        """With one event more: m, whether the baseline's action was the most probable, and r."""
        deviates = 1.0 - agreement
        return Rehearsals(
            matches=self.matches + matches,
            agreement=self.agreement.add(agreement),
            earned=self.earned.add(reward),
            missed=self.missed.add(1.0 - reward),
            earned_alike=self.earned_alike.add(agreement * reward),
            missed_alike=self.missed_alike.add(agreement * (1.0 - reward)),
            not_lost=self.not_lost.add(1.0 - deviates * reward),
            not_won=self.not_won.add(1.0 - deviates * (1.0 - reward)),
            kept=self.kept.add(KEPT + (agreement - KEPT) * reward),
        )

    @property
    def ready(self) -> bool:
        """Whether the policy is shown to keep `KEPT` of what the baseline earns, whatever deviations earn."""
        return self.kept.low() > KEPT


class Between(Value, frozen=True, kw_only=True):
    """Ends that hold together with 95 % confidence, however often they are looked at; in units of reward."""

    low: float
    high: float


class Readiness(Value, frozen=True, kw_only=True):
    """Whether a bandit in mode apprentice may go online, by what its baseline earned."""

    bandit_key: str
    mode: Mode
    #: Going online cannot cost much: with 95 % confidence the policy keeps at least 90 % of what the baseline
    #: earns above the lowest reward, even if every deviation from it earned the lowest.
    ready: bool
    #: The same in words, and what to do.
    verdict: str
    #: The branch that learns, and the configuration since which it is live, in this mode, and nothing else
    #: changed that shapes distributions or rewards.
    branch: int
    since_config: int | None
    #: How many settled decisions were counted: those before which all others are settled too.
    decisions: int
    #: The share of them in which the baseline's action was the most probable, and its mean probability.
    match_rate: float | None = None
    agreement: float | None = None
    #: What the baseline earned on average, and how sure that is.
    baseline: float | None = None
    baseline_between: Between | None = None
    #: What the policy is worth; as wide as it deviates often, since of that the log knows nothing.
    policy_between: Between | None = None
    #: (policy - baseline) on the same decisions.
    difference_between: Between | None = None


def readiness(
    bandit_key: str,
    branch: int,
    since_config: int,
    seen: Rehearsals,
    reward: RewardDefinition,
    *,
    by_exposures: bool = False,
) -> Readiness:
    """What is shown of a bandit in mode apprentice.

    `by_exposures`: online, what may be offered hangs on what was shown before, which nobody can rehearse.
    """
    found = Readiness(
        bandit_key=bandit_key, mode="apprentice", ready=seen.ready and not by_exposures,
        verdict=_UNREHEARSED if by_exposures else _verdict(seen), branch=branch,
        since_config=since_config, decisions=seen.earned.values,
    )  # fmt: skip
    if not found.decisions:
        return found
    low, high = reward.clip
    unit = high - low

    def between(least: float, most: float) -> Between:
        return Between(low=low + unit * least, high=low + unit * most)

    return msgspec.structs.replace(
        found,
        match_rate=seen.matches / found.decisions,
        agreement=seen.agreement.mean,
        baseline=low + unit * seen.earned.mean,
        baseline_between=between(seen.earned.low(), 1.0 - seen.missed.low()),
        policy_between=between(seen.earned_alike.low(), 1.0 - seen.missed_alike.low()),
        difference_between=Between(
            low=-unit * (1.0 - seen.not_lost.low()), high=unit * (1.0 - seen.not_won.low())
        ),
    )


def elsewhere(bandit_key: str, branch: int, mode: Literal["online", "logging_only"]) -> Readiness:
    """What is shown of a bandit in another mode."""
    return Readiness(
        bandit_key=bandit_key, mode=mode, ready=False, branch=branch, since_config=None, decisions=0,
        verdict=f"Nothing is counted: the bandit is in mode {mode}. Readiness is counted in mode apprentice.",
    )  # fmt: skip


_UNREHEARSED = (
    "The log cannot say: by caps, in_a_row or novelty, what is offered online hangs on what each subject was "
    "shown before, and all that it is shown now is the baseline. What is counted leaves them out. Take them "
    "out of the configuration until the bandit is online; or go online with a constraint whose floor keeps a "
    f"share of {FLOOR} for the baseline, and with caps and in_a_row that name other actions: at worst that "
    f"costs {1.0 - FLOOR:.0%} of what it earns."
)


def _verdict(seen: Rehearsals) -> str:
    decisions, agreement = seen.earned.values, seen.agreement.mean
    if seen.ready:
        return (
            f"Ready: even if every deviation from the baseline earned the lowest reward, the policy would "
            f"keep at least {KEPT:.0%} of what the baseline earns (95 % confidence, {decisions:,} decisions)."
        )
    if decisions < _FEWEST:
        return f"Not enough yet: {decisions:,} of at least {_FEWEST} decisions were counted."
    if not seen.earned.total:
        return (
            f"Not known: the baseline earned nothing above the lowest reward in {decisions:,} decisions, so "
            "there is nothing to keep. See that rewards arrive."
        )
    kept = seen.earned_alike.total / seen.earned.total
    if kept > KEPT:
        return (
            f"Not enough yet: the policy agrees with the baseline (it would keep {kept:.1%} of what that "
            f"earns even if deviations earned the lowest reward), but {decisions:,} decisions do not show "
            f"{KEPT:.0%} with 95 % confidence."
        )
    return (
        f"The log cannot say: with probability {1.0 - agreement:.2f} the policy would choose another action "
        "than the baseline, and what those earn is not in the log of a bandit that serves nothing else. Do "
        f"not believe it, try it: go online with a constraint whose floor keeps a share of {FLOOR} for the "
        f"baseline. At worst that costs {1.0 - FLOOR:.0%} of what it earns, and the log shows what others do."
    )
