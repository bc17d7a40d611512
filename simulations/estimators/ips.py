"""Inverse propensity scoring (Horvitz & Thompson 1952, JASA 47): the mean of weight times reward."""

from __future__ import annotations

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Mean


class IPS(Mean, frozen=True, kw_only=True):
    """Unbiased where the target chooses nothing that the logging policy cannot; varies with the weights."""

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return "ips"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        return (rounds.weighted_reward,)
