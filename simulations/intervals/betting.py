"""Gamblers whose fortune bounds a mean from below, after every round at once.

Let y be a number of which the mean, given the past, is m, and k a guess made before y was seen. A gambler who
stakes a share b of what he has multiplies it by 1 + b (y - k), on average by 1 + b (m - k) <= exp(b (m - k)).
So his capital / exp(b * sum of (m - k)) is a nonnegative supermartingale: it ever reaches x with probability
1 / x at most (Ville), however m changes and whoever chose it by what was seen. Sums of m for which several
gamblers together hold less than x are those not refuted. (Waudby-Smith & Ramdas 2024, JRSS B 86; off-policy:
Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro, arXiv 2210.10768.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from simulations.columns.exact import Floats

#: The gamblers' shares: large ones win with few rounds, small ones with many. Constant, since a share that
#: changed on the way would bound a mean that weighs rounds unequally.
BETS = tuple(0.9 / 1.5**k for k in range(28))
#: A gambler never risks more of his capital than this.
RISKED = 0.9
# Most for shares that suit thousands of rounds, enough for any number.
_FIRST = tuple(math.exp(-0.5 * ((k - 6.0) / 6.0) ** 2) for k in range(len(BETS)))
#: Logarithm of what each holds at first, all together 1.
START = tuple(math.log(held / sum(_FIRST)) for held in _FIRST)

#: One number per gambler: logarithm of the capital plus share times the sum of guesses.
Capital = tuple[float, ...]
NOTHING_BET: Capital = (0.0,) * len(BETS)

#: Given the largest loss allowed, RISKED / share: y - k (n,), and k (n,).
Game = Callable[[float], tuple[Floats, Floats]]


def grown(game: Game) -> Iterator[Floats]:
    """By how much each gambler's number grows in each round (n,)."""
    for bet in BETS:
        won, guess = game(RISKED / bet)
        yield np.log1p(bet * won) + bet * guess


def played(capital: Capital, game: Game) -> Capital:
    """The gamblers' numbers after some rounds more."""
    return tuple(held + float(more.sum()) for held, more in zip(capital, grown(game), strict=True))


def lowest_sum(capital: Capital, level: float) -> float:
    """The lowest sum of means that is not refuted with this (one-sided) confidence level."""
    threshold = -math.log1p(-level)
    # Convex and falling, so Newton's steps from the left never pass the root.
    total = max(
        (held + start - threshold) / bet for held, start, bet in zip(capital, START, BETS, strict=True)
    )
    for _ in range(100):  # ten or so are enough
        evidence, slope = _evidence(capital, total)
        if evidence - threshold < 1e-9:
            break
        total += (evidence - threshold) / slope
    return total


def _evidence(capital: Capital, total: float) -> tuple[float, float]:
    # Logarithm of what all hold together if the sum is `total`, and how steeply it falls there.
    logs = [held + start - bet * total for held, start, bet in zip(capital, START, BETS, strict=True)]
    top = max(logs)
    parts = [math.exp(value - top) for value in logs]
    slope = sum(bet * part for bet, part in zip(BETS, parts, strict=True)) / sum(parts)
    return top + math.log(sum(parts)), slope
