"""Policies to evaluate: what each would have chosen in a logged round."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from bandit.errors import InvalidInputError
from bandit.fold import Fold
from bandit.policy import BaselinePolicy, Policy, UniformPolicy
from bandit.types import Action, BanditConfig, Features, PolicySettings, TrainingEvent
from simulations.logs.rows import Logged
from simulations.policies.steered import Steering

#: Context and offered actions -> one probability per action.
Choose = Callable[[Features, Sequence[Action]], Sequence[float]]
#: How far a distribution may be from summing to 1.
_TOLERANCE = 1e-6


class Target(ABC):
    """A policy that a log is asked about."""

    #: As it stands in reports.
    name: str
    #: It may have learned from rounds up to then, so these say nothing honest of it.
    learned_until: datetime | None = None

    @abstractmethod
    def distribution(self, row: Logged) -> Sequence[float]:
        """One probability per action of this round, in their order, summing to 1.

        A policy that learns has learned from the rounds before, and learns from this one afterwards.
        """

    def anew(self) -> Target:
        """The same policy before the log's first round."""
        return self

    @property
    def learns(self) -> bool:
        """Whether it matters in which order it sees the rounds."""
        return False


class TheLogged(Target):
    """The policy that wrote the log. Where only the chosen action's probability is known, the rest is 0."""

    name = "logged"

    def distribution(self, row: Logged) -> Sequence[float]:
        """See `Target`."""
        if row.pmf is not None:
            return row.pmf
        return [row.probability if index == row.chosen else 0.0 for index in range(len(row.actions))]


_LOGGED = TheLogged()


class Unboosted(Target):
    """The policy that wrote the log, as it would have been without boosts; see `Logged.unboosted`.

    >>> row = Logged(row=1, decision_id="d", actions=[Action(action_id="a"), Action(action_id="b")],
    ...              chosen=0, probability=0.8, pmf=[0.8, 0.2], unboosted=[0.5, 0.5], reward=1.0)
    >>> Unboosted().distribution(row)
    [0.5, 0.5]
    """

    name = "unboosted"

    def distribution(self, row: Logged) -> Sequence[float]:
        """See `Target`."""
        return _LOGGED.distribution(row) if row.unboosted is None else row.unboosted


class Static(Target):
    """A policy that does not change: one of ours, a saved model version, or any with the same contract.

    >>> row = Logged(row=1, decision_id="d", actions=[Action(action_id="a"), Action(action_id="b")],
    ...              chosen=0, probability=0.5, reward=1.0)
    >>> Static("uniform", UniformPolicy()).distribution(row)
    [0.5, 0.5]
    """

    def __init__(
        self,
        name: str,
        policy: Policy,
        learned_until: datetime | None = None,
        config: BanditConfig | None = None,
    ) -> None:
        """`config`: it is served under this configuration, with all that steers it; None: as it is."""
        self.name = name
        self.learned_until = learned_until
        self._policy = policy
        self._steering = None if config is None else Steering(name, config)

    def distribution(self, row: Logged) -> Sequence[float]:
        """See `Target`."""
        if self._steering is not None:
            return self._steering.pmf(self._policy, row)
        return self._policy.distribution(row.context, row.actions)


class Function(Target):
    """A Python callable: context and actions -> one probability per action.

    >>> row = Logged(row=1, decision_id="d", context={"age": 30}, chosen=0, probability=0.5, reward=1.0,
    ...              actions=[Action(action_id="a"), Action(action_id="b")])
    >>> young_b = Function("young-b", lambda context, actions: [0, 1] if context["age"] < 40 else [1, 0])
    >>> young_b.distribution(row)
    [0.0, 1.0]
    """

    def __init__(self, name: str, choose: Choose) -> None:
        self.name = name
        self._choose = choose

    def distribution(self, row: Logged) -> Sequence[float]:
        """See `Target`.

        Raises:
            InvalidInputError: the callable failed, or gave no distribution over the actions.
        """
        expected = f"{self.name}: expected {len(row.actions)} probabilities that sum to 1 for row {row.row}"
        try:
            given = self._choose(row.context, row.actions)
            pmf = [float(p) for p in given]
        except Exception as error:  # whatever somebody's code raises
            message = f"{expected}, got {type(error).__name__}: {error}."
            raise InvalidInputError(message, target=self.name) from error
        total = math.fsum(pmf)
        if (
            len(pmf) != len(row.actions)
            or not all(p >= 0.0 for p in pmf)
            or not abs(total - 1.0) <= _TOLERANCE
        ):
            raise InvalidInputError(f"{expected}, got {pmf[:10]}.", target=self.name)
        return [p / total for p in pmf]


