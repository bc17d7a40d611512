"""Marginalized inverse propensity scoring (Saito & Joachims 2022, ICML): weights of action embeddings."""

from __future__ import annotations

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Mean, column


class MIPS(Mean, frozen=True, kw_only=True):
    """For many actions; unbiased where an action's embedding says all that it does to the reward."""

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return "mips"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        return (column(rounds.embedding_weight, "embedding_weight", self.name) * rounds.reward,)
