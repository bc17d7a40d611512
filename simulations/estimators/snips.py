"""Self-normalized inverse propensity scoring (Swaminathan & Joachims 2015, NeurIPS)."""

from __future__ import annotations

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Ratio


class SNIPS(Ratio, frozen=True, kw_only=True):
    """The mean reward weighted by the importance weights: within the rewards' range, slightly biased."""

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return "snips"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        return rounds.weighted_reward, rounds.weight
