"""What every log reader gives, whatever the file: rounds as values, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from bandit.steering import Seen
from bandit.types import Action, Features, Value


class Logged(Value, frozen=True, kw_only=True):
    """One round: who was decided for, what was offered and chosen, with which probability, what it earned.

    >>> row = Logged(row=1, decision_id="d1", actions=[Action(action_id="a"), Action(action_id="b")],
    ...              chosen=0, probability=0.5, reward=1.0)
    >>> row.pmf is None
    True
    """

    #: Its place in the log, from 1: the line of a file without its header, the position in a table.
    row: int
    decision_id: str
    decided_at: datetime | None = None
    #: Rounds of one subject are not independent; None: each round is a subject of its own.
    subject: str | None = None
    context: Features = msgspec.field(default_factory=dict)
    actions: list[Action]
    #: Whether they came from the bandit's catalogue; False: the request brought them. None: nobody logged it.
    from_catalogue: bool | None = None
    #: Index in `actions`.
    chosen: int
    #: Of the chosen action, in (0, 1].
    probability: float
    #: One per action, summing to 1; None where only the chosen action's is known.
    pmf: list[float] | None = None
    #: The same as it would have been without boosts; None: there were none, or nobody logged it.
    unboosted: list[float] | None = None
    #: What its subject was shown before, where the bandit took that into account.
    seen: Seen | None = None
    #: Finite.
    reward: float
    #: Which policy logged it; rounds of several have different names.
    logger: str = ""


class Problem(NamedTuple):
    """Why a row cannot be used."""

    row: int
    #: Short and always the same for the same cause, to be counted by: "probability above one".
    cause: str
    #: What was expected, what came, and what to do.
    message: str


class Chunk(NamedTuple):
    """Some consecutive rows of a log."""

    rows: Sequence[Logged]
    #: Of rows that are not among `rows`.
    problems: Sequence[Problem]


class Log(Protocol):
    """A log that can be read again and again, a chunk at a time, in constant memory."""

    @property
    def name(self) -> str:
        """As it stands in reports."""
        ...

    @property
    def reward_range(self) -> tuple[float, float] | None:
        """Lowest and highest reward possible; None: not known."""
        ...

    def chunks(self) -> Iterator[Chunk]:
        """From the first row on, each time it is called.

        Raises:
            SetupError: it cannot be read at all, such as for a missing column.
        """
        ...
