"""A reward model fitted to a whole log, in one pass."""

from __future__ import annotations

import numpy as np

from simulations.evaluation.reward_model import RewardModel, RewardSums, encode
from simulations.logs.rows import Chunk, Log
from simulations.logs.total import Progress, total
from simulations.policies.targets import Target


def fitted(
    log: Log,
    reward_range: tuple[float, float],
    weighed_for: Target | None = None,
    progress: Progress | None = None,
) -> RewardModel:
    """By least squares; or, for a policy, so that its doubly robust estimate varies least.

    A round counts as Farajtabar, Chow & Ghavamzadeh (2018, "More robust doubly robust", ICML) weigh it:
    target probability x (1 - p) / p**2.
    """
    low, high = reward_range
    span = (high - low) or 1.0  # where all rewards are equal, so are all predictions
    policy = weighed_for.anew() if weighed_for is not None else None

    def sums(chunk: Chunk) -> RewardSums:
        if not chunk.rows:
            return RewardSums.none()
        scaled = (np.array([row.reward for row in chunk.rows]) - low) / span
        weight = None
        if policy is not None:
            p = np.array([row.probability for row in chunk.rows])
            chosen = np.array([policy.distribution(row)[row.chosen] for row in chunk.rows])
            weight = chosen * (1.0 - p) / p**2
        return RewardSums.of(encode(chunk.rows), np.clip(scaled, 0.0, 1.0), weight)

    return RewardModel.fit(total(log, sums, RewardSums.none(), progress), reward_range)
