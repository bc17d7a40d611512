"""Doubly robust estimation with weights cut at a limit (Su et al. 2020, ICML, "pessimistic shrinkage")."""

from __future__ import annotations

import numpy as np

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Mean, above_zero, corrected


class ClippedDR(Mean, frozen=True, kw_only=True):
    """Trusts the reward model where weights exceed the limit: varies less than DR, and is biased by it."""

    #: The largest weight, > 0.
    limit: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a limit that is none."""
        above_zero("limit", self.limit)

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return f"clipped_dr(limit={self.limit:g})"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        return (corrected(rounds, np.minimum(rounds.weight, self.limit), self.name),)
