"""A world that turns: from some round on, each action earns what the one after it earned before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import msgspec

from bandit.types import Action, BanditConfig
from simulations.environments.contract import (
    PER_SECOND,
    Environment,
    Round,
    bernoulli,
    configured,
    randomness,
)

_Column = TypeVar("_Column")


@dataclass(frozen=True)
class Rates:
    """No context: each action earns 1 with a probability of its own.

    >>> next(Rates((0.6, 0.3)).rounds(1, seed=1)).expected
    (0.6, 0.3)
    """

    #: One for each action, in [0, 1].
    rates: tuple[float, ...]
    name: str = "rates"
    limit: ClassVar[None] = None

    @property
    def config(self) -> BanditConfig:
        """See `Environment`."""
        return configured([Action(action_id=f"action-{place}") for place in range(1, len(self.rates) + 1)])

    def rounds(self, count: int, seed: int) -> Iterator[Round]:
        """See `Environment`."""
        random, actions = randomness("rates", seed), self.config.actions
        for index in range(count):
            yield Round(
                at=index / PER_SECOND,
                subject=f"subject-{seed}-{index}",
                context={},
                actions=actions,
                expected=self.rates,
                settled=self.rates,
                outcomes=bernoulli(self.rates, float(random.random_sample())),
            )


@dataclass(frozen=True)
class Flip:
    """From the share `after` of the stream on, each action earns what the next one of the world would.

    The last one earns what the first would. So the best action is another one, in every context.

    >>> [one.expected for one in Flip(Rates((0.6, 0.3))).rounds(2, seed=1)]
    [(0.6, 0.3), (0.3, 0.6)]
    """

    world: Environment
    name: str = "flip"
    after: float = 0.5

    @property
    def config(self) -> BanditConfig:
        """See `Environment`."""
        return self.world.config

    @property
    def limit(self) -> int | None:
        """See `Environment`."""
        return self.world.limit

    def rounds(self, count: int, seed: int) -> Iterator[Round]:
        """See `Environment`."""
        for index, one in enumerate(self.world.rounds(count, seed)):
            yield _turned(one) if index >= self.after * count else one


def _turned(one: Round) -> Round:
    return msgspec.structs.replace(
        one, expected=_next(one.expected), settled=_next(one.settled), outcomes=_next(one.outcomes)
    )


def _next(column: Sequence[_Column]) -> tuple[_Column, ...]:
    return (*column[1:], column[0])
