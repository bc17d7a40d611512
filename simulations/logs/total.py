"""A pass over a log: a step for each chunk, whose results are added up, here or wherever the log lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from simulations.logs.rows import Chunk, Log


class Addable(Protocol):
    """What merges."""

    def __add__(self, other: Any, /) -> Self:
        """Of both."""
        ...


T = TypeVar("T", bound=Addable)
#: Called with the number of rows read so far.
Progress = Callable[[int], None]


@runtime_checkable
class Distributed(Protocol):
    """A log in parts that are read side by side, in no order."""

    def total(self, step: Callable[[Chunk], T], none: T) -> T:
        """The steps' results of all chunks, added up."""
        ...


def total(log: Log, step: Callable[[Chunk], T], none: T, progress: Progress | None = None) -> T:
    """The steps' results of all chunks of a log, added up; unless distributed, it is read in its order.

    >>> from simulations.logs.rows import Problem
    >>> class Bad:
    ...     name, reward_range = "bad", None
    ...     def chunks(self): return iter([Chunk([], [Problem(1, "no reward", "...")])] * 3)
    >>> total(Bad(), lambda chunk: len(chunk.problems), 0)
    3
    """
    if isinstance(log, Distributed):
        return log.total(step, none)
    found, rows = none, 0
    for chunk in log.chunks():
        found = found + step(chunk)
        rows += len(chunk.rows) + len(chunk.problems)
        if progress is not None:
            progress(rows)
    return found
