"""Conversions that are reported late or never: any environment, with reports as practice has them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from bandit.types import BanditConfig
from simulations.environments.contract import Environment, Outcome, Round, randomness


@dataclass(frozen=True)
class Delayed:
    """Only what was earned is reported, after an exponential delay; some of it never.

    Whether a report comes does not depend on the action. Of `world`'s rewards those above zero are reported.
    All settle when `wait` is over: without a report by then, at the default reward of 0.

    >>> from simulations.environments.personas import Personas
    >>> world = Delayed(Personas())
    >>> round(world.reported_in_time, 3)
    0.76
    """

    world: Environment
    name: str = "delayed"
    #: Mean delay of a report, in seconds.
    delay: float = 20.0
    #: reward_wait of the bandit, in seconds.
    wait: float = 60.0
    #: Share of the conversions that are never reported.
    missing: float = 0.2

    @property
    def config(self) -> BanditConfig:
        """See `Environment`."""
        return msgspec.structs.replace(
            self.world.config, reward_wait=self.wait, default_reward=0.0, terminal_kinds=[]
        )

    @property
    def reported_in_time(self) -> float:
        """Share of the conversions that settle as such."""
        return (1.0 - self.missing) * (1.0 - math.exp(-self.wait / self.delay))

    @property
    def limit(self) -> int | None:
        """See `Environment`."""
        return self.world.limit

    def rounds(self, count: int, seed: int) -> Iterator[Round]:
        """See `Environment`."""
        random = randomness("delays", seed)
        for one in self.world.rounds(count, seed):
            late, lost = float(random.exponential(self.delay)), random.random_sample() < self.missing
            yield msgspec.structs.replace(
                one,
                settled=tuple([each * self.reported_in_time for each in one.settled]),
                outcomes=tuple([_reported(each, None if lost else late) for each in one.outcomes]),
            )


def _reported(outcome: Outcome, delay: float | None) -> Outcome:
    return outcome._replace(delay=delay if outcome.reported > 0.0 else None)
