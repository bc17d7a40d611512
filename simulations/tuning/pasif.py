"""PAS-IF (Udagawa, Kiyohara, Narita, Saito & Tateno 2022, arXiv 2211.13904): tuned by a log split in two.

Rounds are drawn into a pseudo target's log with a probability that grows with their weight, such that the
weights between the two parts are like those between the policies that are compared. Then the mean reward of
the one part is what an estimate from the other should have found.

The paper fits that probability as a neural network of context and action; here its log-odds are linear in
that of the weight, with the two parameters that fit the weights best (its equations 7 and 8), and the parts
are seen as distributions of context and action together, so that no other action's probability is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from simulations.columns.exact import Floats
from simulations.columns.rounds import Predictions, Rounds
from simulations.estimators.contract import Estimator, Running, run
from simulations.intervals import Interval
from simulations.tuning import Tuned, tuned

#: Of the rounds, in the pseudo target's log.
_SHARE = 0.2
#: Numbers other than those that a simulation with the same seed has used.
_STREAM = 2211


def pasif(
    candidates: Sequence[Estimator],
    untuned: Estimator,
    rounds: Rounds,
    untuned_interval: Interval | None = None,
    *,
    repeats: int = 20,
    seed: int = 1,
    level: float = 0.95,
) -> Tuned:
    """The candidate (of one or more) with the least squared error over so many splits of these rounds.

    For `untuned_interval` see `tuned`.
    """
    chosen = int(np.argmin(squared_errors(candidates, rounds, repeats=repeats, seed=seed)))
    *seen, plain = run([*candidates, untuned], rounds)
    return tuned("pas-if", seen, chosen, plain, untuned_interval, level=level)


def squared_errors(candidates: Sequence[Estimator], rounds: Rounds, *, repeats: int, seed: int) -> Floats:
    """The mean squared error of each candidate (c,) over splits; infinite where none could be made."""
    draw = importance_fitting(rounds.weight)
    rng = np.random.default_rng([seed, _STREAM])
    errors = np.zeros((repeats, len(candidates)))
    for repeat in errors:
        as_target = rng.random(len(rounds)) < draw
        if not as_target.any() or as_target.all():
            repeat[:] = np.inf
            continue
        logged, value = _split(rounds, as_target, draw)
        repeat[:] = [(Running.of(candidate, logged).value - value) ** 2 for candidate in candidates]
    return np.asarray(np.where(np.isnan(errors), np.inf, errors).mean(axis=0))


def importance_fitting(weight: Floats) -> Floats:
    """The probability (n,) with which each round is drawn into the pseudo target's log."""

    def loss(parameters: Floats) -> float:
        odds = _odds(weight, parameters)
        share = float((odds / (1.0 + odds)).mean())
        if not 0.0 < share < 1.0:
            return float("inf")
        fit = ((odds * (1.0 - share) / share - weight) ** 2).mean() / (weight**2).mean()
        return float(fit + ((share - _SHARE) / _SHARE) ** 2)

    if not weight.any():
        return np.zeros(len(weight))
    odds = _odds(weight, minimize(loss, np.array([np.log(_SHARE), 1.0]), method="Nelder-Mead").x)
    return odds / (1.0 + odds)


def _odds(weight: Floats, parameters: Floats) -> Floats:
    """Log-odds linear in the log of the weight; 0 where that is 0."""
    positive = weight > 0.0
    exponent = parameters[0] + parameters[1] * np.log(weight, out=np.zeros_like(weight), where=positive)
    return np.where(positive, np.exp(np.clip(exponent, -100.0, 100.0)), 0.0)


def _split(rounds: Rounds, as_target: npt.NDArray[np.bool_], draw: Floats) -> tuple[Rounds, float]:
    """The pseudo log, whose weights are those between the parts, and the pseudo target's mean reward."""
    share = draw.mean()
    target, logged = rounds[as_target], rounds[~as_target]
    weight = draw[~as_target] / (1.0 - draw[~as_target]) * (1.0 - share) / share
    probability = 1.0 / max(float(weight.max()), 1.0)
    pseudo = Rounds(
        reward=logged.reward,
        probability=np.full(len(logged), probability),
        target_probability=np.minimum(weight * probability, 1.0),
        predictions=_pseudo(logged.predictions, target.predictions),
        robust_predictions=_pseudo(logged.robust_predictions, target.robust_predictions),
    )
    return pseudo, float(target.reward.mean())


def _pseudo(logged: Predictions | None, target: Predictions | None) -> Predictions | None:
    """A reward model's predictions, whose mean over the pseudo target is taken from that one's rounds."""
    if logged is None or target is None:
        return None
    mean = float(target.logged.mean())
    return Predictions(logged=logged.logged, target=np.full(len(logged.logged), mean))
