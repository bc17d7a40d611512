"""Confidence sequences: intervals that hold after every round at once, also under a logger that learns.

They may be looked at whenever one likes, and stop when one has seen enough: with the confidence level they
never miss the mean over the rounds of the target's value (or of the difference of two targets' values). The
price: twice the width, about, of an interval for a number of rounds fixed beforehand. See `betting`.

Rounds must come in the order of the decisions, none left out, and their probabilities must be those with
which the actions were drawn, given all that was seen before. What the target may choose, the logger could.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from bandit.errors import InvalidInputError
from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.intervals import Interval, check_level
from simulations.intervals.betting import NOTHING_BET, Capital, Game, lowest_sum, played

#: A weight may exceed the largest by rounding.
ROUNDING = 1e-9
_UNBOUNDED = 1e300


class Guess(NamedTuple):
    """Rewards that a model, or a mean, expected before each round; in [0, 1], each (n,)."""

    #: Of the logged action.
    logged: Floats
    #: The mean over the target's distribution.
    target: Floats
    #: The lowest and the highest of any action that the target may choose.
    lowest: Floats
    highest: Floats

    @property
    def mirrored(self) -> Guess:
        """Of 1 - reward."""
        return Guess(1.0 - self.logged, 1.0 - self.target, 1.0 - self.highest, 1.0 - self.lowest)


class ValueSequence(msgspec.Struct, frozen=True, kw_only=True):
    """Of the value of a target policy, for rewards in [0, 1]: all that is remembered of the rounds so far.

    >>> reward = np.array([1.0, 0.0, 1.0, 0.0] * 500)
    >>> rounds = Rounds(reward=reward, probability=np.full(2000, 0.5), target_probability=np.full(2000, 0.5),
    ...                 largest_weight=np.ones(2000))
    >>> found = ValueSequence().add(rounds).interval()
    >>> round(found.low, 2), round(found.high, 2)
    (0.46, 0.54)
    """

    count: int = 0
    #: Sums of weights times rewards, and of weights: they make the guess for rounds without a model.
    earned: float = 0.0
    weight: float = 0.0
    #: Of gamblers who bet that the value is high, that it is low.
    lower: Capital = NOTHING_BET
    upper: Capital = NOTHING_BET

    def add(self, rounds: Rounds, guess: Guess | None = None) -> ValueSequence:
        """With these rounds more; doubly robust with a `guess` of a model that had not seen them.

        `rounds.largest_weight`, if known, brings `high` several times nearer where rewards are rare.

        Raises:
            InvalidInputError: a reward not in [0, 1], a weight above the largest, a guess not in its bounds.
        """
        for_high, for_low = self.games(rounds, guess)
        return ValueSequence(
            count=self.count + len(rounds),
            earned=self.earned + float((rounds.weight * rounds.reward).sum()),
            weight=self.weight + float(rounds.weight.sum()),
            lower=played(self.lower, for_high),
            upper=played(self.upper, for_low),
        )

    def games(self, rounds: Rounds, guess: Guess | None = None) -> tuple[Game, Game]:
        """What `add` plays: on a high value, of rewards r; on a low one, of 1 - r."""
        largest = largest_weights(rounds)
        earned = before(self.earned, rounds.weight * rounds.reward)
        mean = np.minimum((0.5 + earned) / (1.0 + before(self.weight, rounds.weight)), 1.0)
        if guess is None:
            guess = Guess(logged=mean, target=mean, lowest=mean, highest=mean)
        _check(guess)
        return (
            value_game(rounds.reward, rounds.weight, largest, guess, mean),
            value_game(1.0 - rounds.reward, rounds.weight, largest, guess.mirrored, 1.0 - mean),
        )

    def interval(self, *, level: float = 0.95) -> Interval:
        """So far. Ends that contradict each other refute the logged probabilities: then it is [0, 1].

        Raises:
            InvalidInputError: `level` not in (0, 1).
        """
        check_level(level)
        count, one_sided = max(self.count, 1), (1.0 + level) / 2.0
        low = max(lowest_sum(self.lower, one_sided) / count, 0.0)
        high = min(1.0 - lowest_sum(self.upper, one_sided) / count, 1.0)
        low, high = (low, high) if low <= high else (0.0, 1.0)
        return Interval(low=low, high=high, level=level, method="confidence sequence")


def value_game(reward: Floats, weight: Floats, largest: Floats, guess: Guess, mean: Floats) -> Game:
    """A doubly robust y = w (r - g) + E[g], of which the mean is the target's value; each column (n,)."""

    def game(loss: float) -> tuple[Floats, Floats]:
        expected = np.minimum(mean, loss)
        # The worst that can come is no reward under the largest weight: then y = E[g] - w g.
        worst = largest * guess.highest - guess.target
        shrink = np.divide(loss - expected, worst, out=np.ones_like(worst), where=worst > loss - expected)
        return weight * (reward - shrink * guess.logged) + shrink * guess.target - expected, expected

    return game


def largest_weights(rounds: Rounds) -> Floats:
    """The largest weight of any action offered (n,), beyond all bounds where it is not known.

    Raises:
        InvalidInputError: a weight is larger, or a reward is not in [0, 1].
    """
    largest = np.full(len(rounds), _UNBOUNDED) if rounds.largest_weight is None else rounds.largest_weight
    excess = rounds.weight > largest * (1.0 + ROUNDING)
    if excess.any():
        bad = int(np.flatnonzero(excess)[0])
        raise InvalidInputError(
            f"largest_weight: expected at least the weight {rounds.weight[bad]:g}, got {largest[bad]:g} at "
            f"index {bad}.",
            target="largest_weight",
        )
    check_rewards(rounds)
    return largest


def check_rewards(rounds: Rounds) -> None:
    """Refuse rewards outside [0, 1].

    Raises:
        InvalidInputError: naming the first.
    """
    outside = (rounds.reward < 0.0) | (rounds.reward > 1.0)
    if outside.any():
        bad = int(np.flatnonzero(outside)[0])
        raise InvalidInputError(
            f"reward: expected numbers in [0, 1], got {rounds.reward[bad]:g} at index {bad}; scale them.",
            target="reward",
        )


def before(total: float, numbers: Floats) -> Floats:
    """The sum of all numbers before each, of which the first come to `total` (n,)."""
    return np.concatenate([[total], total + np.cumsum(numbers)])[:-1]


def _check(guess: Guess) -> None:
    low, high = guess.lowest, guess.highest
    for name, numbers in (("logged", guess.logged), ("target", guess.target)):
        fits = (low - ROUNDING <= numbers) & (numbers <= high + ROUNDING) & (low >= 0.0) & (high <= 1.0)
        if not fits.all():
            bad = int(np.flatnonzero(~fits)[0])
            raise InvalidInputError(
                f"guess: expected 0 <= lowest <= {name} <= highest <= 1, got {low[bad]:g}, {numbers[bad]:g} "
                f"and {high[bad]:g} at index {bad}.",
                target="guess",
            )
