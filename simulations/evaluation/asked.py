"""What may be asked of a log, whoever asks it."""

from __future__ import annotations

from bandit.errors import InvalidInputError
from simulations.intervals import check_level
from simulations.logs.check import check_range
from simulations.logs.rows import Log


def check_asked(log: Log, *, level: float, learn_first: float) -> None:
    """Before minutes are spent on reading the log.

    Raises:
        InvalidInputError: its range of rewards is none, or one of the others has no meaning.

    >>> from simulations.logs.memory import MemoryLog
    >>> check_asked(MemoryLog([]), level=0.95, learn_first=1.0)
    Traceback (most recent call last):
    ...
    bandit.errors.InvalidInputError: learn_first: expected a share of the rounds, from 0 to below 1, got 1.0.
    """
    check_level(level)
    if not 0.0 <= learn_first < 1.0:
        raise InvalidInputError(
            f"learn_first: expected a share of the rounds, from 0 to below 1, got {learn_first}.",
            target="learn_first",
        )
    check_range(log.reward_range)
