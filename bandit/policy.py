"""The Policy contract and the policies: context and offered actions -> distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bandit import exploration, features
from bandit.constraints import baseline_index
from bandit.types import Action, BanditConfig, Exploration, Features
from bandit.vw import Model


class Policy(Protocol):
    """Anything that gives a distribution over the offered actions. Asking never changes it."""

    def distribution(self, context: Features, actions: Sequence[Action]) -> list[float]:
        """One probability per action, in their order, summing to 1 within 1e-9."""
        ...


class UniformPolicy:
    """Every action alike.

    >>> UniformPolicy().distribution({}, [Action(action_id="a"), Action(action_id="b")])
    [0.5, 0.5]
    """

    def distribution(self, context: Features, actions: Sequence[Action]) -> list[float]:  # noqa: ARG002 the contract
        """See `Policy`."""
        return [1.0 / len(actions)] * len(actions)


class FixedPolicy:
    """Always one action, or the first offered one where it is not offered.

    >>> FixedPolicy("b").distribution({}, [Action(action_id="a"), Action(action_id="b")])
    [0.0, 1.0]
    """

    def __init__(self, action_id: str | None) -> None:
        self._action_id = action_id

    def distribution(self, context: Features, actions: Sequence[Action]) -> list[float]:  # noqa: ARG002 the contract
        """See `Policy`."""
        ids = [action.action_id for action in actions]
        chosen = ids.index(self._action_id) if self._action_id in ids else 0
        return _surely(chosen, len(actions))


class BaselinePolicy:
    """Always the baseline of this configuration, or what takes its place (`constraints.baseline_index`).

    >>> config = BanditConfig(actions=[Action(action_id="a"), Action(action_id="b")], baseline_action="b")
    >>> BaselinePolicy(config).distribution({}, config.actions)
    [0.0, 1.0]
    """

    def __init__(self, config: BanditConfig) -> None:
        self._config = config

    def distribution(self, context: Features, actions: Sequence[Action]) -> list[float]:  # noqa: ARG002 the contract
        """See `Policy`."""
        return _surely(baseline_index(self._config, actions), len(actions))


def _surely(chosen: int, size: int) -> list[float]:
    return [1.0 if index == chosen else 0.0 for index in range(size)]


class VwPolicy:
    """A Vowpal Wabbit model and its exploration.

    >>> from bandit.types import PolicySettings, SquareCB
    >>> policy = VwPolicy(Model.untrained(PolicySettings()), SquareCB(), learned=0)
    >>> policy.distribution({"age": 30}, [Action(action_id="a"), Action(action_id="b")])
    [0.5, 0.5]
    """

    def __init__(self, model: Model, rule: Exploration, learned: int) -> None:
        self.model = model
        self._rule = rule
        #: Events that the model has learned, relearned ones too.
        self.learned = learned

    def distribution(self, context: Features, actions: Sequence[Action]) -> list[float]:
        """See `Policy`."""
        lines = features.encode(context, actions)
        if isinstance(self._rule, exploration.Rule):
            return exploration.distribution(self._rule, self.model.expected_rewards(lines), self.learned)
        return self.model.predict(lines)
