"""Inverse propensity scoring with weights cut at a limit (Ionides 2008, J. Comput. Graph. Stat. 17)."""

from __future__ import annotations

import numpy as np

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Mean, above_zero


class ClippedIPS(Mean, frozen=True, kw_only=True):
    """Varies less than IPS, and of rewards >= 0 finds too little where weights exceed the limit."""

    #: The largest weight, > 0.
    limit: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a limit that is none."""
        above_zero("limit", self.limit)

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return f"clipped_ips(limit={self.limit:g})"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        return (np.minimum(rounds.weight, self.limit) * rounds.reward,)
