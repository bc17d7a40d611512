"""Evaluate a policy by a log: what it would have earned, how sure that is, and whether it may be said."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import chain, islice

from threadpoolctl import threadpool_limits

from bandit.errors import InvalidInputError
from simulations.estimators.named import DECISIVE, WITHOUT_MODEL
from simulations.estimators.named import estimator as estimator_named
from simulations.evaluation.asked import check_asked
from simulations.evaluation.boosts import boost_cost
from simulations.evaluation.estimates import candidates, estimate, presented, spread, tuned
from simulations.evaluation.evidence import Evidence, Plan, Seen, WarmUp
from simulations.evaluation.fitting import fitted
from simulations.evaluation.peeks import Peeks
from simulations.evaluation.reward_model import RewardModel
from simulations.evaluation.values import BoostCost, Estimate, Report
from simulations.evaluation.verdict import judge
from simulations.intervals.rewarded import Usual
from simulations.logs.rows import Log
from simulations.logs.scan import Scan, usable
from simulations.logs.total import Distributed, Progress, total
from simulations.policies import named
from simulations.policies.targets import Choose, Target, TheLogged

#: The first decides the verdict: which one must be settled before any result is seen.
ESTIMATORS = ("dr", "ips", "snips", "sndr", "switch_dr", "dros", "dm")
#: Before the name of a family of estimators: its limit is tuned.
_TUNED = "slope:"


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

    Policies are objects, callables, or names (`simulations.policies.named.FORMS`). The first of the
    estimators decides the verdict, and must be one of `estimators.named.DECISIVE`; `slope:dros` tunes the
    limit of `dros`, with `dr` beside it. Of the first rounds, a share of `learn_first`, policies only learn.
    `loggers` names the policies of a log that several wrote, by the rows' `logger`; balanced IPS needs them.
    The log is read two to four times, once more where it was boosted, in constant memory.

    Raises:
        InvalidInputError: rows cannot be used and `exclude` is not set, the first estimator cannot decide, or
            one needs what the log does not have; or something is asked that has no meaning.
        SetupError: the log or a policy cannot be read.

    >>> from simulations.environments.catalogue import environment
    >>> from simulations.logs.memory import MemoryLog
    >>> from simulations.simulation.runs import logged
    >>> from bandit.policy import UniformPolicy
    >>> log = MemoryLog(list(logged(environment("personas"), UniformPolicy(), rounds=2_000, seed=1)))
    >>> evaluate(log, "fixed:deal-of-the-day").verdict.outcome
    'better'
    """
    started = time.monotonic()
    check_asked(log, level=level, learn_first=learn_first)
    with threadpool_limits(1, "blas"):  # its threads wait for each other longer than they work
        scan = usable(total(log, Scan.of, Scan(), progress), exclude=exclude)
        asked = _Asked(log, scan, target, against, estimators, learn_first, loggers or {}, progress)
        plan = asked.plan()
        evidence = total(log, plan.evidence, Evidence(), progress)
        boosts = boost_cost(log, scan, level, progress)
    return asked.report(plan, evidence, boosts, level, time.monotonic() - started)


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
        self._families = [name.removeprefix(_TUNED) for name in estimators if name.startswith(_TUNED)]
        self._names = [name for name in estimators if not name.startswith(_TUNED)]
        self._by_name = [estimator_named(name) for name in self._names]
        if not estimators or estimators[0].partition(":")[0] not in DECISIVE:
            raise InvalidInputError(
                "estimators: expected first one that decides the verdict, unbiased or self-normalized "
                f"({', '.join(DECISIVE)}), the others after it, got {', '.join(estimators) or 'none'}.",
                target="estimators",
            )
        if self._families and "dr" not in self._names:
            self._names.append("dr")  # to be read with what is tuned
            self._by_name.append(estimator_named("dr"))
        self._learn_first = int(learn_first * scan.rounds)
        self._peeks = Peeks(log.reward_range, scan.rounds)
        if isinstance(log, Distributed) and (self._target.learns or self._against.learns or learn_first):
            raise InvalidInputError(
                "target: expected policies that do not learn along the log, since the parts of a distributed "
                "log come in no order; evaluate a saved model version, or read the log on one machine.",
                target="target",
            )

    def plan(self) -> Plan:
        """What to ask of each chunk; reward models are fitted first."""
        kinds = {name.partition(":")[0] for name in (*self._names, *self._families)}
        modelled = kinds - set(WITHOUT_MODEL)
        robust = None
        if "mrdr" in kinds:
            robust = (self._fitted(self._target), self._fitted(self._against))
        return Plan(
            target=self._target.anew(),
            reference=self._against.anew(),
            estimators=[*self._by_name, *chain.from_iterable(map(candidates, self._families))],
            clustered=self._scan.subjects.repeated,
            model=self._fitted(None) if modelled else None,
            robust_models=robust,
            loggers=self._mixture() if "balanced_ips" in kinds else (),
            watch=None if isinstance(self._log, Distributed) else self._peeks.add,
            usual=Usual(*self._scan.usual),
            warm_up=WarmUp(self._learn_first),
        )

    def report(
        self, plan: Plan, evidence: Evidence, boosts: BoostCost | None, level: float, seconds: float
    ) -> Report:
        """What came of it."""
        decisive = presented(evidence.differences[0], level) if evidence.differences else None
        by_subject = spread(evidence.differences[0]) if evidence.differences else None
        diagnosis = evidence.diagnostics.diagnosis()
        logged = isinstance(plan.reference, TheLogged)
        reference = None if logged else evidence.reference_diagnostics.diagnosis()
        return Report(
            verdict=judge(
                decisive,
                diagnosis,
                reference=reference,
                reward_range=self._log.reward_range,
                left_out=sum(self._scan.unusable.values()),
                subjects=by_subject and by_subject.effective,
            ),
            log=self._log.name,
            target=plan.target.name,
            reference=plan.reference.name,
            level=level,
            rounds=diagnosis.rounds,
            excluded=dict(sorted(self._scan.unusable.items())) | _left_out(evidence.left_out),
            primary=plan.estimators[0].name,
            estimates=self._estimates(evidence.target, level),
            reference_estimates=self._estimates(evidence.reference, level),
            differences=self._estimates(evidence.differences, level),
            sequence=self._peeks.found(),
            boosts=boosts,
            diagnostics=diagnosis,
            reference_diagnostics=reference,
            seconds=seconds,
            versions={name: version(name) for name in ("segbandit", "numpy", "scipy", "vowpalwabbit")},
        )

    def _estimates(self, seen: Sequence[Seen], level: float) -> list[Estimate]:
        """What was asked for by name, and then the best of each family that is tuned."""
        count = len(self._names)
        found = [estimate(each, level) for each in seen[:count]]
        tried = iter(seen[count:])
        for family in self._families if seen else ():
            of_family = list(islice(tried, len(candidates(family))))
            found.append(tuned(of_family, seen[self._names.index("dr")], level))
        return found

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


def _left_out(rounds: int) -> dict[str, int]:
    return {"learned before the evaluation": rounds} if rounds else {}
