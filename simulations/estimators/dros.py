"""Doubly robust estimation with optimistic shrinkage (Su, Dimakopoulou, Krishnamurthy & Dudik 2020, ICML)."""

from __future__ import annotations

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Mean, above_zero, corrected


class DRos(Mean, frozen=True, kw_only=True):
    """Weights shrink smoothly: nearly kept where their square is well below the limit, lost far above it."""

    #: The square of the weight that is halved, > 0 (lambda in the paper's equation 7).
    limit: float = 100.0

    def __post_init__(self) -> None:
        """Refuse a limit that is none."""
        above_zero("limit", self.limit)

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return f"dros(limit={self.limit:g})"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        weight = rounds.weight
        return (corrected(rounds, weight / (1.0 + weight * (weight / self.limit)), self.name),)
