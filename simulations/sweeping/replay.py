"""One candidate of a sweep, replayed along the log: what it is worth, and how that varies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from bandit.errors import InvalidInputError
from simulations.columns.exact import Floats
from simulations.diagnostics.diagnosis import Diagnosis
from simulations.estimators.contract import Estimator, Running
from simulations.evaluation.estimates import spread
from simulations.evaluation.evidence import Evidence, Plan, Seen, WarmUp
from simulations.evaluation.reward_model import RewardModel
from simulations.intervals import Interval
from simulations.intervals.choose import interval
from simulations.intervals.delta import Spread
from simulations.intervals.rewarded import Rewarded, Usual
from simulations.intervals.simultaneous import scores
from simulations.logs.rows import Log, Logged
from simulations.logs.total import total
from simulations.policies.targets import Target, TheLogged
from simulations.sweeping.candidates import Candidate


class Estimated(NamedTuple):
    """An estimate, and all that intervals need of it."""

    running: Running
    rewarded: Rewarded
    #: By subject, where these have several rounds; None: rounds are independent.
    spread: Spread | None
    #: By bucket of subjects, see `scores`; estimates of other candidates are compared by theirs.
    scores: Floats

    @classmethod
    def of(cls, seen: Seen, *, clustered: bool) -> Estimated:
        """From what was seen of the whole log, by bucket too."""
        assert seen.buckets is not None  # noqa: S101 the plan asked for them
        return cls(seen.running, seen.rewarded, spread(seen) if clustered else None, scores(seen.buckets))

    @property
    def standard_error(self) -> float:
        """The one that `evaluate` presents."""
        return (self.spread or self.running).standard_error

    def interval(self, level: float) -> Interval:
        """The one that `evaluate` presents at this level."""
        return interval(self.running, self.rewarded, level=level, spread=self.spread)


class Replayed(NamedTuple):
    """What the log says of a candidate."""

    value: Estimated
    #: Candidate - reference.
    difference: Estimated
    reference: Estimated
    diagnosis: Diagnosis
    #: None: the reference is the policy that logged.
    reference_diagnosis: Diagnosis | None
    #: Rounds that a policy may have learned from before.
    left_out: int


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What is the same for all candidates; each is replayed by itself, on the same rounds."""

    log: Log
    reward_range: tuple[float, float]
    against: Candidate
    estimator: Estimator
    model: RewardModel | None
    #: Whether subjects have several rounds.
    clustered: bool
    #: The reward of most rounds.
    usual: Usual
    #: So many first rounds are only learned from, and those up to a time are left out.
    learn_first: int
    learned_until: datetime | None

    def run(self, candidate: Candidate, tick: Callable[[], None]) -> Replayed:
        """Predict each round before it is learned; `tick` is called after each.

        Raises:
            InvalidInputError: no round is left that no policy has learned from before.
        """
        plan = Plan(
            target=_ticking(candidate.target(self.reward_range).anew(), tick),
            reference=self.against.target(self.reward_range).anew(),
            estimators=[self.estimator],
            clustered=True,  # by bucket, which is how candidates are compared
            model=self.model,
            usual=self.usual,
            warm_up=WarmUp(self.learn_first),
            learned_until=self.learned_until,
        )
        with threadpool_limits(1, "blas"):
            found = total(self.log, plan.evidence, Evidence())
        if not found.target:
            raise InvalidInputError(
                "log: expected rounds that none of the policies has learned from, got none; take a later "
                "log.",
                target="log",
            )
        value, difference, reference = (
            Estimated.of(seen[0], clustered=self.clustered)
            for seen in (found.target, found.differences, found.reference)
        )
        logged = isinstance(plan.reference, TheLogged)
        return Replayed(
            value=value,
            difference=difference,
            reference=reference,
            diagnosis=found.diagnostics.diagnosis(),
            reference_diagnosis=None if logged else found.reference_diagnostics.diagnosis(),
            left_out=found.left_out,
        )


class _Ticking(Target):
    """Tells of each round."""

    def __init__(self, target: Target, tick: Callable[[], None]) -> None:
        self.name, self.learned_until = target.name, target.learned_until
        self._target, self._tick = target, tick

    def distribution(self, row: Logged) -> Sequence[float]:
        """See `Target`."""
        pmf = self._target.distribution(row)
        self._tick()
        return pmf


def _ticking(target: Target, tick: Callable[[], None]) -> Target:
    # What logged is known by its class, and is not worth watching.
    return target if isinstance(target, TheLogged) else _Ticking(target, tick)
