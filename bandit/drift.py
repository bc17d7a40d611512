"""Whether the world has moved: rewards fall, and not because of what the model knows to earn less.

Falling rewards are the sign, not errors: a model that goes on learning soon expects as little as there is,
while its exploration has died out. Squared errors even fall where a rare reward becomes rarer still.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

#: Shares of its capital that each bet stakes on every event: large ones find large falls soon.
_STAKES = (0.8, 0.2, 0.05)
#: Where nothing falls, a false alarm comes after so many events on average, or later.
RUN_LENGTH = 2e3
_ALARM = math.log(len(_STAKES) * RUN_LENGTH)
#: So many rewards say what is usual before any is bet on.
_LEAST = 50
#: Standard errors by which rewards must fall short of the mean before, to count as a loss.
_MARGIN = 2.0
#: The share of a fall that the model must not expect.
_UNEXPECTED = 0.5


class Level(NamedTuple):
    """Means over some events of what they earned and of what the model expected of them."""

    reward: float
    expected: float

    @property
    def error(self) -> float:
        """By how much rewards are above what is expected."""
        return self.reward - self.expected


class Fall(NamedTuple):
    """Rewards are lower than they were."""

    #: How many of the last events belong to the time after.
    events: int
    #: What was usual before, each expectation being that from before the event was learned.
    usual: Level


class _Bet(NamedTuple):
    """That rewards fall short of the usual; begun anew whenever it has won nothing."""

    #: Natural logarithm of what became of a capital of 1.
    won: float = 0.0
    #: How many events it was about.
    events: int = 0
    #: The reward that it bets will not be reached on average, and what was usual when it was begun.
    bound: float = 0.0
    usual: Level = Level(0.0, 0.0)


class Detector(msgspec.Struct, kw_only=True):
    """Bets against each reward that it will not fall short of the usual one; an alarm is a bet that wins big.

    A bet that goes on for as long as it wins, over rewards that on average do not fall short, is an
    e-detector: the mean number of events until it multiplies its capital by A is at least A (Shin, Ramdas &
    Rinaldo 2022, arXiv 2203.03532). The usual reward is a mean of those before the bet, each weighing as its
    place (Shamir & Zhang 2013, arXiv 1212.1824, eta = 1), less two standard errors.

    >>> detector = Detector()
    >>> [fall for reward in [1.0, 0.0, 1.0] * 300 if (fall := detector.add(reward, 0.6))]
    []
    >>> falls = [fall for reward in [0.0, 0.0, 1.0] * 300 if (fall := detector.add(reward, 0.6))]
    >>> falls[0].events < 150
    True
    """

    #: Of the events so far: their number, and means in which each weighs as its place.
    count: int = 0
    usual: Level = Level(0.0, 0.0)
    squares: float = 0.0
    #: One for each stake.
    bets: list[_Bet] = msgspec.field(default_factory=lambda: [_Bet()] * len(_STAKES))

    def add(self, reward: float, expected: float) -> Fall | None:
        """Take the next event's reward in [0, 1], and what the model expected of it before it was learned."""
        if self.count >= _LEAST:
            spread = max(self.squares - self.usual.reward**2, 0.0) + 1.0 / self.count
            bound = self.usual.reward - _MARGIN * math.sqrt(spread * 4 / 3 / self.count)
            begun = _Bet(bound=bound, usual=self.usual)
            self.bets = [
                _after(bet if bet.events else begun, stake, reward)
                for bet, stake in zip(self.bets, _STAKES, strict=True)
            ]
        self.count += 1
        weight = 2.0 / (self.count + 1)
        self.usual = Level(
            self.usual.reward + weight * (reward - self.usual.reward),
            self.usual.expected + weight * (expected - self.usual.expected),
        )
        self.squares += weight * (reward * reward - self.squares)
        best = max(self.bets)
        if best.won < _ALARM:
            return None
        self.bets = [_Bet()] * len(_STAKES)
        return Fall(best.events, best.usual)


def _after(bet: _Bet, stake: float, reward: float) -> _Bet:
    won = bet.won + math.log1p(stake * (bet.bound - reward))
    return _Bet(won, bet.events + 1, bet.bound, bet.usual) if won > 0.0 else _Bet()


def unexpected(fall: Fall, before: Level, after: Level) -> bool:
    """Whether less than half of the fall is what the model, as it is now, expects by itself.

    `before` and `after`: of events at both sides of the fall, by the same model. If it has learned the fall,
    it expects too little of what was before; if it has not, too much of what came after. If only the contexts
    are others than before, neither.
    """
    return before.error - after.error > _UNEXPECTED * (fall.usual.reward - after.reward)
