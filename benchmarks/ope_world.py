"""The log that off-policy evaluation is measured on; it needs numpy alone, so that others can make it too."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ACTIONS = 10


class Log(NamedTuple):
    """Rounds of a log with full-length propensities, and what a target and a reward model say (n, 10)."""

    reward: NDArray[np.float64]
    action: NDArray[np.int64]
    probability: NDArray[np.float64]
    target_probabilities: NDArray[np.float64]
    predicted_rewards: NDArray[np.float64]


def log(count: int, seed: int = 1) -> Log:
    rng = np.random.default_rng(seed)
    return Log(
        reward=(rng.random(count) < 0.1).astype(np.float64),
        action=rng.integers(0, ACTIONS, count),
        probability=rng.uniform(0.05, 0.3, count),
        target_probabilities=rng.dirichlet(np.ones(ACTIONS), count),
        predicted_rewards=rng.uniform(0.0, 0.2, (count, ACTIONS)),
    )
