"""What is wrong with a row, said so that it can be counted, found and mended."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from bandit import features
from bandit.errors import InvalidInputError
from simulations.logs.rows import Chunk, Logged, Problem

#: Within which a pmf sums to one and agrees with the probability of the chosen action,
TOLERANCE = 1e-6
#: and within which share of that probability; so it may be rounded, but weights are known.
RELATIVE = 1e-2
#: A decision id is looked for among this many before it: repeated deliveries stand close together, and
#: memory stays the same however long the log is. A repetition further away is not found.
WINDOW = 100_000
#: What is no larger is finite; NaN is not, nor is an integer that no float holds.
_LARGEST = sys.float_info.max


def checked(row: Logged, said: object = None) -> Logged | Problem:
    """The row, or what is wrong with it first; its fields may hold anything that came, None too.

    `said`: what the log names as the chosen action, where that is not its index.

    >>> from bandit.types import Action
    >>> actions = [Action(action_id="a"), Action(action_id="b")]
    >>> row = Logged(row=7, decision_id="d", actions=actions, chosen=0, probability=1.5, reward=1.0)
    >>> checked(row).cause
    'probability above one'
    """
    if not _is_sound(row):
        for cause, message in _wrong(row, said):
            return Problem(row.row, cause, f"row {row.row}: {message}")
    try:
        features.check(row.context, "context")
    except (InvalidInputError, AttributeError, TypeError) as error:
        message = f"row {row.row}: {error} Leave the field out, or mend it."
        return Problem(row.row, "invalid context", message)
    return row


def _is_sound(row: Logged) -> bool:
    """At a glance, whether its numbers are all as they should be; if not, they may be nevertheless."""
    p, reward, pmf = row.probability, row.reward, row.pmf
    return (
        type(row.chosen) is int
        and 0 <= row.chosen < len(row.actions)
        and type(p) is type(reward) is float
        and 0.0 < p <= 1.0
        and -_LARGEST <= reward <= _LARGEST
        and (
            pmf is None
            or (
                type(pmf) is list
                and len(pmf) == len(row.actions)
                and set(map(type, pmf)) == {float}
                and min(pmf) >= 0.0
                and max(pmf) <= 1.0
                and abs(math.fsum(pmf) - 1.0) <= TOLERANCE
                and abs(pmf[row.chosen] - p) <= min(TOLERANCE, RELATIVE * p)
            )
        )
        and row.unboosted is None
    )


def _wrong(row: Logged, said: object) -> Iterator[tuple[str, str]]:
    """Cause and message of each; what comes after the first may not be looked at."""
    if type(row.chosen) is not int or not 0 <= row.chosen < len(row.actions):
        expected = f"expected the index (from 0) of one of the {len(row.actions)} offered actions"
        came = row.chosen if said is None else said
        yield "action not offered", f"{expected}, got {came!r}. Offer it too, or mend the row."
    yield from _wrong_probability(row.probability)
    if not _is_finite(row.reward):
        do = "Mend the row; where nothing came in time, log what that counts, mostly 0."
        yield "reward not finite", f"expected a finite number as reward, got {row.reward!r}. {do}"
    if row.pmf is not None:
        yield from _wrong_pmf("pmf", row.pmf, row)
        if abs(row.pmf[row.chosen] - row.probability) > min(TOLERANCE, RELATIVE * row.probability):
            held = f"expected the pmf to hold {row.probability} for the chosen action"
            do = "Log the distribution that was drawn from, or leave it out."
            yield "pmf disagrees with the probability", f"{held}, got {row.pmf[row.chosen]}. {do}"
    if row.unboosted is not None:
        yield from _wrong_pmf("unboosted", row.unboosted, row)


def _wrong_probability(probability: Any) -> Iterator[tuple[str, str]]:
    do = "It is that with which the chosen action was drawn; a row without it cannot be weighed."
    message = f"expected a probability above 0, up to 1, got {probability!r}. {do}"
    if not _is_finite(probability):
        yield "probability not a number", message
    elif probability <= 0.0:
        yield "probability zero or below", message
    elif probability > 1.0:
        yield "probability above one", message


def _wrong_pmf(name: str, pmf: Any, row: Logged) -> Iterator[tuple[str, str]]:
    expected = "expected one probability per offered action, summing to 1"
    do = "Log the distribution that was drawn from, or leave it out."
    if name == "unboosted":
        do = "Log what the distribution would have been without boosts, or leave it out."
    numbers = isinstance(pmf, list) and set(map(type, pmf)) <= {float, int}
    if not numbers or not all(0.0 <= p <= 1.0 for p in pmf):
        yield f"{name} with a value outside [0, 1]", f"{expected}, got {repr(pmf)[:80]}. {do}"
    elif len(pmf) != len(row.actions):
        yield f"{name} of another length", f"{expected}, got {len(pmf)} for {len(row.actions)} actions. {do}"
    elif abs(math.fsum(pmf) - 1.0) > TOLERANCE:
        yield f"{name} does not sum to one", f"{expected} within {TOLERANCE}, got {math.fsum(pmf)}. {do}"


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


class Repeated:
    """Finds a decision id that came before, among the last `WINDOW` ones.

    >>> repeated = Repeated()
    >>> [repeated.among("a"), repeated.among("b"), repeated.among("a")]
    [False, False, True]
    """

    def __init__(self) -> None:
        self._order: deque[str] = deque()
        self._known: set[str] = set()

    def among(self, decision_id: str) -> bool:
        """Whether it was there; it is from now on."""
        if decision_id in self._known:
            return True
        if len(self._order) == WINDOW:
            self._known.discard(self._order.popleft())
        self._order.append(decision_id)
        self._known.add(decision_id)
        return False


def check_range(reward_range: tuple[float, float] | None) -> None:
    """Refuse what is declared as the range of rewards, and is none.

    Raises:
        InvalidInputError: it is.
    """
    if reward_range is not None and not -_LARGEST <= reward_range[0] < reward_range[1] <= _LARGEST:
        raise InvalidInputError(
            f"reward_range: expected the lowest and the highest reward possible, both finite, got "
            f"{tuple(reward_range)}; leave it out if it is not known.",
            target="reward_range",
        )


def within(one: Logged | Problem, reward_range: tuple[float, float] | None) -> Logged | Problem:
    """The row, if its reward lies in the range that was declared; all that is estimated builds on it.

    >>> row = Logged(row=7, decision_id="d", actions=[], chosen=0, probability=0.5, reward=50.0)
    >>> within(row, (0.0, 1.0)).cause
    'reward outside the range'
    """
    if reward_range is None or isinstance(one, Problem) or reward_range[0] <= one.reward <= reward_range[1]:
        return one
    return Problem(one.row, "reward outside the range", (
        f"row {one.row}: expected a reward in [{reward_range[0]}, {reward_range[1]}], as declared, got "
        f"{one.reward}. Declare the range that rewards have (--reward-range, reward_range=), or mend the row."
    ))  # fmt: skip


def chunked(
    found: Iterable[Logged | Problem], size: int, reward_range: tuple[float, float] | None = None
) -> Iterator[Chunk]:
    """In chunks of `size`; repeated decisions and rewards outside the range are among the problems.

    Raises:
        InvalidInputError: the range is none.
    """
    check_range(reward_range)
    repeated = Repeated()
    rows: list[Logged] = []
    problems: list[Problem] = []
    for one in (within(each, reward_range) for each in found):
        if isinstance(one, Problem):
            problems.append(one)
        elif repeated.among(one.decision_id):
            problems.append(Problem(one.row, "repeated decision id", (
                f"row {one.row}: expected each decision once, got {one.decision_id!r} again. Keep one of its "
                "rows, with the reward that counts."
            )))  # fmt: skip
        else:
            rows.append(one)
        if len(rows) + len(problems) == size:
            yield Chunk(rows, problems)
            rows, problems = [], []
    if rows or problems:
        yield Chunk(rows, problems)
