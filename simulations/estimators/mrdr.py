"""More robust doubly robust estimation (Farajtabar, Chow & Ghavamzadeh 2018, ICML)."""

from __future__ import annotations

from bandit.errors import InvalidInputError
from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Mean


class MRDR(Mean, frozen=True, kw_only=True):
    """DR with a reward model that was fitted to make DR vary least, not to predict best."""

    @property
    def name(self) -> str:
        """See `Estimator`."""
        return "mrdr"

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """See `Estimator`."""
        model = rounds.robust_predictions
        if model is None:
            raise InvalidInputError(
                "mrdr: expected rounds with predictions of a reward model fitted for it, got none; fit one, "
                "or use dr.",
                target="robust_predictions",
            )
        return (model.target + rounds.weight * (rounds.reward - model.logged),)
