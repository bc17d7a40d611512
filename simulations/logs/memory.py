"""A log that is at hand already, such as one that was just simulated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from simulations.logs.check import checked, chunked
from simulations.logs.rows import Chunk, Logged


class MemoryLog:
    """Rows in memory; they are checked like those of a file.

    >>> from bandit.types import Action
    >>> row = Logged(row=1, decision_id="d1", actions=[Action(action_id="a")], chosen=0, probability=1.0,
    ...              reward=0.5)
    >>> [len(chunk.rows) for chunk in MemoryLog([row]).chunks()]
    [1]
    """

    def __init__(
        self,
        rows: Sequence[Logged],
        *,
        name: str = "log",
        reward_range: tuple[float, float] | None = None,
        chunk: int = 10_000,
    ) -> None:
        self.name = name
        self.reward_range = reward_range
        self._rows = rows
        self._chunk = chunk

    def chunks(self) -> Iterator[Chunk]:
        """See `Log`."""
        return chunked((checked(row) for row in self._rows), self._chunk)
