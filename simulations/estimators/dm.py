"""The direct method: what a reward model predicts for the target policy, whatever was seen."""

from __future__ import annotations

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Mean, predictions


class DM(Mean, frozen=True, kw_only=True):
    """Varies least, and is off by as much as the reward model is; its interval knows nothing of that."""

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return "dm"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        return (predictions(rounds, self.name).target,)
