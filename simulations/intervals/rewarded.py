"""What the rounds with reward say of how an estimate varies, where these are few; mergeable without rounding.

An estimator's columns are linear in the reward. What a round's reward adds to them, apart from the rest of
the columns, is a rare event's part of a sum: Poisson, not normal. So its moments are kept apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec
import numpy as np

from simulations.columns.exact import Floats, exact_sum, number
from simulations.columns.moments import Moments
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Estimator

#: More rounds with reward than this are no rare event: only their number is kept.
MANY = 10_000
#: What remains where columns cancel.
_ROUNDING = 1e-12


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What rewards of 1 would have added in all rounds in which they would have pulled to one side."""

    #: Exact sums: of what each column receives; of the sizes of the pulls, their squares and their cubes.
    sums: tuple[int, ...]
    pulls: int
    squares: int
    cubes: int

    @classmethod
    def of(cls, effects: Sequence[Floats], pull: Floats) -> Reach:
        """Of what columns receive (n,) and the sizes of the pulls (n,), 0 in rounds that do not count."""
        counted = pull > 0.0
        return cls(
            sums=tuple(exact_sum(np.where(counted, effect, 0.0)) for effect in effects),
            pulls=exact_sum(pull),
            squares=exact_sum(pull**2),
            cubes=exact_sum(pull**3),
        )

    @classmethod
    def none(cls, columns: int) -> Reach:
        """Of no rounds."""
        return cls(sums=(0,) * columns, pulls=0, squares=0, cubes=0)

    def __add__(self, other: Reach) -> Reach:
        """Of the rounds of both."""
        return Reach(
            sums=tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            pulls=self.pulls + other.pulls,
            squares=self.squares + other.squares,
            cubes=self.cubes + other.cubes,
        )

    def step(self, gradient: Floats) -> float:
        """How much one reward of 1 more would move n times the estimate: the typical size of what varies."""
        if not self.squares:
            return 0.0
        received = abs(float(gradient @ np.array([number(total) for total in self.sums])))
        # Pulls are counted as if means were 1; the gradient tells how far they really move the estimate.
        return received / number(self.pulls) * number(self.cubes) / number(self.squares)


class Side(NamedTuple):
    """What pulls an estimate to one side: sum and sum of squares of the rewards' parts, and one part more."""

    total: float
    squares: float
    step: float

    def in_clumps(self, size: float) -> Side:
        """If rewards do not come one by one but so many together."""
        return Side(self.total, self.squares * size, self.step * size)


class Usual(NamedTuple):
    """The reward of most rounds: events are the rounds with another one."""

    reward: float = 0.0
    #: Whether there is no higher one, as where nearly all succeed: then events are below it.
    highest: bool = False


