"""A hand-written service in memory, for everything that speaks to one through its port."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bandit.errors import ConflictError, NotFoundError
from bandit.types import BanditConfig, DecisionInput, RewardEvent
from simulations.live.client import Choice, ChosenAction, LoggedDecision, RewardReceipt, Settled

Choose = Callable[[DecisionInput, BanditConfig], str]


class FakeService:
    """Chooses by a function; keeps what it was told. Learns at once, if at all."""

    def __init__(self, choose: Choose, *, learns: bool = True, taken: Sequence[str] = ()) -> None:
        self._choose = choose
        self._learns = learns
        self._taken = set(taken)
        self.configs: dict[str, BanditConfig] = {}
        self.decisions: dict[str, tuple[str, DecisionInput, str]] = {}
        self.batches: list[int] = []
        self.activated: list[str] = []
        self.rewards: list[RewardEvent] = []

    async def create_bandit(self, bandit_key: str, config: BanditConfig) -> None:
        if bandit_key in self._taken or bandit_key in self.configs:
            raise ConflictError(f"bandit_key: {bandit_key!r} exists")
        self.configs[bandit_key] = config

    async def decide_many(self, bandit_key: str, asked: Sequence[DecisionInput]) -> list[Choice]:
        self.batches.append(len(asked))
        return [self._decide(bandit_key, one) for one in asked]

    def _decide(self, bandit_key: str, asked: DecisionInput) -> Choice:
        action_id = self._choose(asked, self.configs[bandit_key])
        decision_id = f"d-{len(self.decisions)}"
        self.decisions[decision_id] = (bandit_key, asked, action_id)
        return Choice(
            decision_id=decision_id,
            action=ChosenAction(action_id=action_id),
            probability=1.0,
            model_version=0,
            mode="online",
        )

    async def activate(self, decision_id: str) -> bool:
        if decision_id not in self.decisions:
            raise NotFoundError(f"decision_id: no {decision_id!r}")
        self.activated.append(decision_id)
        return True

    async def send_rewards(self, events: Sequence[RewardEvent]) -> list[RewardReceipt]:
        self.rewards += events
        return [
            RewardReceipt(event_id=event.event_id or "", decision_id=event.decision_id, status="accepted")
            for event in events
        ]

    async def get(self, decision_id: str) -> LoggedDecision:
        key, asked, action_id = self.decisions[decision_id]
        reward = next((event.value for event in self.rewards if event.decision_id == decision_id), None)
        done = self._learns and reward is not None
        return LoggedDecision(
            decision_id=decision_id,
            action=ChosenAction(action_id=action_id),
            probability=1.0,
            model_version=0,
            mode="online",
            bandit_key=key,
            context=asked.context,
            settled=Settled(seq=1, reward=reward) if done and reward is not None else None,
        )
