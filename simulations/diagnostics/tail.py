"""How heavy the tail of the weights is: the shape k of a generalized Pareto distribution fitted to it.

A tail of shape k has moments below 1 / k only: from k = .5 on the variance is infinite, and estimates
converge slower than any interval says. (Vehtari, Simpson, Gelman, Yao & Gabry 2024, arXiv 1507.02646.)
"""

from __future__ import annotations

import math

import numpy as np

from simulations.columns.exact import Floats

#: Fewer weights above the cut say nothing about a tail.
FEWEST = 5
#: A tail of fewer different weights, or fewer than half of all in it, is a list of values rather than a tail.
FEWEST_DIFFERENT = 25
#: Pulls k to .5 as if so many weights had been seen besides (Vehtari et al.).
_PRIOR_WEIGHT = 10


def tail_length(rounds: int) -> int:
    """How many of the largest weights make up the tail (Vehtari et al.).

    >>> tail_length(100), tail_length(10_000)
    (20, 300)
    """
    return math.ceil(min(0.2 * rounds, 3.0 * math.sqrt(rounds)))


def limit_of_k(rounds: int) -> float:
    """From which k on so many rounds are too few for the tail (Vehtari et al.).

    >>> round(limit_of_k(100), 2), limit_of_k(100_000)
    (0.5, 0.7)
    """
    return min(1.0 - 1.0 / math.log10(rounds), 0.7) if rounds > 10 else 0.0


def pareto_k(largest: Floats, rounds: int) -> float | None:
    """Shape of the tail, from the `largest` weights (m,) of so many `rounds`, in falling order.

    None: there is no tail to fit; weights are too few, or the same few values again and again.

    >>> draws = np.random.default_rng(1).pareto(1 / 0.8, 20_000)
    >>> 0.7 < pareto_k(-np.sort(-draws)[:1000], 20_000) < 0.9
    True
    """
    length = min(tail_length(rounds), len(largest) - 1)
    if length < FEWEST:
        return None
    excess = np.sort(largest[:length] - largest[length])
    excess = excess[excess > 1e-12 * largest[0]]
    if len(excess) < FEWEST or len(np.unique(excess)) < min(FEWEST_DIFFERENT, len(excess) / 2):
        return None
    return (len(excess) * _shape(excess) + 0.5 * _PRIOR_WEIGHT) / (len(excess) + _PRIOR_WEIGHT)


def _shape(excess: Floats) -> float:
    # Zhang & Stephens 2009, Technometrics 51: theta's posterior mean over a grid, then k given theta.
    count = len(excess)
    grid = 30 + int(math.sqrt(count))
    quartile = excess[int(count / 4 + 0.5) - 1]
    theta = 1.0 / excess[-1] + (1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / (3.0 * quartile)
    theta = theta[theta != 0.0]  # an exponential tail, where the formulas below divide by zero
    shapes = np.log1p(-theta[:, None] * excess).mean(axis=1)
    likelihood = count * (np.log(-theta / shapes) - shapes - 1.0)
    posterior = np.exp(likelihood - likelihood.max())
    mean = float(theta @ posterior / posterior.sum())
    return float(np.log1p(-mean * excess).mean())
