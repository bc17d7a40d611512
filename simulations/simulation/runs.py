"""One policy in one environment for one seed: through the production code, measured without noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bandit.policy import Policy
from bandit.types import Decision, PolicySettings, Value
from simulations.environments.contract import Environment, Round
from simulations.logs.rows import Logged
from simulations.simulation.contenders import Contender
from simulations.simulation.service import Settled, SimulatedService

#: Where a run's cumulated figures are noted, at most.
_CHECKPOINTS = 100


class Run(Value, frozen=True, kw_only=True):
    """One policy, one seed. Means are per round; all but `reward` are exact expectations."""

    policy: str
    #: Of the stream and of the draws; runs of the same seed share the stream.
    seed: int
    rounds: int
    #: Mean of what was expected of the distributions that the policy gave.
    value: float
    #: Mean of what the drawn actions earned.
    reward: float
    #: Of the best action of each round.
    optimum: float
    #: Of always choosing the same action (the first offered, where that is not), by action_id.
    fixed: dict[str, float]
    #: Cumulated at each of the simulation's checkpoints: what the policy missed of the optimum, and what the
    #: action that was the best fixed one in the end did.
    regret: list[float]
    best_fixed_regret: list[float]
    #: How often a policy that failed was replaced by the first action.
    fallbacks: int

    @property
    def best_fixed(self) -> str:
        """The action that is best if it is always chosen."""
        return max(self.fixed, key=self.fixed.__getitem__)


def checkpoints(rounds: int) -> list[int]:
    """Rounds after which regret is noted, the last one among them.

    >>> checkpoints(3), len(checkpoints(12_345))
    ([1, 2, 3], 100)
    """
    size = min(rounds, _CHECKPOINTS)
    return [rounds * step // size for step in range(1, size + 1)]


class Played(NamedTuple):
    """A round, what was decided in it, and what the learner settled just before."""

    round: Round
    decision: Decision
    settled: list[Settled]

    @property
    def value(self) -> float:
        """The expected reward of the distribution."""
        offered = zip(self.decision.pmf, self.decision.positions, strict=True)
        return math.fsum([probability * self.round.expected[place] for probability, place in offered])

    @property
    def earned(self) -> float:
        """What the chosen action truly earned."""
        return self.round.outcomes[self.decision.positions[self.decision.chosen]].reward


def play(environment: Environment, service: SimulatedService, rounds: int, seed: int) -> Iterator[Played]:
    """Let the service decide for round after round, and hear what comes of it; ids count from 1."""
    for number, one in enumerate(environment.rounds(rounds, seed), start=1):
        settled = service.advance(one.at)
        decision = service.decide(one, str(number))
        service.hear(decision, one.outcomes[decision.positions[decision.chosen]])
        yield Played(one, decision, settled)


def run(
    environment: Environment,
    contender: Contender,
    *,
    rounds: int,
    seed: int,
    publish_seconds: float | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Run:
    """Run a policy; `tick` is called after each round."""
    service = _service(environment, contender.policy, seed, publish_seconds)
    noted, totals, fixed = set(checkpoints(rounds)), _Totals(), _FixedActions()
    regret, fixed_then = [], []
    for number, played in enumerate(play(environment, service, rounds, seed), start=1):
        totals.add(played)
        fixed.add(played.round)
        if number in noted:
            regret.append(totals.optimum - totals.value)
            fixed_then.append((totals.optimum, fixed.first, dict(fixed.totals)))
        tick()
    service.close()
    best = max(fixed.totals, key=fixed.totals.__getitem__)
    return Run(
        policy=contender.name,
        seed=seed,
        rounds=rounds,
        value=totals.value / rounds,
        reward=totals.reward / rounds,
        optimum=totals.optimum / rounds,
        fixed={action_id: total / rounds for action_id, total in fixed.totals.items()},
        regret=regret,
        best_fixed_regret=[optimum - then.get(best, first) for optimum, first, then in fixed_then],
        fallbacks=totals.fallbacks,
    )


def logged(
    environment: Environment,
    policy: PolicySettings | Policy,
    *,
    rounds: int,
    seed: int,
    logger: str = "",
    publish_seconds: float | None = None,
) -> list[Logged]:
    """The log of a policy in this environment, as a bandit that it serves would have it: settled rewards.

    A policy of which the settings are given learns on the way. What another policy is worth is then said by
    `simulations.environments.contract.value`, of the same rounds and seed, with `settled`.

    >>> from bandit.policy import UniformPolicy
    >>> from simulations.environments.personas import Personas
    >>> rows = logged(Personas(), UniformPolicy(), rounds=100, seed=1)
    >>> len(rows), rows[0].probability
    (100, 0.2)
    """
    service = _service(environment, policy, seed, publish_seconds)
    decisions, rewards = [], {}
    for played in play(environment, service, rounds, seed):
        decisions.append(played.decision)
        rewards.update({settled.decision.decision_id: settled.reward for settled in played.settled})
    rewards.update({settled.decision.decision_id: settled.reward for settled in service.finish()})
    service.close()
    return [
        Logged(
            row=row,
            decision_id=decision.decision_id,
            decided_at=decision.decided_at,
            subject=decision.asked.subject,
            context=decision.asked.context,
            actions=decision.offered,
            chosen=decision.chosen,
            probability=decision.probability,
            pmf=decision.pmf,
            unboosted=decision.unboosted,
            seen=decision.seen,
            reward=rewards[decision.decision_id],
            logger=logger,
        )
        for row, decision in enumerate(decisions, start=1)
    ]


class _Totals:
    def __init__(self) -> None:
        self.value = self.reward = self.optimum = 0.0
        self.fallbacks = 0

    def add(self, played: Played) -> None:
        self.value += played.value
        self.reward += played.earned
        self.optimum += max(played.round.expected)
        self.fallbacks += played.decision.mode == "fallback"


class _FixedActions:
    """What each action would have earned if it were always chosen: while it is not offered, the first one."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}
        self.first = 0.0

    def add(self, one: Round) -> None:
        offered = {action.action_id: e for action, e in zip(one.actions, one.expected, strict=True)}
        for action_id in offered:
            self.totals.setdefault(action_id, self.first)
        for action_id in self.totals:
            self.totals[action_id] += offered.get(action_id, one.expected[0])
        self.first += one.expected[0]


def _service(
    environment: Environment, policy: PolicySettings | Policy, seed: int, publish_seconds: float | None
) -> SimulatedService:
    return SimulatedService(environment.config, policy, salt=f"seed-{seed}", publish_seconds=publish_seconds)
