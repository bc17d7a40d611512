"""Evaluate a policy by a log: what it would have earned, how sure that is, and whether it may be said."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version

import numpy as np
from threadpoolctl import threadpool_limits

from bandit.errors import InvalidInputError
from simulations import named
from simulations.estimators.contract import Estimator
from simulations.estimators.named import estimator as estimator_named
from simulations.evidence import Evidence, Plan, Seen, WarmUp
from simulations.fitting import fitted
from simulations.intervals import Interval, nothing_known
from simulations.intervals.choose import interval
from simulations.intervals.delta import clustered
from simulations.intervals.paired import Difference
from simulations.intervals.paired_sequence import DifferenceSequence
from simulations.logs.rows import Log
from simulations.policies import Choose, Target, TheLogged
from simulations.report import ConfidenceSequence, Estimate, Peek, Report
from simulations.reward_model import RewardModel
from simulations.rounds import Rounds
from simulations.scan import Scan, usable
from simulations.total import Distributed, Progress, total
from simulations.verdict import judge

#: The first decides the verdict: which one must be settled before any result is seen.
ESTIMATORS = ("dr", "ips", "snips", "sndr", "switch_dr", "dros", "dm")
#: Whose columns need no reward model.
_WITHOUT_MODEL = ("ips", "clipped_ips", "snips", "sg_ips", "mips", "balanced_ips", "replay")
_LIMITED = "biased by its limit"
#: What readers of an estimate must know; more in docs/evaluation.md.
_NOTES = {
    "dm": "a model's word only",
    **dict.fromkeys(("clipped_ips", "clipped_dr", "switch_dr", "dros", "sg_ips", "sg_dr"), _LIMITED),
    "mips": "if a segment says all",
}
#: How often a confidence sequence is looked at.
_PEEKS = 60


def evaluate(
    log: Log,
    target: str | Choose | Target,
    *,
    against: str | Choose | Target = "logged",
    estimators: Sequence[str] = ESTIMATORS,
    level: float = 0.95,
    learn_first: float = 0.0,
    loggers: Mapping[str, str | Choose | Target] | None = None,
    exclude: bool = False,
    progress: Progress | None = None,
) -> Report:
    """What `target` would have earned on this log, and whether that is more than `against` would have.

    Policies are objects (`simulations.policies`), callables `(context, actions) -> probabilities`, or names
    (`simulations.named.FORMS`). The first of the estimators decides the verdict. Of the first rounds, a share
    of `learn_first`, policies only learn. `loggers` names the policies of a log that several wrote, by the
    rows' `logger`; balanced IPS needs them. The log is read two to four times, in constant memory.

    Raises:
        InvalidInputError: rows cannot be used and `exclude` is not set, or an estimator needs what the log
            does not have.
        SetupError: the log or a policy cannot be read.

    >>> from simulations.environments.catalogue import environment
    >>> from simulations.logs.memory import MemoryLog
    >>> from simulations.runs import logged
    >>> from bandit.policy import UniformPolicy
    >>> log = MemoryLog(list(logged(environment("personas"), UniformPolicy(), rounds=2_000, seed=1)))
    >>> evaluate(log, "fixed:deal-of-the-day").verdict.outcome
    'better'
    """
    started = time.monotonic()
    with threadpool_limits(1, "blas"):  # its threads wait for each other longer than they work
        scan = usable(total(log, Scan.of, Scan(), progress), exclude=exclude)
        asked = _Asked(log, scan, target, against, estimators, learn_first, loggers or {}, progress)
        plan = asked.plan()
        evidence = total(log, plan.evidence, Evidence(), progress)
    return asked.report(plan, evidence, level, time.monotonic() - started)


class _Asked:
    """An evaluation under way."""

    def __init__(
        self,
        log: Log,
        scan: Scan,
        target: str | Choose | Target,
        against: str | Choose | Target,
        estimators: Sequence[str],
        learn_first: float,
        loggers: Mapping[str, str | Choose | Target],
        progress: Progress | None,
    ) -> None:
        self._log = log
        self._scan = scan
        self._progress = progress
        self._range = log.reward_range or (scan.lowest, scan.highest)
        self._target = self._policy(target)
        self._against = self._policy(against)
        self._loggers = loggers
        self._estimators = [estimator_named(name) for name in estimators]
        self._primary = estimators[0]
        self._names = {name.partition(":")[0] for name in estimators}
        self._learn_first = int(learn_first * scan.rounds)
        self._sequence = _Sequence(self._range, scan.rounds - self._learn_first)
        if isinstance(log, Distributed) and (self._target.learns or self._against.learns or learn_first):
            raise InvalidInputError(
                "target: expected policies that do not learn along the log, since the parts of a distributed "
                "log come in no order; evaluate a saved model version, or read the log on one machine.",
                target="target",
            )

    def plan(self) -> Plan:
        """What to ask of each chunk; reward models are fitted first."""
        modelled = self._names - set(_WITHOUT_MODEL) and self._range[1] > self._range[0]
        ordered = not isinstance(self._log, Distributed)
        robust = None
        if "mrdr" in self._names:
            robust = (self._fitted(self._target), self._fitted(self._against))
        return Plan(
            target=self._target.anew(),
            reference=self._against.anew(),
            estimators=self._estimators,
            clustered=self._scan.subjects.repeated,
            model=self._fitted(None) if modelled else None,
            robust_models=robust,
            loggers=self._mixture() if "balanced_ips" in self._names else (),
            watch=self._sequence.add if ordered else None,
            warm_up=WarmUp(self._learn_first),
        )

    def report(self, plan: Plan, evidence: Evidence, level: float, seconds: float) -> Report:
        """What came of it."""
        decisive = _interval(evidence.differences[0], level) if evidence.differences else None
        diagnosis = evidence.diagnostics.diagnosis()
        logged = isinstance(plan.reference, TheLogged)
        reference = None if logged else evidence.reference_diagnostics.diagnosis()
        return Report(
            verdict=judge(
                decisive,
                diagnosis,
                reference=reference,
                reward_range=self._range,
                left_out=sum(self._scan.unusable.values()),
            ),
            log=self._log.name,
            target=plan.target.name,
            reference=plan.reference.name,
            level=level,
            rounds=diagnosis.rounds,
            excluded=dict(sorted(self._scan.unusable.items())) | _left_out(evidence.left_out),
            primary=plan.estimators[0].name,
            estimates=[_estimate(seen, level) for seen in evidence.target],
            reference_estimates=[_estimate(seen, level) for seen in evidence.reference],
            differences=[_estimate(seen, level) for seen in evidence.differences],
            sequence=self._sequence.found(),
            diagnostics=diagnosis,
            reference_diagnostics=reference,
            seconds=seconds,
            versions={name: version(name) for name in ("segbandit", "numpy", "scipy", "vowpalwabbit")},
        )

    def _policy(self, given: str | Choose | Target) -> Target:
        return given if isinstance(given, Target) else named.target(given, self._range)

    def _fitted(self, weighed_for: Target | None) -> RewardModel:
        return fitted(self._log, self._range, weighed_for, self._progress)

    def _mixture(self) -> list[tuple[Target, float]]:
        missing = sorted(set(self._scan.loggers) - set(self._loggers))
        if missing:
            raise InvalidInputError(
                f"loggers: expected the policy of everyone who logged, got none for {', '.join(missing)}; "
                "name each (--logger NAME=POLICY), or leave balanced_ips out.",
                target="loggers",
            )
        return [
            (self._policy(self._loggers[name]).anew(), rounds / self._scan.rounds)
            for name, rounds in sorted(self._scan.loggers.items())
        ]


class _Sequence:
    """A confidence sequence of the difference, looked at now and then while the log is read."""

    def __init__(self, reward_range: tuple[float, float], rounds: int) -> None:
        self._low, high = reward_range
        self._span = high - self._low
        self._every = max(rounds // _PEEKS, 1)
        self._state: DifferenceSequence | None = DifferenceSequence()
        self._peeks: list[Peek] = []

    def add(self, rounds: Rounds, others: Rounds) -> None:
        """These rounds, in the order of the log."""
        known = rounds.largest_weight is not None and others.largest_weight is not None
        if self._state is None or not known or not self._span > 0.0:
            self._state = None
            return
        for at in range(0, len(rounds), self._every):
            part = slice(at, at + self._every)
            self._state = self._state.add(self._scaled(rounds[part]), self._scaled(others[part]))
            found = self._state.interval()
            self._peeks.append(
                Peek(
                    rounds=self._state.count,
                    low=self._span * found.low,
                    estimate=self._span * self._state.gained / self._state.count,
                    high=self._span * found.high,
                )
            )

    def found(self) -> ConfidenceSequence | None:
        """What it looked like; None where largest weights or the rewards' range are not known."""
        if self._state is None or not self._peeks:
            return None
        label = "target - reference"
        return ConfidenceSequence(label=label, method="betting", peeks=self._peeks, compared_with=0.0)

    def _scaled(self, rounds: Rounds) -> Rounds:
        return replace(rounds, reward=np.clip((rounds.reward - self._low) / self._span, 0.0, 1.0))


def _interval(seen: Seen, level: float) -> Interval:
    if _name(seen.running.estimator) == "dm":
        return nothing_known(level)
    return interval(seen.running, seen.rewarded, level=level, standard_error=_error(seen))


def _error(seen: Seen) -> float:
    if seen.buckets is None:
        return seen.running.standard_error
    counts, sums = seen.buckets.used
    return clustered(seen.running.estimator, sums, counts)


def _estimate(seen: Seen, level: float) -> Estimate:
    found, running = _interval(seen, level), seen.running
    return Estimate(
        estimator=_name(running.estimator),
        value=running.value,
        standard_error=_error(seen),
        low=found.low,
        high=found.high,
        method=found.method if seen.buckets is None else f"{found.method}, by subject",
        note=_NOTES.get(_name(running.estimator).partition("(")[0], ""),
    )


def _name(estimator: Estimator) -> str:
    return estimator.first.name if isinstance(estimator, Difference) else estimator.name


def _left_out(rounds: int) -> dict[str, int]:
    return {"learned before the evaluation": rounds} if rounds else {}
