"""Is another policy better than the one that logged? An interval that may be looked at after every event.

For one event let w be its weight (the target's probability of the logged action / the logged one), r its
reward in [0, 1], c any number in [0, 1] fixed before the action was drawn. Given the past, E[w] = 1, so
m = V(target) - V(logging) = E[(w - 1) (r - c)]. A gambler who stakes a share b of his capital on each event
multiplies it by 1 + b (w - 1) (r - c), on average by 1 + b m <= exp(b m). So capital / exp(b * sum of m) is a
nonnegative supermartingale: it ever reaches k with probability 1/k at most (Ville), however the logger
learns meanwhile. The sums of m at which gamblers with several b together stay below k bound the mean of m
from below; the same game on 1 - r bounds it from above. (Betting: arXiv 2010.09686; off-policy:
Karampatziakis, Mineiro & Ramdas, ICML 2021; means that change meanwhile: arXiv 2210.10768.)
"""

from __future__ import annotations

import math
from math import log1p
from typing import Annotated

from msgspec import Meta

from bandit.errors import InvalidInputError
from bandit.types import Value

#: Probability, at most, that the interval ever misses; half of it for each end.
ALPHA = 0.05
#: The gamblers' shares: large ones win with few events, small ones with many. Constant, since a share that
#: changed on the way would bound a mean of m that weighs events unequally.
BETS = tuple(0.75 / 2.5**k for k in range(8))
_STAKES = tuple((bet, 0.75 / bet) for bet in BETS)
_THRESHOLD = math.log(len(BETS) * 2.0 / ALPHA)
Capital = Annotated[tuple[float, ...], Meta(min_length=len(BETS), max_length=len(BETS))]


class Interval(Value, frozen=True, kw_only=True):
    """V(target) - V(logging); from `Comparison` in units of the scaled reward, so within [-1, 1].

    Where the logger learned, V(logging) is the mean over its events of what it was worth at each.
    """

    estimate: float
    low: float
    high: float
    events: int


class Comparison(Value, frozen=True, kw_only=True):
    """All that is remembered of the events so far, whatever their number; can be kept as JSON and resumed.

    Events must come in an order that does not depend on their rewards, such as that of the decisions, none
    left out. In order of settlement, clicks first and the rest after a wait, E[w] = 1 does not hold.

    >>> seen = Comparison()
    >>> for weight, reward in [(1.5, 1.0), (0.5, 0.0)] * 500:
    ...     seen = seen.add(weight, reward, largest=1.5)
    >>> found = seen.interval()
    >>> round(found.low, 2), round(found.estimate, 2), round(found.high, 2)
    (0.22, 0.25, 0.28)
    """

    events: int = 0
    #: Sum of the rewards.
    rewards: float = 0.0
    #: Sum of (w - 1) (r - c), c being the mean reward until then.
    gained: float = 0.0
    #: Logarithm of each gambler's capital: of those who bet on the target, of those who bet against it.
    lower: Capital = (0.0,) * len(BETS)
    upper: Capital = (0.0,) * len(BETS)

    def add(self, weight: float, reward: float, largest: float = math.inf) -> Comparison:
        """With one event more.

        `largest` is the largest weight that any action offered would have had, the logged one among them.
        Known, it lets c be nearer the mean reward: where rewards are rare, `high` is several times nearer.
        Infinite (not known, or the target chooses what the logger cannot) the interval holds too.
        """
        if not (0.0 <= weight <= largest and weight <= 1e300):  # a sum of more may overflow
            message = f"expected a finite weight from 0 to the largest, {largest}, got {weight}: send both"
            raise InvalidInputError(message, target="weight")
        if not 0.0 <= reward <= 1.0:
            raise InvalidInputError(f"expected a reward in [0, 1], got {reward}: scale it", target="reward")
        surplus, mean = weight - 1.0, (self.rewards + 0.5) / (self.events + 1)
        limit = 1.0 / (largest - 1.0) if largest > 1.0 else math.inf
        return Comparison(
            events=self.events + 1,
            rewards=self.rewards + reward,
            gained=self.gained + surplus * (reward - mean),
            lower=_bet(self.lower, surplus, reward, mean, limit),
            upper=_bet(self.upper, surplus, 1.0 - reward, 1.0 - mean, limit),
        )

    def interval(self) -> Interval:
        """The interval so far. With probability 1 - ALPHA it holds after every event at once.

        Ends that contradict each other refute the logged probabilities: then nothing is known, -1 to 1.
        """
        count = max(self.events, 1)
        low, high = max(_bound(self.lower) / count, -1.0), min(-_bound(self.upper) / count, 1.0)
        low, high = (low, high) if low <= high else (-1.0, 1.0)
        estimate = min(max(self.gained / count, low), high)
        return Interval(estimate=estimate, low=low, high=high, events=self.events)


class LeastMean(Value, frozen=True, kw_only=True):
    """How much the mean of values in [0, 1] is at least, by the same game; can be kept and resumed.

    The game is on X - c, where c is the mean of the values until then. As above, values must come in an order
    that does not hang on them, and what is bounded is the mean of what each was expected to be.

    >>> seen = LeastMean()
    >>> for value in [1.0, 1.0, 1.0, 0.0] * 250:
    ...     seen = seen.add(value)
    >>> round(seen.low(), 2)
    0.7
    """

    values: int = 0
    total: float = 0.0
    #: Sum of all c.
    expected: float = 0.0
    capital: Capital = (0.0,) * len(BETS)

    def add(self, value: float) -> LeastMean:
        """With one value more."""
        mean = (self.total + 0.5) / (self.values + 1)
        return LeastMean(
            values=self.values + 1,
            total=self.total + value,
            expected=self.expected + mean,
            capital=tuple(
                held + log1p(bet * (value - mean)) for held, bet in zip(self.capital, BETS, strict=True)
            ),
        )

    def low(self) -> float:
        """With probability 1 - ALPHA / 2 the mean is at least this, after every value at once."""
        return max((_bound(self.capital) + self.expected) / max(self.values, 1), 0.0)

    @property
    def mean(self) -> float:
        """Of the values so far."""
        return self.total / max(self.values, 1)


def _bet(capital: Capital, surplus: float, reward: float, mean: float, limit: float) -> Capital:
    # c = mean makes (w - 1) (r - c) vary least, but w = largest with r = 0 must not cost all: 3/4 at most.
    grown = [
        held + log1p(bet * surplus * (reward - (mean if mean < room * limit else room * limit)))
        for held, (bet, room) in zip(capital, _STAKES, strict=True)
    ]
    return tuple(grown)


def _evidence(capital: Capital, total: float) -> tuple[float, float]:
    # Against a sum of m of at most `total`, which is refuted above 0; and how steeply it falls there.
    logs = [held - bet * total for held, bet in zip(capital, BETS, strict=True)]
    top = max(logs)
    parts = [math.exp(value - top) for value in logs]
    slope = sum(bet * part for bet, part in zip(BETS, parts, strict=True)) / sum(parts)
    return top + math.log(sum(parts)) - _THRESHOLD, slope


def _bound(capital: Capital) -> float:
    # The evidence is convex and falls, so Newton's steps from the left never pass its root.
    total = max((held - _THRESHOLD) / bet for held, bet in zip(capital, BETS, strict=True))
    for _ in range(50):  # six or so are enough
        excess, slope = _evidence(capital, total)
        if excess < 1e-9:
            break
        total += excess / slope
    return total
