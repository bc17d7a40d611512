"""Use case: a bandit's past as records: read in pages, and exported to a file.

What is exported is the settled log, whole or not at all. What waits for its reward, or was never shown, is
counted and left out: it has no place in the training log yet, so it can be neither learned nor evaluated.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from bandit import dsjson, parquet, records, versions
from bandit.db import bandits, training
from bandit.db import history as past
from bandit.db import rewards as reward_events
from bandit.db.bandits import ConfigCache
from bandit.db.history import Past
from bandit.db.pool import LONG_PATIENCE, Connection, Database
from bandit.errors import ArchivedError, InvalidInputError, NotFoundError, SetupError
from bandit.records import COLUMNS, METADATA, Header, Record
from bandit.types import Value

Format = Literal["parquet", "dsjson"]
Progress = Callable[[str, int, int], None]
_CHUNK = 1_000
_SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet", ".dsjson": "dsjson", ".json": "dsjson", ".jsonl": "dsjson",
}  # fmt: skip


class Exported(Value, frozen=True, kw_only=True):
    """What an export wrote."""

    #: Settled decisions.
    decisions: int
    #: What is not settled, and not in the file.
    left_out: int


def format_of(path: Path, named: str | None = None) -> Format:
    """The format of a file, by its suffix unless it is named.

    Raises:
        InvalidInputError: the suffix says nothing.

    >>> format_of(Path("hero.parquet")), format_of(Path("hero.dsjson.gz"))
    ('parquet', 'dsjson')
    """
    suffix = f".{named}" if named else Path(path.name.removesuffix(".gz")).suffix
    if suffix not in _SUFFIXES:
        raise InvalidInputError(
            f"format: expected a name that ends in {', '.join(_SUFFIXES)} (and .gz for JSON), got "
            f"{path.name!r}; name the format: parquet or dsjson."
        )
    return _SUFFIXES[suffix]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Connection]:
    """A connection to this database that sees one moment; meanwhile nothing is archived away."""
    database = Database(url, size=1, patience=LONG_PATIENCE)
    await database.open()
    try:
        async with database.snapshot() as connection:
            await training.hold(connection)
            yield connection
    finally:
        await database.close()


async def header(connection: Connection, bandit_key: str) -> Header:
    """The bandit and all its configurations.

    Raises:
        NotFoundError: no such bandit.
    """
    bandit = await bandits.get(connection, bandit_key)
    newest = await bandits.next_config_version(connection, bandit_key) - 1
    pairs = [(bandit_key, version) for version in range(1, newest + 1)]
    known = await ConfigCache().get(connection, pairs)
    live = await versions.live(connection, bandit_key)
    return Header(
        bandit_key=bandit_key,
        salt=bandit.salt,
        created_at=bandit.created_at,
        config_version=bandit.config_version,
        learns_under=live.config_version,
        configs=[known[pair] for pair in pairs],
        without_subjects=live.without_subjects,
    )


async def end(connection: Connection, bandit_key: str) -> int:
    """How far its training log goes."""
    return await training.end(connection, bandit_key)


async def read(
    connection: Connection,
    bandit_key: str,
    *,
    through: int,
    since: datetime | None = None,
    until: datetime | None = None,
) -> AsyncIterator[list[Record]]:
    """The settled decisions up to this line of the log, made in [since, until), in its order, in pages.

    Raises:
        ArchivedError: some of them were archived.
        BrokenLogError: some are missing.
    """
    if gone := await past.archived(connection, bandit_key, since, until):
        raise ArchivedError(
            f"expected all decisions of {bandit_key!r} in the database, but those of days from {gone.first} "
            f"to {gone.last} were archived: they are in {gone.folder} as Parquet. What was "
            "archived can be neither exported nor evaluated from here; evaluate what was decided after "
            f"{gone.last} alone (since).",
            target="since",
        )
    configs, after = ConfigCache(), 0
    while found := await past.page(
        connection, configs, bandit_key, after=after, through=through, since=since, until=until, limit=_CHUNK
    ):
        if since is None and until is None and found[-1].settled.seq != after + len(found):
            raise past.missing(bandit_key, after + 1)
        after = found[-1].settled.seq
        yield await _records(connection, configs, bandit_key, found)
    if since is None and until is None and after != through:
        raise past.missing(bandit_key, after + 1)


async def _records(
    connection: Connection, configs: ConfigCache, bandit_key: str, found: Sequence[Past]
) -> list[Record]:
    events = await reward_events.for_decisions(connection, [one.decision.decision_id for one in found])
    known = await configs.get(connection, {(bandit_key, one.settled.config_version) for one in found})
    return [
        records.record(
            one.decision, one.settled, one.events, one.due_at, events[one.decision.decision_id],
            known[bandit_key, one.settled.config_version],
        )
        for one in found
    ]  # fmt: skip


async def export(
    database: Database,
    bandit_key: str,
    path: Path,
    form: Format,
    *,
    encoded: bool = False,
    progress: Progress = lambda *_: None,
) -> Exported:
    """Write the bandit's settled decisions; the file is there once it is whole.

    `encoded`: see `dsjson.Writer`.

    Raises:
        NotFoundError: no such bandit, or nothing of it is settled.
        ArchivedError: some of its log was archived.
        SetupError: the file cannot be written.
    """
    async with database.snapshot() as connection:
        await training.hold(connection)
        head = await header(connection, bandit_key)
        through = await training.end(connection, bandit_key)
        if not through:
            raise NotFoundError(
                f"bandit_key: expected a bandit with settled decisions, got {bandit_key!r}, which has "
                "none yet.",
                target="bandit_key",
            )
        chunks = _shown(read(connection, bandit_key, through=through), through, progress)
        if form == "parquet":
            rows = ([records.to_row(record) for record in chunk] async for chunk in chunks)
            await parquet.write(path, COLUMNS, rows, {METADATA: msgspec.json.encode(head)})
        else:
            await _write_dsjson(path, dsjson.Writer(head, encoded=encoded), chunks)
        return Exported(decisions=through, left_out=await past.waiting(connection, bandit_key))


async def _write_dsjson(path: Path, writer: dsjson.Writer, chunks: AsyncIterator[list[Record]]) -> None:
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as raw:
            # No name and no time in the packed form: equal logs give equal files.
            packed = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if path.suffix == ".gz" else None
            async for chunk in chunks:
                (packed or raw).write(b"".join(writer.line(record) for record in chunk))
            if packed:
                packed.close()
            raw.flush()
            os.fsync(raw.fileno())
        parquet.put_in_place(unfinished, path)
    except OSError as error:
        raise SetupError(f"expected to write {path}, got {error}. Name another place.") from error
    finally:
        writer.close()


async def _shown(
    chunks: AsyncIterator[list[Record]], total: int, progress: Progress
) -> AsyncIterator[list[Record]]:
    async for chunk in chunks:
        yield chunk
        progress("decisions", chunk[-1].seq, total)
