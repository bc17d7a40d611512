"""Use case: import a bandit with its whole past from a file that was exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from bandit import catalogue, dsjson, parquet, records
from bandit.branches import BranchFold
from bandit.changes import SOMEBODY, Author
from bandit.db import audit_log, bandits, models
from bandit.db import history as past
from bandit.db.bandits import ConfigCache
from bandit.db.history import Past
from bandit.db.pool import Connection, Database
from bandit.errors import ConflictError, InvalidInputError
from bandit.history import Format, Progress
from bandit.records import COLUMNS, METADATA, Header, Record
from bandit.types import Bandit, BanditKey, Settlement, Value

T = TypeVar("T")
_CHUNK = 1_000


class Imported(Value, frozen=True, kw_only=True):
    """What an import made."""

    bandit_key: str
    decisions: int
    #: The model that was learned from them.
    model_version: int
    weights_sha256: str


async def import_(
    database: Database,
    path: Path,
    form: Format,
    *,
    bandit_key: str | None = None,
    author: Author = SOMEBODY,
    progress: Progress = lambda *_: None,
) -> Imported:
    """Make a bandit of a file that `export` wrote, and learn its model from the log; all of it, or nothing.

    Raises:
        InvalidInputError: a row cannot be; names it.
        ConflictError: the bandit, a decision or an event is there already.
        SetupError: the file cannot be read.
    """
    head, rows = opened_file(path, form)
    key = _checked_key(bandit_key or head.bandit_key)
    async with database.transaction() as connection:
        bandit = await _insert_bandit(connection, head, key)
        seq = newest_model = 0
        while chunk := list(islice(rows, _CHUNK)):
            _check(chunk, head, after=seq)
            await past.insert(
                connection, key, [_past(one, key) for one in chunk],
                [event for one in chunk for event in records.events(one)],
            )  # fmt: skip
            seq = chunk[-1].seq
            newest_model = max(newest_model, *(one.model_version for one in chunk))
            progress("decisions", seq, seq)
        await past.begin_versions_after(connection, key, newest_model)
        imported = await _learn(connection, bandit, head, seq, progress)
        await audit_log.insert(connection, key, author, "imported", {"decisions": seq})
        return imported


def opened_file(path: Path, form: Format) -> tuple[Header, Iterator[Record]]:
    """What a file that `export` wrote holds.

    Raises:
        InvalidInputError: it is none; or, while it is read, a row is none; names it.
        SetupError: it cannot be read.
    """
    if form == "parquet":
        described = parquet.describe(path)
        if METADATA not in described.metadata or not COLUMNS.keys() <= set(described.columns):
            raise _not_ours(path)
        head = _header(described.metadata[METADATA])
        batches = parquet.batches(path, list(COLUMNS), _CHUNK)
        return head, _numbered(records.from_row, (row for batch in batches for row in batch.to_pylist()))
    first = next(dsjson.lines(path), None)
    own = dsjson.own(first) if first else None
    if own is None or own.header is None:
        raise _not_ours(path)
    return own.header, _numbered(_of_line, dsjson.lines(path))


def _header(data: bytes) -> Header:
    try:
        return msgspec.json.decode(data, type=Header)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInputError(
            f"expected metadata as `segbandit export` writes them, got: {error}"
        ) from error


def _of_line(line: bytes | None) -> Record:
    own = dsjson.own(line) if line else None
    if own is None:
        raise InvalidInputError(
            "expected a line with `_segbandit`, got one without, or one that is too long."
        )
    return own.record


def _numbered(read: Callable[[T], Record], rows: Iterable[T]) -> Iterator[Record]:
    for number, row in enumerate(rows, start=1):
        try:
            yield read(row)
        except InvalidInputError as error:
            raise InvalidInputError(f"row {number}: {error.message}", target=error.target) from error


def _not_ours(path: Path) -> InvalidInputError:
    return InvalidInputError(
        f"expected a file that `segbandit export` wrote, got {path}, which names no bandit. The logs of "
        "others can be evaluated as they are, without being imported."
    )


def _checked_key(bandit_key: str) -> str:
    try:
        return msgspec.convert(bandit_key, BanditKey)
    except msgspec.ValidationError as error:
        raise InvalidInputError(
            f"bandit: expected letters, digits, '_', '.', '-', 128 at most, got {bandit_key!r}.",
            target="bandit",
        ) from error


async def _insert_bandit(connection: Connection, head: Header, key: str) -> Bandit:
    configs = [catalogue.checked(config) for config in head.configs]  # its options reach Vowpal Wabbit
    if not (1 <= head.config_version <= len(configs) and 1 <= head.learns_under <= len(configs)):
        raise InvalidInputError("expected metadata that name configurations of theirs, got others.")
    bandit = Bandit(
        bandit_key=key,
        config_version=head.config_version,
        config=configs[head.config_version - 1],
        salt=head.salt,
        archived=False,
        created_at=head.created_at,
    )
    if not await bandits.insert(connection, bandit):
        raise ConflictError(
            f"bandit: expected a new bandit, got {key!r}, which exists; its log was made under other "
            "configurations, so nothing can be added to it. Name another one (--bandit).",
            target="bandit",
        )
    for version, config in enumerate(configs, start=1):
        if version != head.config_version:
            other = msgspec.structs.replace(bandit, config=config, config_version=version)
            await bandits.insert_config(connection, other)
    return bandit


def _check(chunk: Sequence[Record], head: Header, after: int) -> None:
    for seq, record in enumerate(chunk, start=after + 1):
        try:
            if record.seq != seq:
                raise InvalidInputError(f"seq: expected {seq}, got {record.seq}: lines are missing or moved.")
            records.check(record, head)
        except InvalidInputError as error:
            raise InvalidInputError(
                f"row {seq}: {error.message} Nothing was imported.", target=error.target
            ) from error


def _past(record: Record, bandit_key: str) -> Past:
    settled = Settlement(
        seq=record.seq,
        reward=record.settled_reward,
        config_version=record.settled_by,
        settled_at=record.settled_at,
    )
    return Past(records.decision(record, bandit_key), settled, record.due_at, record.settled_events)


async def _learn(
    connection: Connection, bandit: Bandit, head: Header, through: int, progress: Progress
) -> Imported:
    """Fold the log as a learner does; all that it is to know of stands in this transaction."""
    branch = models.begun(
        bandit.bandit_key, 1, "live", head.learns_under, "imported", without_subjects=head.without_subjects
    )
    await models.insert_branch(connection, branch)
    configs = ConfigCache()
    folded = await BranchFold.begin(connection, configs, bandit, branch)
    try:
        while folded.fold.seq < through:
            await folded.advance(connection, configs, min(folded.fold.seq + _CHUNK, through))
            progress("learned", folded.fold.seq, through)
        published = await folded.publish(connection)
    finally:
        folded.close()
    return Imported(
        bandit_key=bandit.bandit_key,
        decisions=through,
        model_version=published.model_version,
        weights_sha256=published.weights_sha256,
    )
