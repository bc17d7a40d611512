"""Doubly robust estimation (Dudik, Langford & Li 2011, ICML): a reward model, corrected by what was seen."""

from __future__ import annotations

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Mean, corrected


class DR(Mean, frozen=True, kw_only=True):
    """Unbiased however wrong the reward model is, and the better it is the less it varies."""

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return "dr"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        return (corrected(rounds, rounds.weight, self.name),)
