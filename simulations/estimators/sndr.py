"""Self-normalized doubly robust estimation (Thomas & Brunskill 2016, ICML, "weighted doubly robust")."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import predictions


class SNDR(msgspec.Struct, frozen=True, kw_only=True):
    """DR whose correction is divided by the mean weight: less moved by a few large weights."""

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return "sndr"

    @property
    def size(self) -> int:
        """See `Estimator`."""
        return 3

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        model = predictions(rounds, self.name)
        return model.target, rounds.weight * (rounds.reward - model.logged), rounds.weight

    def value(self, means: Floats) -> float:
        """See `Estimator`."""
        return float(means[0] + means[1] / means[2]) if means[2] else math.nan

    def gradient(self, means: Floats) -> Floats:
        """See `Estimator`."""
        if not means[2]:
            return np.full(3, np.nan)
        return np.array([1.0, 1.0 / means[2], -means[1] / means[2] ** 2])
