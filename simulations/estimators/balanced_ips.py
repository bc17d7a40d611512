"""Balanced inverse propensity scoring for logs of several policies (Agarwal et al. 2017, KDD)."""

from __future__ import annotations

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Mean, column


class BalancedIPS(Mean, frozen=True, kw_only=True):
    """As if the mixture of all policies had logged each round: small probabilities of one do little harm."""

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return "balanced_ips"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        mixture = column(rounds.mixture_probability, "mixture_probability", self.name)
        return (rounds.target_probability / mixture * rounds.reward,)