class Learning(Target):
    """One of our configurations, learned along the log: each round is predicted before it is learned.

    Rounds are learned through the code that learns in production, with the logged probability and with the
    reward scaled from `reward_range` to [0, 1].

    >>> actions = [Action(action_id="a"), Action(action_id="b")]
    >>> target = Learning("default", PolicySettings(), reward_range=(0.0, 1.0))
    >>> for number in range(1, 50):
    ...     row = Logged(row=number, decision_id=str(number), actions=actions, chosen=number % 2,
    ...                  probability=0.5, reward=float(number % 2 == 1))
    ...     pmf = target.distribution(row)
    >>> pmf[1] > 0.8
    True
    """

    def __init__(
        self,
        name: str,
        settings: PolicySettings,
        reward_range: tuple[float, float],
        config: BanditConfig | None = None,
    ) -> None:
        """`config`: see `Static`."""
        self.name = name
        self._settings, self._range, self._config = settings, reward_range, config
        self._steering = None if config is None else Steering(name, config)
        self._low, high = reward_range
        self._scale = high - self._low
        if not self._scale > 0.0:
            raise InvalidInputError(
                f"{name}: expected rewards that differ, to learn from, got {reward_range} as their range; "
                "declare the range that they may have (--reward-range, reward_range=).",
                target="reward_range",
            )
        self._fold = Fold.start(settings, salt=name)

    def anew(self) -> Target:
        """See `Target`."""
        return Learning(self.name, self._settings, self._range, self._config)

    @property
    def learns(self) -> bool:
        """See `Target`."""
        return True

    def distribution(self, row: Logged) -> Sequence[float]:
        """See `Target`."""
        policy = self._fold.policy
        pmf = (
            self._steering.pmf(policy, row)
            if self._steering
            else policy.distribution(row.context, row.actions)
        )
        self._fold.learn(
            TrainingEvent(
                seq=self._fold.seq + 1,
                context=row.context,
                actions=row.actions,
                chosen=row.chosen,
                probability=row.probability,
                scaled_reward=min(max((row.reward - self._low) / self._scale, 0.0), 1.0),
            )
        )
        return pmf


class Fixed(Target):
    """Always the first of these actions that is offered.

    >>> row = Logged(row=1, decision_id="d", actions=[Action(action_id="a"), Action(action_id="b")],
    ...              chosen=0, probability=0.5, reward=1.0)
    >>> Fixed("c", "b").distribution(row)
    [0.0, 1.0]
    """

    def __init__(self, *action_ids: str) -> None:
        self.name = f"fixed:{','.join(action_ids)}"
        self._action_ids = action_ids

    def distribution(self, row: Logged) -> Sequence[float]:
        """See `Target`.

        Raises:
            InvalidInputError: none of them is offered.
        """
        return _first_offered(self.name, row, self._action_ids)


class SegmentTable(Target):
    """Who gets what by rules: the first whose fields all equal the context's says the action.

    Fields inside objects are named with dots. Where no rule fits, or its action is not offered, the default
    is chosen.

    >>> table = SegmentTable("by-device", [({"device.type": "phone"}, "b")], default="a")
    >>> actions = [Action(action_id="a"), Action(action_id="b")]
    >>> row = Logged(row=1, decision_id="d", context={"device": {"type": "phone"}}, actions=actions,
    ...              chosen=0, probability=0.5, reward=1.0)
    >>> table.distribution(row)
    [0.0, 1.0]
    """

    def __init__(
        self, name: str, rules: Sequence[tuple[Mapping[str, str], str]], default: str | None = None
    ) -> None:
        self.name = name
        self._rules = rules
        self._default = default

    def distribution(self, row: Logged) -> Sequence[float]:
        """See `Target`.

        Raises:
            InvalidInputError: neither a rule's action nor the default is offered.
        """
        fitting = [
            action_id
            for fields, action_id in self._rules
            if all(_text(row.context, name) == value for name, value in fields.items())
        ]
        return _first_offered(self.name, row, fitting[:1] + ([self._default] if self._default else []))


def _first_offered(name: str, row: Logged, action_ids: Sequence[str]) -> Sequence[float]:
    offered = [action.action_id for action in row.actions]
    for action_id in action_ids:
        if action_id in offered:
            chosen = offered.index(action_id)
            return [1.0 if index == chosen else 0.0 for index in range(len(offered))]
    raise InvalidInputError(
        f"{name}: expected one of the actions offered in row {row.row}, {', '.join(offered[:10])}, got "
        f"{', '.join(action_ids) or 'none that fits'}; name another one after it, to be chosen instead.",
        target=name,
    )


def of_config(name: str, config: BanditConfig, reward_range: tuple[float, float]) -> Target:
    """What a bandit with this configuration would have chosen, and learned, along the log.

    With all that steers it: constraints, boosts, kill switches, the floor of exploration.

    >>> config = BanditConfig(actions=[Action(action_id="a"), Action(action_id="b")], paused=True)
    >>> row = Logged(row=1, decision_id="d", actions=config.actions, chosen=0, probability=0.5, reward=1.0)
    >>> of_config("paused", config, (0.0, 1.0)).distribution(row)
    [1.0, 0.0]
    """
    if config.mode == "online" and not config.paused:
        return Learning(name, config.policy, reward_range, config)
    return Static(name, BaselinePolicy(config), config=config)


def uniform() -> Target:
    """Every action alike."""
    return Static("uniform", UniformPolicy())


def _text(context: Features, name: str) -> str | None:
    """A context field as text, as it stands in JSON: true, 3, 2.5; None where there is none."""
    value: object = context
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)
