"""Confidence sequences for the difference of two targets on the same rounds; see `sequence`.

With the logging policy for the second this is what `bandit.comparison` keeps for a live bandit, one by one.
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
from simulations.intervals.sequence import ROUNDING, before, check_rewards, largest_weights


class Surplus(NamedTuple):
    """Bounds, known before each round, of the first target's weight less the second's; each (n,).

    Over all actions offered, of (first target's probability - second's) / logged probability.
    """

    lowest: Floats
    highest: Floats


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

    def add(self, rounds: Rounds, others: Rounds, surplus: Surplus | None = None) -> DifferenceSequence:
        """With these rounds more, beside the first target and beside the second.

        Without `surplus`, both need `largest_weight`; with it, the interval is several times narrower where
        rewards are rare and the targets differ little.

        Raises:
            InvalidInputError: see `ValueSequence.add`; neither is given, or a round is outside the bounds.
        """
        for_first, for_second = self.games(rounds, others, surplus)
        gained = (rounds.weight - others.weight) * (rounds.reward - self._mean(rounds))
        return DifferenceSequence(
            count=self.count + len(rounds),
            rewards=self.rewards + float(rounds.reward.sum()),
            gained=self.gained + float(gained.sum()),
            lower=played(self.lower, for_first),
            upper=played(self.upper, for_second),
        )

    def games(self, rounds: Rounds, others: Rounds, surplus: Surplus | None = None) -> tuple[Game, Game]:
        """What `add` plays: on the first target, on the second."""
        check_rewards(rounds)
        if surplus is None:
            surplus = Surplus(-_known(others), _known(rounds))
        ahead = rounds.weight - others.weight
        _check(ahead, surplus)
        mean = self._mean(rounds)
        so_far = before(self.gained, ahead * (rounds.reward - mean)) / (self._seen(rounds) + 1.0)
        so_far = np.clip(so_far, -1.0, 1.0)
        return (
            difference_game(rounds.reward, ahead, surplus, mean, so_far),
            difference_game(rounds.reward, -ahead, Surplus(-surplus.highest, -surplus.lowest), mean, -so_far),
        )

    def _seen(self, rounds: Rounds) -> Floats:
        return np.arange(self.count, self.count + len(rounds), dtype=float)

    def _mean(self, rounds: Rounds) -> Floats:
        return (0.5 + before(self.rewards, rounds.reward)) / (self._seen(rounds) + 1.0)

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


def difference_game(reward: Floats, ahead: Floats, surplus: Surplus, mean: Floats, so_far: Floats) -> Game:
    """y = (w - v) (r - c), of which the mean is the difference for every c chosen before; each column (n,).

    `ahead` is w - v, `so_far` the difference until then.
    """
    first, second = np.maximum(surplus.highest, 0.0), np.maximum(-surplus.lowest, 0.0)

    def game(loss: float) -> tuple[Floats, Floats]:
        room = np.maximum(loss - np.abs(so_far), 0.0)
        centre = np.minimum(mean, np.divide(room, first, out=np.ones_like(room), where=first > room))
        # The worst: no reward where the first target has more weight, or one where the second has.
        worst = np.maximum(first * centre, second * (1.0 - centre))
        expected = np.minimum(so_far, loss - worst)
        # Who would risk too much sits the round out, and believes the worst of it.
        plays = expected >= -1.0
        return np.where(plays, ahead * (reward - centre) - expected, 0.0), np.where(plays, expected, -1.0)

    return game


def _known(rounds: Rounds) -> Floats:
    if rounds.largest_weight is None:
        raise InvalidInputError(
            "largest_weight: expected the largest weight of any action offered, got none; give it, or look "
            "at the sequences of both values.",
            target="largest_weight",
        )
    return largest_weights(rounds)


def _check(ahead: Floats, surplus: Surplus) -> None:
    outside = (ahead < surplus.lowest - ROUNDING) | (ahead > surplus.highest + ROUNDING)
    if outside.any():
        bad = int(np.flatnonzero(outside)[0])
        raise InvalidInputError(
            f"surplus: expected bounds of the difference of the weights, {ahead[bad]:g}, got "
            f"{surplus.lowest[bad]:g} to {surplus.highest[bad]:g} at index {bad}.",
            target="surplus",
        )
