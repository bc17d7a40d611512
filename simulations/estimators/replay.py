"""Replay by rejection (Li, Chu, Langford & Wang 2011, WSDM): the mean reward of rounds as the target's own.

Li et al. keep a round of a uniform log where the target chooses the logged action. With known probabilities
a round is kept with probability weight / bound (von Neumann's rejection), which is theirs for a uniform log,
a target that does not draw, and the number of actions as the bound.
"""

from __future__ import annotations

import numpy as np

from bandit.errors import InvalidInputError
from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Ratio, above_zero, column


class Replay(Ratio, frozen=True, kw_only=True):
    """Unweighted, as if the target had run; one round in `bound` is kept on average, the others are lost."""

    #: At least the largest weight that any action offered can have; smaller keeps more.
    bound: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a bound that is none."""
        above_zero("bound", self.bound)

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return f"replay(bound={self.bound:g})"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """Reward where the round is kept, and 1 where it is; see `Estimator`.

        Raises:
            InvalidInputError: no draws, or a weight above the bound, which would bias the sample.
        """
        draw = column(rounds.draw, "draw", self.name)
        largest = rounds.weight if rounds.largest_weight is None else rounds.largest_weight
        if len(largest) and largest.max() > self.bound:
            raise InvalidInputError(
                f"{self.name}: expected no weight above the bound, got {largest.max():g} at index "
                f"{int(largest.argmax())}; raise the bound to the largest weight, or use snips.",
                target="bound",
            )
        kept = (draw * self.bound < rounds.weight).astype(np.float64)
        return kept * rounds.reward, kept