class Rewarded(msgspec.Struct, frozen=True, kw_only=True):
    """Of the rounds with reward that moved an estimate; `a + b` equals that of all rounds at once.

    A round has reward if it has another one than the `Usual`, and as much as it differs from that.
    """

    #: Rounds with a reward and an action that the target may choose. If these are `MANY`, the rest is empty.
    count: int
    #: Rounds in which a reward would have moved any column.
    covered: int
    #: Sizes of the rewards that moved the estimate, and how many of them were negative.
    sizes: Moments
    negative: int
    #: What the rewards added to the columns: upwards, downwards.
    raised: Moments
    lowered: Moments
    #: Of all rounds, with or without reward: where a positive reward would raise, would lower the estimate.
    up: Reach
    down: Reach
    #: Whether a reward that was not seen would be negative.
    below: bool = False

    @classmethod
    def of(cls, estimator: Estimator, rounds: Rounds, usual: Usual | None = None) -> Rewarded:
        """For `Running.of` the same estimator and rounds."""
        usual = usual or Usual()
        reward = rounds.reward - usual.reward
        count = int(np.count_nonzero(reward * rounds.target_probability))
        if count > MANY:
            return cls.only(count, estimator.size)
        return cls.from_effects(estimator, count, reward, effects(estimator, rounds), below=usual.highest)

    @classmethod
    def from_effects(
        cls, estimator: Estimator, count: int, reward: Floats, added: list[Floats], *, below: bool
    ) -> Rewarded:
        """From rewards (n,) and what a reward of 1 adds to each column (n,); `count` see there."""
        # Where all means are 1, gradients of estimators are 1 or -1: which way each column pulls.
        signs = estimator.gradient(np.ones(estimator.size))
        pull, largest = np.zeros(len(reward)), np.zeros(len(reward))
        for sign, effect in zip(signs, added, strict=True):
            pull += sign * effect
            largest = np.maximum(largest, np.abs(effect))
        pull[np.abs(pull) <= _ROUNDING * largest] = 0.0  # two policies that agree pull apart by rounding only
        found = np.flatnonzero(pull * reward)
        rewards = reward[found]
        parts = [effect[found] * rewards for effect in added]
        raises = pull[found] * rewards > 0.0
        return cls(
            count=count,
            covered=int(np.count_nonzero(np.any(added, axis=0))),
            sizes=Moments.of([np.abs(rewards)]),
            negative=int(np.count_nonzero(rewards < 0.0)),
            raised=Moments.of([part[raises] for part in parts]),
            lowered=Moments.of([part[~raises] for part in parts]),
            up=Reach.of(added, np.maximum(pull, 0.0)),
            down=Reach.of(added, np.maximum(-pull, 0.0)),
            below=below,
        )

    @classmethod
    def none(cls, columns: int) -> Rewarded:
        """Of no rounds."""
        return cls.only(0, columns)

    @classmethod
    def only(cls, count: int, columns: int) -> Rewarded:
        """Nothing but how many rounds: there are `MANY`, or none."""
        return cls(
            count=count,
            covered=0,
            sizes=Moments.none(1),
            negative=0,
            raised=Moments.none(columns),
            lowered=Moments.none(columns),
            up=Reach.none(columns),
            down=Reach.none(columns),
        )

    def __add__(self, other: Rewarded) -> Rewarded:
        """Of the rounds of both."""
        if self.count + other.count > MANY:
            return self.only(self.count + other.count, len(self.raised.sums))
        return Rewarded(
            count=self.count + other.count,
            covered=self.covered + other.covered,
            sizes=self.sizes + other.sizes,
            negative=self.negative + other.negative,
            raised=self.raised + other.raised,
            lowered=self.lowered + other.lowered,
            up=self.up + other.up,
            down=self.down + other.down,
            below=self.below or other.below,
        )

    def sides(self, gradient: Floats) -> tuple[Side, Side]:
        """What raised and what lowered n times an estimate with this gradient (c,), if `count` <= `MANY`."""
        up, down = self.up, self.down
        if self.negative == self.sizes.count > 0 or (self.below and not self.sizes.count):
            up, down = down, up
        elif self.negative:
            up = down = up + down
        size = number(self.sizes.products[0]) / number(self.sizes.sums[0]) if self.sizes.count else 1.0
        return _side(self.raised, up, gradient, size), _side(self.lowered, down, gradient, size)


def effects(estimator: Estimator, rounds: Rounds) -> list[Floats]:
    """What a reward of 1 would add to each column (n,)."""
    count = len(rounds)
    paid = estimator.columns(replace(rounds, reward=np.ones(count)))
    unpaid = estimator.columns(replace(rounds, reward=np.zeros(count)))
    return [one - nothing for one, nothing in zip(paid, unpaid, strict=True)]


def _side(parts: Moments, reach: Reach, gradient: Floats, size: float) -> Side:
    total = abs(float(gradient @ np.array([number(column) for column in parts.sums])))
    products = iter(parts.products)
    terms = [
        (1.0 if i == j else 2.0) * float(one * other) * number(next(products))
        for i, one in enumerate(gradient)
        for j, other in enumerate(gradient[i:], start=i)
    ]
    squares = math.fsum(terms)
    if squares <= _ROUNDING * math.fsum(map(abs, terms)):  # what the columns receive cancels
        return Side(total=0.0, squares=0.0, step=0.0 if any(terms) else size * reach.step(gradient))
    return Side(total=total, squares=squares, step=size * reach.step(gradient))
