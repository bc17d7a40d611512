"""One bandit in simulated time: decided, settled and learned by the very functions of the running service.

What the service keeps in its database stands in memory here, and its clock is the environment's. A learner's
round settles all that is due, learns it and publishes; until the next one the model stays as it is, and
predicts, bit for bit, what a snapshot of it would. So nothing is saved or loaded.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from bandit import exposures
from bandit.decide import choose
from bandit.fold import Fold, training_event
from bandit.policy import Policy
from bandit.rewards import settle
from bandit.settings import Settings
from bandit.steering import Exposure
from bandit.types import Bandit, BanditConfig, Decision, DecisionInput, PolicySettings, ReceivedEvent
from simulations.environments.contract import KIND, Outcome, Round
from simulations.policies.steered import Served

#: When simulated time begins.
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Settled(NamedTuple):
    """A decision and what it settled at."""

    decision: Decision
    reward: float


class _Waiting(NamedTuple):
    """Sorts by when it can be settled."""

    ready_at: datetime
    #: In the training log, among what is settled together: by time, then by id.
    place: tuple[datetime, str]
    due_at: datetime
    decision: Decision
    events: list[ReceivedEvent]


class SimulatedService:
    """Serves one bandit; rounds must come in the order of their time.

    >>> from simulations.environments.personas import Personas
    >>> world = Personas()
    >>> service = SimulatedService(world.config, PolicySettings(), salt="salt")
    >>> for number, one in enumerate(world.rounds(20, seed=1)):
    ...     settled = service.advance(one.at)
    ...     decision = service.decide(one, f"decision-{number}")
    ...     service.hear(decision, one.outcomes[decision.positions[decision.chosen]])
    >>> service.learned
    19
    """

    def __init__(
        self,
        config: BanditConfig,
        policy: PolicySettings | Policy,
        *,
        salt: str,
        publish_seconds: float | None = None,
    ) -> None:
        """`policy`: settings of one that learns, or any that does not.

        `publish_seconds`: the least time between two rounds of the learner; default: the service's own.
        """
        if isinstance(policy, PolicySettings):
            config = msgspec.structs.replace(config, policy=policy)
            self._fold: Fold | None = Fold.start(policy, salt)
            self._policy: Policy = self._fold.policy
        else:
            self._fold, self._policy = None, policy
        self._bandit = Bandit(
            bandit_key="simulated", config_version=1, config=config, salt=salt, archived=False,
            created_at=BEGIN,
        )  # fmt: skip
        self._pause = Settings().publish_seconds if publish_seconds is None else publish_seconds
        self._next_round = 0.0
        self._waiting: list[_Waiting] = []
        #: What each subject was shown, where that counts.
        self._shown: defaultdict[str, list[Exposure]] = defaultdict(list)
        self._seq = self._version = 0

    @property
    def learned(self) -> int:
        """How many settled decisions were learned."""
        return self._fold.seq if self._fold else 0

    def decide(self, one: Round, decision_id: str) -> Decision:
        """The decision, by the newest model; call `advance` first."""
        catalogue = self._bandit.config.actions
        asked = DecisionInput(
            subject=one.subject,
            context=one.context,
            actions=None if one.actions == catalogue else one.actions,
            decision_id=decision_id,
        )
        served = Served(self._bandit, self._policy, self._version)
        decided_at = BEGIN + timedelta(seconds=one.at)
        if not exposures.counts(self._bandit.config):
            return choose(served, asked, decision_id, decided_at)
        shown = self._shown[one.subject]
        seen = exposures.seen(self._bandit.config, shown, decided_at)
        decision = choose(served, asked, decision_id, decided_at, seen)
        shown.append(exposures.of(decision, decided_at))
        del shown[: -exposures.MOST]
        return decision

    def hear(self, decision: Decision, outcome: Outcome) -> None:
        """What the chosen action earned; it is known from when it is reported, and no earlier."""
        config = self._bandit.config
        due_at = ready_at = decision.decided_at + timedelta(seconds=config.reward_wait)
        events = []
        if outcome.delay is not None:
            occurred_at = decision.decided_at + timedelta(seconds=outcome.delay)
            events = [_event(decision.decision_id, outcome.reported, occurred_at)]
            if KIND in config.terminal_kinds:
                ready_at = min(due_at, occurred_at)
        place = (decision.decided_at, decision.decision_id)
        heapq.heappush(self._waiting, _Waiting(ready_at, place, due_at, decision, events))

    def advance(self, seconds: float) -> list[Settled]:
        """Go on to this time; what the learner settled, and learned, if it had a round."""
        if seconds < self._next_round:
            return []
        now = BEGIN + timedelta(seconds=seconds)
        due = []
        while self._waiting and self._waiting[0].ready_at <= now:
            due.append(heapq.heappop(self._waiting))
        if due:
            self._next_round = seconds + self._pause
            self._version += 1
        return [self._settle(one) for one in sorted(due, key=lambda waiting: waiting.place)]

    def finish(self) -> list[Settled]:
        """Wait until everything is settled."""
        last = max((one.ready_at for one in self._waiting), default=BEGIN)
        return self.advance(max((last - BEGIN).total_seconds(), self._next_round))

    def close(self) -> None:
        """Free the model."""
        if self._fold is not None:
            self._fold.close()

    def _settle(self, one: _Waiting) -> Settled:
        config = self._bandit.config
        reward = settle(config.reward, config.default_reward, one.events, until=one.due_at)
        self._seq += 1
        if self._fold is not None:
            self._fold.learn(training_event(self._seq, one.decision, reward, config.reward))
        return Settled(one.decision, reward)


def _event(decision_id: str, value: float, occurred_at: datetime) -> ReceivedEvent:
    return ReceivedEvent(
        decision_id=decision_id, source="simulation", event_id=decision_id, kind=KIND, value=value,
        occurred_at=occurred_at, received_at=occurred_at,
    )  # fmt: skip
