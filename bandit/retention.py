"""Use case: archive old days. Export them as Parquet, drop their partition, delete what belongs to them.

Whatever dies in between, the next one goes on: an export that was not followed by the drop is written again;
what is to be deleted after the drop is read from the files, so that nothing is deleted that they do not have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from bandit import parquet
from bandit.db import archive as archiving
from bandit.db import schema
from bandit.db.archive import Part, SortedOut
from bandit.db.pool import Connection
from bandit.errors import BrokenLogError, ConflictError
from bandit.parquet import Rows

_log = structlog.get_logger()
#: Rows that one statement deletes.
_CHUNK = 1_000
#: How often the lock is tried for, and the pause in between, in seconds; each try lasts some milliseconds.
TRIES, _PAUSE = 30, 1.0
#: Lines before events, events before claims: an audit must not find a line whose events are gone.
_DELETED_IN_ORDER = ("training_log", "reward_events", "decisions")

Progress = Callable[[str, int, int], None]


async def archive(
    connection: Connection,
    folder: Path,
    keep_days: int,
    *,
    today: date | None = None,
    tries: int = TRIES,
    progress: Progress = lambda *_: None,
) -> AsyncIterator[Part]:
    """Archive each whole day (UTC) that ended `keep_days` days ago or earlier, oldest first; what was done.

    What is still needed stays: decisions that wait for their reward, and those that a live branch or a
    candidate needs to go on learning. `progress` hears what is being done, how much of it is, and how much
    there is.

    `folder` is an absolute path, which others will look in for the rest of an archiving that was stopped.

    Raises:
        ConflictError: another process archives just now, or a day has to be put off.
        SetupError: a file cannot be written or read.
        BrokenLogError: what was written is not what was there; nothing was dropped.
    """
    if not await archiving.try_lock(connection):
        raise ConflictError("expected to be the only one who archives, got another process. Wait for it.")
    for part in await archiving.to_delete(connection):  # somebody before us was stopped
        await _delete(connection, part, progress)
    before = (today or datetime.now(UTC).date()) - timedelta(days=keep_days)
    for day in sorted(day for day in await schema.partitions(connection) if day < before):
        async with connection.transaction(isolation="repeatable_read"):
            found = await archiving.sort_out(connection, day)
            if found is None:
                continue
            part = await _export(connection, found, folder, progress)
        await _swap(connection, found, part, tries)
        await _delete(connection, part, progress)
        yield part
    if left := await archiving.in_default(connection, before):
        _log.warning("old decisions in the default partition are not archived", decisions=left)


async def _export(connection: Connection, found: SortedOut, folder: Path, progress: Progress) -> Part:
    part = Part(day=found.day, part=found.part, folder=str(folder), kept=found.kept)
    written = {}
    for table in archiving.exported(found.day):
        expected = await archiving.count(connection, table)
        rows = archiving.rows(connection, table)
        shown = _shown(rows, f"{found.day}: export {table.name}", expected, progress)
        path, columns = _file(part, table.name), await archiving.columns(connection, table)
        written[table.name] = await parquet.write(path, columns, shown)
        if written[table.name] != expected:
            raise BrokenLogError(
                f"expected {expected} rows in {path}, got {written[table.name]}. Nothing was dropped; "
                "archive again.",
                target=table.name,
            )
    return msgspec.structs.replace(part, **written)


async def _swap(connection: Connection, found: SortedOut, part: Part, tries: int) -> None:
    for left in reversed(range(tries)):
        done = await archiving.swap(connection, found, part)
        if done == "done":
            return
        if done == "changed":
            raise ConflictError(
                f"expected the decisions of {found.day} to be left alone, but meanwhile some were activated, "
                "or are to be learned again. Nothing of it was dropped; archive again."
            )
        if left:
            await asyncio.sleep(_PAUSE)
    raise ConflictError(
        "expected to get the table of decisions for a moment, but others hold it, such as an audit. Nothing "
        f"of {found.day} was dropped; archive again when they are done."
    )


async def _delete(connection: Connection, part: Part, progress: Progress) -> None:
    await archiving.drop(connection, part)
    for name in _DELETED_IN_ORDER:
        keys = parquet.read(_file(part, name), archiving.KEYS[name], _CHUNK)
        async for chunk in _shown(keys, f"{part.day}: delete {name}", getattr(part, name), progress):
            await archiving.delete(connection, name, part, chunk)
    await archiving.deleted(connection, part)


def _file(part: Part, table: str) -> Path:
    """Of the second part of a day `decisions-2.parquet`, beside `decisions.parquet`."""
    number = f"-{part.part}" if part.part > 1 else ""
    return Path(part.folder) / f"day={part.day}" / f"{table}{number}.parquet"


async def _shown(
    chunks: AsyncIterator[Rows], what: str, total: int, progress: Progress
) -> AsyncIterator[Rows]:
    done = 0
    async for chunk in chunks:
        yield chunk
        done += len(chunk)
        progress(what, done, total)
