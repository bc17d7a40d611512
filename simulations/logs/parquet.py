"""Parquet files with our columns, as `segbandit export` writes them, or as anybody does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec

from bandit import parquet
from bandit.errors import InvalidInputError, SetupError
from bandit.records import METADATA, Header, logger_name
from simulations.logs import check, values
from simulations.logs.rows import Chunk, Logged, Problem

#: `context` (an object), `actions` (a list of objects with `action_id`) and `seen` are JSON texts; `chosen`
#: is an index in `actions`, from 0; `pmf` and `unboosted`, as it would have been without boosts, have one
#: probability per action.
REQUIRED = ("actions", "chosen", "probability", "reward")
OPTIONAL = ("decision_id", "decided_at", "subject", "context", "pmf", "unboosted", "seen", "logger")
#: Of an export: what the request brought, and from what the name of the logger is made.
_OURS = ("requested_actions", "mode", "model_version", "config_version")
COLUMNS = (*REQUIRED, *OPTIONAL, *_OURS)
_HOW = "Rename it, or say which column is which: columns={'reward': 'click'}."


class ParquetLog:
    """A file, or a folder of files, which are read by name.

    `columns` maps our names to the file's, where they differ.

    Raises:
        SetupError: it is not there, or a column is missing.
    """

    def __init__(
        self,
        path: Path,
        *,
        columns: Mapping[str, str] | None = None,
        reward_range: tuple[float, float] | None = None,
        chunk: int = 10_000,
    ) -> None:
        self.name = path.name
        self._files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        self._columns = dict(columns or {})
        self._chunk = chunk
        if not self._files:
            raise SetupError(f"expected Parquet files in {path}, got none there.")
        described = parquet.describe(self._files[0])
        wanted = {name: self._columns.get(name, name) for name in REQUIRED} | self._columns
        values.require(wanted, described.columns, str(path), _HOW)
        self.reward_range = reward_range
        if reward_range is None and METADATA in described.metadata:
            self.reward_range = _header(path, described.metadata[METADATA]).reward_range

    def chunks(self) -> Iterator[Chunk]:
        """See `Log`."""
        return check.chunked(self._found(), self._chunk, self.reward_range)

    def _found(self) -> Iterator[Logged | Problem]:
        row = 1
        for file in self._files:
            there = parquet.describe(file).columns
            names = [self._columns.get(name, name) for name in COLUMNS]
            for batch in parquet.batches(file, [name for name in names if name in there], self._chunk):
                yield from _of_batch(batch, row, self._columns)
                row += batch.num_rows


def rows_of(
    batch: Any,
    first_row: int,
    columns: Mapping[str, str] | None = None,
    reward_range: tuple[float, float] | None = None,
) -> Chunk:
    """The rounds of a record batch, and what could not be read; repeated decisions are not looked for.

    `batch` is a pyarrow.RecordBatch whose first row has the number `first_row` in the log.

    Raises:
        SetupError: a column is missing.
    """
    found = [check.within(one, reward_range) for one in _of_batch(batch, first_row, columns or {})]
    return Chunk(
        [one for one in found if isinstance(one, Logged)], [one for one in found if isinstance(one, Problem)]
    )


def _of_batch(batch: Any, first_row: int, columns: Mapping[str, str]) -> Iterator[Logged | Problem]:
    wanted = {name: columns.get(name, name) for name in REQUIRED} | dict(columns)
    values.require(wanted, batch.schema.names, "record batch", _HOW)
    there = [columns.get(name, name) for name in COLUMNS]
    lists = [parquet.values(batch.column(c)) if c in batch.schema.names else repeat(None) for c in there]
    for row, fields in enumerate(zip(*lists, strict=False), start=first_row):
        yield _row(row, *fields)


def _row(
    row: int,
    actions: Any,
    chosen: Any,
    probability: Any,
    reward: Any,
    decision_id: Any,
    decided_at: Any,
    subject: Any,
    context: Any,
    pmf: Any,
    unboosted: Any,
    seen: Any,
    logger: Any,
    requested_actions: Any,
    *made_by: Any,
) -> Logged | Problem:
    try:
        context, actions, seen = values.context(context), values.actions(actions or ""), values.seen(seen)
    except (InvalidInputError, TypeError) as error:
        return Problem(row, "broken JSON", f"row {row}: {error} Mend the row.")
    return check.checked(
        Logged(
            row=row,
            decision_id=str(decision_id or row),
            decided_at=values.moment(decided_at),
            subject=None if subject is None else str(subject),
            context=context,
            actions=actions,
            from_catalogue=None if None in made_by else requested_actions is None,
            chosen=chosen,
            probability=values.number(probability),
            pmf=pmf,
            unboosted=unboosted,
            seen=seen,
            reward=values.number(reward),
            logger=logger or ("" if None in made_by else logger_name(*made_by)),
        )
    )


def _header(path: Path, metadata: bytes) -> Header:
    try:
        return msgspec.json.decode(metadata, type=Header)
    except msgspec.MsgspecError as error:
        raise SetupError(
            f"{path}: expected metadata as `segbandit export` writes them, got: {error}. Export it again."
        ) from error
