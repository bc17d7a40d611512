"""What an environment is: rounds of which it is known what every action is expected to earn."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from bandit.policy import Policy
from bandit.types import Action, BanditConfig, Features, Value

#: The kind of all events by which environments report rewards.
KIND = "reward"
#: Rounds come evenly, so many a second.
PER_SECOND = 10.0


class Outcome(NamedTuple):
    """What an action earns in one round, and what is heard of that."""

    #: What it truly earns.
    reward: float
    #: The value of the event that reports it; another one where reports are false.
    reported: float
    #: Seconds from the decision until that event occurs and arrives; None: it never does.
    delay: float | None = 0.0


class Round(Value, frozen=True, kw_only=True):
    """Somebody about to be decided for. All columns have one entry per offered action, in their order."""

    #: Seconds since the environment began; they grow.
    at: float
    subject: str
    context: Features
    #: All enabled.
    actions: list[Action]
    #: What each action truly earns on average, given the context: the value of a distribution is its mean.
    expected: tuple[float, ...]
    #: What the settled reward of each is on average: other than `expected` where reports are lost or false.
    settled: tuple[float, ...]
    #: Drawn once, so what an action earns does not hang on when or how often it is asked for.
    outcomes: tuple[Outcome, ...]


class Environment(Protocol):
    """A world in which the value of any policy is known; immutable, and the same seed is the same stream."""

    @property
    def name(self) -> str:
        """As it stands in reports."""
        ...

    @property
    def config(self) -> BanditConfig:
        """Catalogue, reward definition, reward_wait and default_reward of a bandit that serves it."""
        ...

    @property
    def limit(self) -> int | None:
        """The most rounds that it has; None: it goes on for ever."""
        ...

    def rounds(self, count: int, seed: int) -> Iterator[Round]:
        """A stream of `count` rounds, or of `limit` where that is fewer.

        What changes over time does so over the whole stream, however long it is.
        """
        ...


def configured(actions: Sequence[Action]) -> BanditConfig:
    """A bandit with these actions whose rewards, from 0 to 1, settle with the event that reports them."""
    return BanditConfig(actions=list(actions), terminal_kinds=[KIND])


def bernoulli(expected: Sequence[float], luck: float) -> tuple[Outcome, ...]:
    """Reward 1 with the expected probability, else 0, known at once; `luck` is uniform in [0, 1).

    >>> [outcome.reward for outcome in bernoulli([0.2, 0.6], luck=0.5)]
    [0.0, 1.0]
    """
    rewards = [float(luck < each) for each in expected]
    return tuple([Outcome(reward, reward) for reward in rewards])


def randomness(purpose: str, seed: int) -> np.random.RandomState:
    """Random numbers that no other purpose or seed shares.

    >>> randomness("delays", 1).random_sample() == randomness("delays", 1).random_sample()
    True
    """
    digest = hashlib.blake2b(f"{purpose}:{seed}".encode(), digest_size=32).digest()
    return np.random.RandomState(np.frombuffer(digest, dtype="<u4"))


def value(
    environment: Environment, policy: Policy, *, rounds: int, seed: int, settled: bool = False
) -> float:
    """The exact value of a policy on this stream: the mean over rounds of sum_a pi(a | x) E[reward | x, a].

    `settled`: of the rewards as they settle, which is what a log holds; else of those truly earned.

    >>> from bandit.policy import FixedPolicy, UniformPolicy
    >>> from simulations.environments.personas import Personas
    >>> world = Personas()
    >>> best = value(world, FixedPolicy("deal-of-the-day"), rounds=500, seed=1)
    >>> best > value(world, UniformPolicy(), rounds=500, seed=1)
    True
    """
    found = []
    for one in environment.rounds(rounds, seed):
        pmf = policy.distribution(one.context, one.actions)
        expected = one.settled if settled else one.expected
        found.append(math.fsum([p * e for p, e in zip(pmf, expected, strict=True)]))
    return math.fsum(found) / len(found)
