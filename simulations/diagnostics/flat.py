"""Rounds that offer different actions as columns: one entry for each round, or for each action offered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from itertools import chain, repeat

import numpy as np
import numpy.typing as npt

from bandit.errors import InvalidInputError
from simulations.columns.exact import Floats
from simulations.logs.rows import Logged

Indices = npt.NDArray[np.intp]
NO_SEGMENT = "(none)"
NO_DAY = "(unknown)"


@dataclass(frozen=True, kw_only=True, eq=False)
class Codes:
    """Names, and for each entry the index of its name."""

    names: list[str]
    codes: Indices

    @classmethod
    def of(cls, names: Iterable[str], count: int) -> Codes:
        """In the order in which names occur."""
        index: defaultdict[str, int] = defaultdict()
        index.default_factory = index.__len__  # a new name gets the next number
        codes = np.fromiter(map(index.__getitem__, names), np.intp, count)
        return cls(names=list(index), codes=codes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Flat:
    """n rounds, m offered actions in all."""

    #: Of each round: how many actions it offered, and which offer was chosen; (n,).
    offered: Indices
    chosen: Indices
    #: Of each offer, (m,): its round, its probability under the target, and the logged one; NaN: not known.
    round: Indices
    target: Floats
    pmf: Floats
    action: Codes
    segment: Codes
    #: Of each round, in UTC.
    day: Codes

    @classmethod
    def of(cls, rows: Sequence[Logged], targets: Sequence[Sequence[float]]) -> Flat:
        """Of rows and the target policy's distribution over each row's actions.

        Raises:
            InvalidInputError: not one probability for each action.
        """
        offered = np.fromiter((len(row.actions) for row in rows), np.intp, len(rows))
        _check_lengths(rows, targets)
        count = int(offered.sum())
        chosen = np.fromiter((row.chosen for row in rows), np.intp, len(rows))
        unknown = float("nan")
        pmf = chain.from_iterable(row.pmf or repeat(unknown, len(row.actions)) for row in rows)
        return cls(
            offered=offered,
            chosen=chosen + np.cumsum(offered) - offered,
            round=np.repeat(np.arange(len(rows)), offered),
            target=np.fromiter(chain.from_iterable(targets), np.float64, count),
            pmf=np.fromiter(pmf, np.float64, count),
            action=Codes.of((action.action_id for row in rows for action in row.actions), count),
            segment=Codes.of(chain.from_iterable(map(_segments, rows)), count),
            day=Codes.of(map(_day, rows), len(rows)),
        )


def _check_lengths(rows: Sequence[Logged], targets: Sequence[Sequence[float]]) -> None:
    if len(rows) != len(targets):
        raise InvalidInputError(
            f"expected a target distribution for each of {len(rows)} rows, got {len(targets)}",
            target="targets",
        )
    for row, target in zip(rows, targets, strict=True):
        if len(target) != len(row.actions) or (row.pmf is not None and len(row.pmf) != len(target)):
            raise InvalidInputError(
                f"row {row.row}: expected one probability for each of {len(row.actions)} actions, got "
                f"{len(target)} of the target policy and {len(row.pmf or [])} in the log.",
                target="targets",
            )


def _segments(row: Logged) -> list[str]:
    # An action's own segment; else the subject's, which holds for all that this row offers.
    own = row.context.get("segment")
    default = own if isinstance(own, str) and own else NO_SEGMENT
    return [action.segment or default for action in row.actions]


def _day(row: Logged) -> str:
    if row.decided_at is None:
        return NO_DAY
    moment = row.decided_at if row.decided_at.tzinfo is None else row.decided_at.astimezone(UTC)
    return moment.date().isoformat()
