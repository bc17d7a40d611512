"""A world with a known policy value: ten arms, one logged most of the time, a uniform target."""

from __future__ import annotations

import numpy as np

from simulations.columns.rounds import Predictions, Rounds

_LOGGING = np.array([0.82] + [0.02] * 9)


def logged(rng: np.random.Generator, rate: float, count: int = 2_000) -> tuple[Rounds, float]:
    """Rounds and the target's value; a reward model that knows the mean reward and nothing else."""
    rates = np.clip(rate * np.linspace(0.5, 1.5, len(_LOGGING)), 0.0, 1.0)
    action = rng.choice(len(_LOGGING), count, p=_LOGGING)
    predicted = np.full(count, rate)
    rounds = Rounds(
        reward=(rng.random(count) < rates[action]).astype(float),
        probability=_LOGGING[action],
        target_probability=np.full(count, 1.0 / len(_LOGGING)),
        predictions=Predictions(logged=predicted, target=predicted),
        draw=rng.random(count),
    )
    return rounds, float(rates.mean())


def skewed(rng: np.random.Generator, count: int = 2_000) -> tuple[Rounds, float]:
    """Rounds of which the target prefers what was logged least, and a reward model that is wrong there."""
    probability = np.array([0.82, 0.06, 0.06, 0.06])
    target, rates = np.array([0.1, 0.1, 0.4, 0.4]), np.array([0.2, 0.2, 0.5, 0.5])
    action = rng.choice(4, count, p=probability)
    rounds = Rounds(
        reward=(rng.random(count) < rates[action]).astype(float),
        probability=probability[action],
        target_probability=target[action],
        predictions=Predictions(logged=np.full(count, 0.2), target=np.full(count, 0.2)),
        draw=rng.random(count),
    )
    return rounds, float(target @ rates)
