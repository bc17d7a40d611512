"""Reports that are false: at random, or where an adversary wants to hide the best action."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from bandit.types import BanditConfig
from simulations.environments.contract import Environment, Outcome, Round, randomness


@dataclass(frozen=True)
class Flipped:
    """With probability `share` a reward r in [0, 1] is reported as 1 - r."""

    world: Environment
    name: str = "noisy"
    share: float = 0.1

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
        random = randomness("flips", seed)
        for one in self.world.rounds(count, seed):
            flips = random.random_sample() < self.share
            yield msgspec.structs.replace(
                one,
                settled=tuple([each + self.share * (1.0 - 2.0 * each) for each in one.settled]),
                outcomes=tuple([_flipped(each) for each in one.outcomes]) if flips else one.outcomes,
            )


def _flipped(outcome: Outcome) -> Outcome:
    return outcome._replace(reported=1.0 - outcome.reported)


@dataclass(frozen=True)
class Adversary:
    """At first whatever the best action of a round earns is reported as nothing.

    So early data says the opposite of the truth, and a policy that settles on it for good never recovers.
    (Corruption with a budget: Lykouris, Mirrokni & Paes Leme 2018, arXiv 1803.09353.)
    """

    world: Environment
    name: str = "adversary"
    #: The share of the stream, from its beginning, in which reports are false.
    share: float = 0.1

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
            yield _attacked(one) if index < self.share * count else one


def _attacked(one: Round) -> Round:
    best = one.expected.index(max(one.expected))
    settled, outcomes = list(one.settled), list(one.outcomes)
    settled[best], outcomes[best] = 0.0, outcomes[best]._replace(reported=0.0)
    return msgspec.structs.replace(one, settled=tuple(settled), outcomes=tuple(outcomes))
