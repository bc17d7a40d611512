"""Where nearly every round succeeds it is the failures that are rare: intervals must cover there as well."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from simulations.columns.rounds import Predictions, Rounds
from simulations.estimators.named import estimator
from simulations.intervals.choose import interval
from simulations.intervals.paired import compared
from simulations.intervals.rewarded import Usual

pytestmark = pytest.mark.statistical
LOGS, ACTIONS = 2_000, 10


@pytest.mark.parametrize("rounds", [2_000, 5_000])
@pytest.mark.parametrize(("success", "low", "high"), [(0.997, 0.0, 1.0), (0.99, 0.0, 1.0), (0.995, 1.0, 5.0)])
@pytest.mark.parametrize("name", ["dr", "snips"])
def test_no_difference_is_shown_where_there_is_none(
    name: str, success: float, low: float, high: float, rounds: int
) -> None:
    """One action of ten against the uniform logger, all alike: false alarms are as rare as is said."""
    rng, false = np.random.default_rng(int(1e4 * success) + rounds), 0
    share = np.full(rounds, 1.0 / ACTIONS)
    for _ in range(LOGS):
        reward = np.where(rng.random(rounds) < success, high, low)
        model = Predictions(logged=np.full(rounds, reward.mean()), target=np.full(rounds, reward.mean()))
        chosen = rng.integers(ACTIONS, size=rounds) == 0
        target = Rounds(
            reward=reward, probability=share, target_probability=chosen.astype(float), predictions=model
        )
        logged = Rounds(reward=reward, probability=share, target_probability=share, predictions=model)
        by = estimator(name)
        found = interval(*compared(by, target, by, logged, Usual(high, highest=True)))
        false += not found.low <= 0.0 <= found.high
    Console().print(
        f"{name}, {success:.1%} of {rounds:,} succeed, {low:g} or {high:g}: false {false / LOGS:.3f}"
    )
    assert false <= 0.06 * LOGS
