"""What must be known of a log before anything is estimated from it."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from bandit.errors import InvalidInputError
from simulations.logs.rows import Chunk, Logged, Problem

#: Row numbers that are named for each cause.
_NAMED = 20
#: Subjects in the sample.
_SAMPLED = 4_096


class Subjects(msgspec.Struct, frozen=True, kw_only=True):
    """How often a sample of the subjects occurs: those of the smallest hashes, in whatever order rows come.

    >>> of = lambda *names: Subjects(times={subject_hash(name): 1 for name in names})
    >>> (of("ann") + of("ben")).repeated, (of("ann") + of("ann", "ben")).repeated
    (False, True)
    """

    #: Rounds by hash.
    times: Mapping[int, int] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[Logged]) -> Subjects:
        """Of some rows; those without a subject are of one each."""
        return cls(
            times=_smallest(Counter(subject_hash(row.subject) for row in rows if row.subject is not None))
        )

    def __add__(self, other: Subjects) -> Subjects:
        """Of the rows of both."""
        return Subjects(times=_smallest(Counter(self.times) + Counter(other.times)))

    @property
    def repeated(self) -> bool:
        """Whether there are subjects with several rounds, so that rounds are not independent."""
        return any(times > 1 for times in self.times.values())


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and the range of rewards; `a + b` is of the rows of both.

    >>> scan = Scan.of(Chunk([], [Problem(7, "no reward", "row 7: expected a reward, got none.")]))
    >>> print(scan.refusal())
    1 of 1 row cannot be used:
    - no reward: 1 row: 7. For example, row 7: expected a reward, got none.
    """

    rounds: int = 0
    #: Of the rewards.
    lowest: float = float("inf")
    highest: float = float("-inf")
    #: Rounds with the lowest and with the highest of them.
    at_lowest: int = 0
    at_highest: int = 0
    #: Rounds by the policy that logged them.
    loggers: Mapping[str, int] = msgspec.field(default_factory=dict)
    #: Rounds that boosts reshaped.
    boosted: int = 0
    subjects: Subjects = Subjects()
    #: Rows that cannot be used by cause, and the first of each cause.
    unusable: Mapping[str, int] = msgspec.field(default_factory=dict)
    first: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, chunk: Chunk) -> Scan:
        """Of some rows."""
        rewards = [row.reward for row in chunk.rows]
        return cls(
            rounds=len(rewards),
            lowest=min(rewards, default=cls().lowest),
            highest=max(rewards, default=cls().highest),
            at_lowest=rewards.count(min(rewards, default=0.0)),
            at_highest=rewards.count(max(rewards, default=0.0)),
            loggers=Counter(row.logger for row in chunk.rows),
            boosted=sum(row.unboosted is not None for row in chunk.rows),
            subjects=Subjects.of(chunk.rows),
            unusable=Counter(problem.cause for problem in chunk.problems),
            first=_first(chunk.problems),
        )

    def __add__(self, other: Scan) -> Scan:
        """Of the rows of both."""
        lowest, highest = min(self.lowest, other.lowest), max(self.highest, other.highest)
        return Scan(
            rounds=self.rounds + other.rounds,
            lowest=lowest,
            highest=highest,
            at_lowest=sum(each.at_lowest for each in (self, other) if each.lowest == lowest),
            at_highest=sum(each.at_highest for each in (self, other) if each.highest == highest),
            loggers=Counter(self.loggers) + Counter(other.loggers),
            boosted=self.boosted + other.boosted,
            subjects=self.subjects + other.subjects,
            unusable=Counter(self.unusable) + Counter(other.unusable),
            first=_first([*self.first, *other.first]),
        )

    @property
    def usual(self) -> tuple[float, bool]:
        """The reward of more than half of the rounds, if that is the lowest or the highest, and whether it is
        the highest; otherwise 0.

        >>> Scan(rounds=9, lowest=1.0, highest=5.0, at_lowest=1, at_highest=8).usual
        (5.0, True)
        """
        if 2 * self.at_lowest > self.rounds:
            return self.lowest, False
        return (self.highest, True) if 2 * self.at_highest > self.rounds else (0.0, False)

    def refusal(self) -> str:
        """How many rows cannot be used, by cause, with the first ones of each; empty if all can."""
        if not self.unusable:
            return ""
        bad = sum(self.unusable.values())
        causes = sorted(self.unusable, key=lambda cause: (-self.unusable[cause], cause))
        return "\n".join([f"{bad:,} of {_rows(self.rounds + bad)} cannot be used:", *map(self._line, causes)])

    def _line(self, cause: str) -> str:
        named = [problem for problem in self.first if problem.cause == cause]
        count = self.unusable[cause]
        numbers = ", ".join(str(problem.row) for problem in named) + (", ..." if count > len(named) else "")
        return f"- {cause}: {_rows(count)}: {numbers}. For example, {named[0].message}"


def usable(scan: Scan, *, exclude: bool) -> Scan:
    """The scan of a log that may be evaluated.

    Raises:
        InvalidInputError: rows cannot be used, and nobody said to leave them out; or there are no others.
    """
    refusal = scan.refusal()
    if refusal and not exclude:
        raise InvalidInputError(
            f"{refusal}\nMend the log, or leave these rows out (--exclude-bad-rows, exclude=True): then they "
            "are counted in the report.",
            target="log",
        )
    if not scan.rounds:
        raise InvalidInputError(f"expected rounds in the log, got none. {refusal}".strip(), target="log")
    return scan


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _first(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    taken: Counter[str] = Counter()
    found = []
    for problem in sorted(problems):
        taken[problem.cause] += 1
        if taken[problem.cause] <= _NAMED:
            found.append(problem)
    return tuple(found)


def subject_hash(subject: str) -> int:
    """64 bits by which rounds of one subject are told from others."""
    return int.from_bytes(hashlib.blake2b(subject.encode(), digest_size=8).digest(), "big")


def _smallest(times: Mapping[int, int]) -> Mapping[int, int]:
    if len(times) <= _SAMPLED:
        return times
    return {key: times[key] for key in heapq.nsmallest(_SAMPLED, times)}
