"""From expected rewards to a distribution: the explorations that need nothing else of a model.

They are ours rather than Vowpal Wabbit's, so a live model can change its exploration without being learned
again; `Bag`, `Cover` and `RegCB` are more than a rule over expected rewards and stay inside the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bandit.types import EpsilonGreedy, Exploration, Softmax, SquareCB

#: What can be exchanged on a live model.
Rule = EpsilonGreedy | SquareCB | Softmax


def learned_alike(one: Exploration, other: Exploration) -> bool:
    """Whether models that explore by the one and by the other learn the same weights.

    >>> from bandit.types import RegCB
    >>> learned_alike(SquareCB(), Softmax()), learned_alike(SquareCB(), RegCB())
    (True, False)
    """
    return one == other or (isinstance(one, Rule) and isinstance(other, Rule))


def distribution(rule: Rule, expected: Sequence[float], learned: int) -> list[float]:
    """One probability per action, summing to 1, from the expected reward of each and the events learned.

    >>> distribution(EpsilonGreedy(epsilon=0.2), [0.1, 0.9], learned=7)
    [0.1, 0.9]
    >>> distribution(SquareCB(), [0.5, 0.5], learned=0)
    [0.5, 0.5]
    """
    match rule:
        case EpsilonGreedy(epsilon=epsilon):
            return _mixed(_best(expected), epsilon)
        case Softmax(lambda_=sharpness, epsilon=epsilon):
            most = max(expected)
            odds = [math.exp(sharpness * (each - most)) for each in expected]
            total = sum(odds)
            return _mixed([each / total for each in odds], epsilon)
        case SquareCB(gamma_scale=scale, gamma_exponent=exponent):
            return _inverse_gap(expected, scale * float(learned) ** exponent)


def _inverse_gap(expected: Sequence[float], gamma: float) -> list[float]:
    most = max(expected)
    size = len(expected)
    pmf = [1.0 / (size + gamma * (most - each)) for each in expected]
    best = expected.index(most)
    pmf[best] = 0.0
    pmf[best] = 1.0 - math.fsum(pmf)
    return pmf


def _best(expected: Sequence[float]) -> list[float]:
    """All on the best action; those that tie for it share alike."""
    most = max(expected)
    share = 1.0 / expected.count(most)
    return [share if each == most else 0.0 for each in expected]


def _mixed(pmf: Sequence[float], epsilon: float) -> list[float]:
    uniform = epsilon / len(pmf)
    return [(1.0 - epsilon) * each + uniform for each in pmf]
