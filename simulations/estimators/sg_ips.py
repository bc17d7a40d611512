"""Sub-Gaussian inverse propensity scoring (Metelli, Russo & Restelli 2021, NeurIPS)."""

from __future__ import annotations

import numpy as np

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Mean, fraction


class SubGaussianIPS(Mean, frozen=True, kw_only=True):
    """Weights drawn towards 1 by their harmonic mean with it, and so never above 1 / shrinkage."""

    #: In [0, 1]; 0 is IPS, 1 ignores the weights (lambda in the paper's equation 9).
    shrinkage: float = 0.01

    def __post_init__(self) -> None:
        """Refuse a shrinkage outside [0, 1]."""
        fraction("shrinkage", self.shrinkage)

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return f"sg_ips(shrinkage={self.shrinkage:g})"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        return (sub_gaussian(rounds.weight, self.shrinkage) * rounds.reward,)


def sub_gaussian(weight: Floats, shrinkage: float) -> Floats:
    """Weights (n,) drawn towards 1; those of 0 stay 0.

    >>> sub_gaussian(np.array([0.0, 1.0, 100.0]), 0.5)
    array([0.        , 1.        , 1.98019802])
    """
    return np.divide(
        weight, 1.0 - shrinkage + shrinkage * weight, out=np.zeros_like(weight), where=weight > 0.0
    )
