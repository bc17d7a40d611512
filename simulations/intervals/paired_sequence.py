"""Confidence sequences for the difference of two targets on the same rounds; see `sequence`.

With the logging policy for the second this is what `bandit.comparison` keeps for a live bandit, one by one.
"""

from __future__ import annotations

import msgspec
import numpy as np

from bandit.errors import InvalidInputError
from simulations.exact import Floats
from simulations.intervals import Interval, check_level
from simulations.intervals.betting import NOTHING_BET, Capital, Game, lowest_sum, played
from simulations.intervals.sequence import before, largest_weights
from simulations.rounds import Rounds


class DifferenceSequence(msgspec.Struct, frozen=True, kw_only=True):
    """Of the value of one target less that of another, on the same rounds, for rewards in [0, 1].

    >>> reward = np.array([1.0, 0.0, 1.0, 0.0] * 500)
    >>> half, largest = np.full(2000, 0.5), np.full(2000, 1.4)
    >>> better = Rounds(reward=reward, probability=half, largest_weight=largest,
    ...                 target_probability=np.array([0.7, 0.3] * 1000))
    >>> equal = Rounds(reward=reward, probability=half, largest_weight=largest, target_probability=half)
    >>> found = DifferenceSequence().add(better, equal).interval()
    >>> round(found.low, 3), round(found.high, 3)
    (0.197, 0.204)
    """

    count: int = 0
    #: Sum of the rewards, and of the estimates of the difference.
    rewards: float = 0.0
    gained: float = 0.0
    #: Of gamblers who bet on the first target, on the second.
    lower: Capital = NOTHING_BET
    upper: Capital = NOTHING_BET

    def add(self, rounds: Rounds, others: Rounds) -> DifferenceSequence:
        """With these rounds more, beside the first target and beside the second.

        Both need `largest_weight`: without it one round could refute anything.

        Raises:
            InvalidInputError: see `ValueSequence.add`; or `largest_weight` is missing.
        """
        if rounds.largest_weight is None or others.largest_weight is None:
            raise InvalidInputError(
                "largest_weight: expected the largest weight of any action offered, got none; give it, "
                "or look at the sequences of both values.",
                target="largest_weight",
            )
        first, second = largest_weights(rounds), largest_weights(others)
        seen, surplus = self.count + np.arange(len(rounds)), rounds.weight - others.weight
        mean = (0.5 + before(self.rewards, rounds.reward)) / (seen + 1.0)
        gained = surplus * (rounds.reward - mean)
        ahead = np.clip(before(self.gained, gained) / (seen + 1.0), -1.0, 1.0)
        for_first = difference_game(rounds.reward, surplus, (first, second), mean, ahead)
        for_second = difference_game(rounds.reward, -surplus, (second, first), mean, -ahead)
        return DifferenceSequence(
            count=self.count + len(rounds),
            rewards=self.rewards + float(rounds.reward.sum()),
            gained=self.gained + float(gained.sum()),
            lower=played(self.lower, for_first),
            upper=played(self.upper, for_second),
        )

    def interval(self, *, level: float = 0.95) -> Interval:
        """So far. Ends that contradict each other refute the logged probabilities: then it is [-1, 1].

        Raises:
            InvalidInputError: `level` not in (0, 1).
        """
        check_level(level)
        count, one_sided = max(self.count, 1), (1.0 + level) / 2.0
        low = max(lowest_sum(self.lower, one_sided) / count, -1.0)
        high = min(-lowest_sum(self.upper, one_sided) / count, 1.0)
        low, high = (low, high) if low <= high else (-1.0, 1.0)
        return Interval(low=low, high=high, level=level, method="confidence sequence")


def difference_game(
    reward: Floats, surplus: Floats, largest: tuple[Floats, Floats], mean: Floats, ahead: Floats
) -> Game:
    """y = (w - v) (r - c), of which the mean is the difference for every c chosen before; each column (n,).

    `surplus` is w - v, `largest` the largest possible w and v, `ahead` the difference so far.
    """

    def game(loss: float) -> tuple[Floats, Floats]:
        room = np.maximum(loss - np.abs(ahead), 0.0)
        first, second = largest
        centre = np.minimum(mean, np.divide(room, first, out=np.ones_like(room), where=first > room))
        # The worst: no reward where only the first target has weight, or one where only the second has.
        worst = np.maximum(first * centre, second * (1.0 - centre))
        expected = np.minimum(ahead, loss - worst)
        # Who would risk too much sits the round out, and believes the worst of it.
        plays = expected >= -1.0
        return np.where(plays, surplus * (reward - centre) - expected, 0.0), np.where(plays, expected, -1.0)

    return game
