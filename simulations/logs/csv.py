"""CSV files with columns of any names, said by a map."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from bandit import dsjson, features
from bandit.errors import InvalidInputError, SetupError
from bandit.types import MAX_ACTIONS, Action, Value
from simulations.logs import check, values
from simulations.logs.rows import Chunk, Logged, Problem

_HOW = "Say which column is which, such as action=item, reward=click, probability=propensity."


class Columns(Value, frozen=True, kw_only=True):
    """Which column is what."""

    #: The name of the chosen action.
    action: str = "action"
    reward: str = "reward"
    #: Of the chosen action. None: it stands in `pmf`.
    probability: str | None = "probability"
    #: The whole distribution: the column of each action.
    pmf: Mapping[str, str] = msgspec.field(default_factory=dict)
    #: None: all columns that are nothing else.
    context: Sequence[str] | None = None
    #: These four: None: the column of that name, if there is one.
    subject: str | None = None
    decided_at: str | None = None
    decision_id: str | None = None
    logger: str | None = None


class CsvLog:
    """A file with a header, gzipped or not; its fields are numbers, true/false or texts, by how they look.

    `actions` are offered in every row; by default all that `pmf` names, else all that occur, for which the
    file is read once before. An empty field of the context is left out.

    Raises:
        SetupError: it cannot be read, or a column is missing.
    """

    def __init__(
        self,
        path: Path,
        columns: Columns | None = None,
        *,
        actions: Sequence[str] | None = None,
        reward_range: tuple[float, float] | None = None,
        chunk: int = 10_000,
    ) -> None:
        self.name = path.name
        self.reward_range = reward_range
        self._path = path
        self._chunk = chunk
        with _opened(path) as file:
            self._header = next(_fields(file, path), [])
        self._map = _with_ours(columns or Columns(), self._header)
        self._given = list(actions) if actions is not None else list(self._map.pmf) or None
        twice = sorted({name for name in self._header if self._header.count(name) > 1})
        if twice:
            raise SetupError(
                f"{path}: expected each column once in the header, got {', '.join(twice)} more than once; "
                "rename or remove one of them."
            )
        used = {"action": self._map.action, "reward": self._map.reward}
        for use in ("probability", "subject", "decided_at", "decision_id", "logger"):
            if (column := getattr(self._map, use)) and not (use == "probability" and self._map.pmf):
                used[use] = column
        used |= {f"pmf of {name}": column for name, column in self._map.pmf.items()}
        context = {f"context {i}": column for i, column in enumerate(self._map.context or (), start=1)}
        values.require(used | context, self._header, str(path), _HOW)
        taken = {*used.values(), self._map.probability}
        others = [name for name in self._header if name and name not in taken]
        self._context = others if self._map.context is None else list(self._map.context)

    @cached_property
    def actions(self) -> list[Action]:
        """What is offered in every row.

        Raises:
            SetupError: there are too many, or none.
        """
        seen = dict.fromkeys(self._given or ())
        if self._given is None:
            for _, fields in self._rows():
                if len(fields) == len(self._header):
                    seen[fields[self._header.index(self._map.action)]] = None
                if len(seen) > MAX_ACTIONS:
                    break
            seen.pop("", None)
        if not 0 < len(seen) <= MAX_ACTIONS:
            raise SetupError(
                f"{self._path}: expected 1 to {MAX_ACTIONS} actions in column {self._map.action!r}, got "
                f"{len(seen) or 'none'}{' or more' if seen else ''}. {_HOW}"
            )
        found = [Action(action_id=name) for name in (seen if self._given else sorted(seen))]
        try:
            features.check_actions(found)
        except InvalidInputError as error:
            raise SetupError(f"{self._path}: {error}") from error
        return found

    def chunks(self) -> Iterator[Chunk]:
        """See `Log`."""
        return check.chunked(self._found(), self._chunk, self.reward_range)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        with _opened(self._path) as file:
            rows = _fields(file, self._path)
            next(rows, None)
            yield from enumerate((fields for fields in rows if fields), start=1)

    def _found(self) -> Iterator[Logged | Problem]:
        index = {action.action_id: place for place, action in enumerate(self.actions)}
        for row, fields in self._rows():
            if lines := max(field.count("\n") for field in fields):
                # An open quote makes one cell of all that follows, silently.
                yield Problem(row, "cell over several lines", (
                    f"row {row}: expected a row in one line, got a cell with {lines + 1:,} lines. Is a quote "
                    "left open? Take it or the line breaks out."
                ))  # fmt: skip
            elif len(fields) == len(self._header):
                yield self._row(row, dict(zip(self._header, fields, strict=True)), index)
            else:
                yield Problem(row, "fields missing or too many", (
                    f"row {row}: expected {len(self._header)} fields as in the header, got {len(fields)}. "
                    "Mend the row; quote fields that hold a comma."
                ))  # fmt: skip

    def _row(self, row: int, fields: dict[str, str], index: dict[str, int]) -> Logged | Problem:
        columns, name = self._map, fields[self._map.action]
        chosen = index.get(name, -1)
        pmf = [values.number(fields[columns.pmf[a.action_id]]) for a in self.actions] if columns.pmf else None
        if pmf is None or (columns.probability and columns.probability in fields):
            probability = values.number(fields[columns.probability or ""])
        else:
            probability = pmf[chosen] if chosen >= 0 else 1.0
        return check.checked(
            Logged(
                row=row,
                decision_id=self._of(fields, columns.decision_id) or str(row),
                decided_at=values.moment(self._of(fields, columns.decided_at)),
                subject=self._of(fields, columns.subject),
                context={name: values.typed(fields[name]) for name in self._context if fields[name]},
                actions=self.actions,
                chosen=chosen,
                probability=probability,
                pmf=pmf,
                reward=values.number(fields[columns.reward]),
                logger=self._of(fields, columns.logger) or "",
            ),
            name,
        )

    @staticmethod
    def _of(fields: dict[str, str], column: str | None) -> str | None:
        return (fields[column] or None) if column else None


def _with_ours(columns: Columns, header: Sequence[str]) -> Columns:
    """Columns that have our names are what these say, unless they were said to be something else."""
    said = {
        columns.action,
        columns.reward,
        columns.probability,
        *columns.pmf.values(),
        *(columns.context or ()),
    }
    ours = ("subject", "decided_at", "decision_id", "logger")
    found = {n: n for n in ours if getattr(columns, n) is None and n in header and n not in said}
    return msgspec.structs.replace(columns, **found)


def _opened(path: Path) -> io.TextIOWrapper:
    return io.TextIOWrapper(dsjson.opened(path), encoding="utf-8-sig", newline="")


def _fields(file: io.TextIOWrapper, path: Path) -> Iterator[list[str]]:
    try:
        yield from csv.reader(file)
    except (UnicodeError, csv.Error, *dsjson.DAMAGED) as error:
        raise dsjson.unreadable(path, error) from error
