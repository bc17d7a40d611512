"""Switch doubly robust estimation (Wang, Agarwal & Dudik 2017, ICML)."""

from __future__ import annotations

import numpy as np

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Mean, above_zero, corrected


class SwitchDR(Mean, frozen=True, kw_only=True):
    """Doubly robust up to a weight, and above it the reward model alone."""

    #: The largest weight that is used, > 0.
    limit: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a limit that is none."""
        above_zero("limit", self.limit)

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return f"switch_dr(limit={self.limit:g})"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        return (corrected(rounds, np.where(rounds.weight <= self.limit, rounds.weight, 0.0), self.name),)
