"""The difference of two policies, or of two estimators, on the same rounds: what they share cancels.

`compared` gives the two states of which `choose.interval` makes the interval, just as of one estimate.
"""

from __future__ import annotations

import msgspec
import numpy as np

from simulations.columns.exact import Floats
from simulations.columns.moments import Moments
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Estimator, Running
from simulations.intervals.rewarded import MANY, Rewarded, Usual, effects


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What the first estimates, less what the second does: an estimator itself, with the columns of both."""

    first: Estimator
    second: Estimator

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return f"{self.first.name} - {self.second.name}"

    @property
    def size(self) -> int:
        """See `Estimator`."""
        return self.first.size + self.second.size

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """Of one policy by two estimators; for two policies see `compared`."""
        return (*self.first.columns(rounds), *self.second.columns(rounds))

    def value(self, means: Floats) -> float:
        """See `Estimator`."""
        return self.first.value(means[: self.first.size]) - self.second.value(means[self.first.size :])

    def gradient(self, means: Floats) -> Floats:
        """See `Estimator`."""
        first = self.first.gradient(means[: self.first.size])
        return np.concatenate([first, -self.second.gradient(means[self.first.size :])])


def compared(
    first: Estimator, rounds: Rounds, second: Estimator, others: Rounds, usual: Usual | None = None
) -> tuple[Running, Rewarded]:
    """The states of the difference; each merges with that of other rounds by `+`.

    `rounds` and `others` are the same rounds of the log beside two targets.

    >>> from simulations.estimators.snips import SNIPS
    >>> from simulations.intervals.choose import interval
    >>> reward, half = np.array([1.0, 0.0] * 500), np.full(1000, 0.5)
    >>> better = Rounds(reward=reward, probability=half, target_probability=np.array([0.7, 0.3] * 500))
    >>> equal = Rounds(reward=reward, probability=half, target_probability=half)
    >>> found = interval(*compared(SNIPS(), better, SNIPS(), equal))
    >>> round(found.low, 3), round(found.high, 3)
    (0.195, 0.205)
    """
    difference = Difference(first=first, second=second)
    moments = Moments.of([*first.columns(rounds), *second.columns(others)])
    either = rounds.target_probability + others.target_probability
    usual = usual or Usual()
    reward = rounds.reward - usual.reward
    count = int(np.count_nonzero(reward * either))
    if count > MANY:
        rewarded = Rewarded.only(count, difference.size)
    else:
        added = [*effects(first, rounds), *effects(second, others)]
        rewarded = Rewarded.from_effects(difference, count, reward, added, below=usual.highest)
    return Running(estimator=difference, moments=moments), rewarded
