"""Sub-Gaussian doubly robust estimation (Metelli, Russo & Restelli 2021, NeurIPS)."""

from __future__ import annotations

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Mean, corrected, fraction
from simulations.estimators.sg_ips import sub_gaussian


class SubGaussianDR(Mean, frozen=True, kw_only=True):
    """Doubly robust with weights drawn towards 1, and so never above 1 / shrinkage."""

    #: In [0, 1]; 0 is DR.
    shrinkage: float = 0.01

    def __post_init__(self) -> None:
        """Refuse a shrinkage outside [0, 1]."""
        fraction("shrinkage", self.shrinkage)

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return f"sg_dr(shrinkage={self.shrinkage:g})"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        return (corrected(rounds, sub_gaussian(rounds.weight, self.shrinkage), self.name),)
