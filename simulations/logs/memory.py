"""A log that is at hand already, such as one that was just simulated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bandit.errors import InvalidInputError
from bandit.types import Action, Features
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

    @classmethod
    def from_arrays(
        cls,
        *,
        reward: Sequence[float],
        action: Sequence[int],
        probability: Sequence[float] | None = None,
        pmf: Sequence[Sequence[float]] | None = None,
        actions: Sequence[str] | None = None,
        context: Sequence[Features] | None = None,
        subject: Sequence[str] | None = None,
        name: str = "log",
        reward_range: tuple[float, float] | None = None,
    ) -> MemoryLog:
        """From columns of n entries, as arrays or lists; `action` is an index, from 0, in `actions`.

        Of `probability` (n,) and `pmf` (n, K) one at least is needed. Unless they are named, actions are
        called by their index.

        Raises:
            InvalidInputError: columns of different lengths, or neither probability nor pmf.

        >>> log = MemoryLog.from_arrays(reward=[1, 0], action=[0, 1], pmf=[[0.8, 0.2], [0.8, 0.2]])
        >>> [(row.probability, row.actions[row.chosen].action_id) for row in next(log.chunks()).rows]
        [(0.8, '0'), (0.2, '1')]
        """
        given = {"reward": reward, "action": action, "probability": probability, "pmf": pmf,
                 "context": context, "subject": subject}  # fmt: skip
        lengths = {column: len(values) for column, values in given.items() if values is not None}
        if len(set(lengths.values())) > 1 or not lengths.keys() & {"probability", "pmf"}:
            raise InvalidInputError(
                "log: expected columns of the same length, and probability or pmf among them, got "
                f"{', '.join(f'{column} of {length}' for column, length in lengths.items())}.",
                target="log",
            )
        pmfs = None if pmf is None else [[float(p) for p in each] for each in pmf]
        chosen = [int(index) for index in action]
        count = max([index + 1 for index in chosen] + [len(each) for each in pmfs or ()], default=0)
        offered = [Action(action_id=each) for each in actions or map(str, range(count))]
        rows = [
            Logged(
                row=at + 1,
                decision_id=str(at + 1),
                subject=None if subject is None else str(subject[at]),
                context={} if context is None else context[at],
                actions=offered,
                chosen=index,
                probability=_drawn_with(index, None if pmfs is None else pmfs[at], probability, at),
                pmf=None if pmfs is None else pmfs[at],
                reward=float(reward[at]),
            )
            for at, index in enumerate(chosen)
        ]
        return cls(rows, name=name, reward_range=reward_range)

    def chunks(self) -> Iterator[Chunk]:
        """See `Log`."""
        return chunked(map(checked, self._rows), self._chunk, self.reward_range)


def _drawn_with(
    index: int, pmf: Sequence[float] | None, probability: Sequence[float] | None, at: int
) -> float:
    if probability is not None:
        return float(probability[at])
    return pmf[index] if pmf is not None and 0 <= index < len(pmf) else 0.0
