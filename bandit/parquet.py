"""Rows as Parquet files, written whole or not at all; the only importer of pyarrow.

That is imported when it is first needed: it takes some 60 MB, and most processes never archive.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bandit.errors import SetupError

#: So many bytes, as they stand in memory, are written together.
_ROW_GROUP_BYTES = 16 * 2**20
#: PostgreSQL's types and what stands for them in a file, without loss: JSON as its text, times in UTC.
_TYPES = {
    "text": "string",
    "json": "string",
    "bool": "bool",
    "int2": "int16",
    "int4": "int32",
    "int8": "int64",
    "float8": "double",
    "timestamptz": "timestamp[us, UTC]",
}

Rows = Sequence[Sequence[Any]]
T = TypeVar("T")


async def write(
    path: Path,
    columns: Mapping[str, str],
    chunks: AsyncIterator[Rows],
    metadata: Mapping[str, str | bytes] | None = None,
) -> int:
    """Write rows that come in chunks; on disk under this name once all are; how many the file says it has.

    `columns` gives the PostgreSQL type of each column, in the order of a row's values; `metadata` stand in
    the file beside them. A file that was there is kept under another name. The work is done in other threads.

    Raises:
        SetupError: the folder cannot be written to.
    """
    try:
        await asyncio.to_thread(import_module, "pyarrow.parquet")
        file = _File(path, columns, metadata)
        try:
            async for rows in chunks:
                await _to_the_end(file.write, rows)
            return await _to_the_end(file.finish)
        finally:
            file.close()
    except OSError as error:
        raise SetupError(
            f"expected a folder that can be written to, {path.parent}, got {error}. Nothing was deleted; "
            "make room there, or name another folder."
        ) from error


async def _to_the_end(work: Callable[..., T], *given: Any) -> T:
    """Work in another thread; who is cancelled meanwhile waits for it, for nobody can stop it."""
    working = asyncio.ensure_future(asyncio.to_thread(work, *given))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


class _File:
    """A file that is being written."""

    def __init__(
        self, path: Path, columns: Mapping[str, str], metadata: Mapping[str, str | bytes] | None
    ) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._path = path
        self._schema = pa.schema([(name, _type(kind)) for name, kind in columns.items()], metadata=metadata)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._unfinished = path.with_suffix(".unfinished")
        self._file = self._unfinished.open("wb")
        self._writer = parquet.ParquetWriter(self._file, self._schema, compression="zstd")
        self._group: list[Any] = []

    def write(self, rows: Rows) -> None:
        """Add rows."""
        import pyarrow as pa

        values = zip(*rows, strict=True)
        arrays = [pa.array(one, field.type) for one, field in zip(values, self._schema, strict=True)]
        self._group.append(pa.record_batch(arrays, schema=self._schema))
        if sum(batch.nbytes for batch in self._group) > _ROW_GROUP_BYTES:
            self._write_group()

    def finish(self) -> int:
        """Bring all of it to disk, under its name; how many rows it says it has."""
        from pyarrow import parquet

        self._write_group()
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        put_in_place(self._unfinished, self._path)
        return int(parquet.read_metadata(self._path).num_rows)

    def close(self) -> None:
        """Let go of the file, finished or not."""
        self._writer.close()
        self._file.close()

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._group:
            self._writer.write_table(pa.Table.from_batches(self._group))
            self._group.clear()


async def read(path: Path, columns: Sequence[str], chunk: int) -> AsyncIterator[list[tuple[Any, ...]]]:
    """These columns of a file's rows, in chunks.

    Raises:
        SetupError: the file is not there, or not whole.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(chunk, columns=list(columns)):
                yield list(zip(*(batch.column(name).to_pylist() for name in columns), strict=True))
    except (OSError, pa.ArrowInvalid) as error:
        raise SetupError(
            f"expected the file {path}, whose rows are still to be deleted from the database, got {error}. "
            "Put it back and archive again."
        ) from error


class Described(NamedTuple):
    """What a file says of itself."""

    columns: list[str]
    rows: int
    metadata: dict[str, bytes]


def describe(path: Path) -> Described:
    """Columns, number of rows and metadata of a file.

    Raises:
        SetupError: it is not there, or not Parquet.
    """
    from pyarrow import parquet

    with _reading(path), parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        metadata = {name.decode(): value for name, value in (schema.metadata or {}).items()}
        return Described(columns=schema.names, rows=file.metadata.num_rows, metadata=metadata)


def batches(path: Path, columns: Sequence[str], rows: int) -> Iterator[Any]:
    """These columns of a file, as record batches of so many rows at most.

    Raises:
        SetupError: it is not there, or not whole.
    """
    from pyarrow import parquet

    with _reading(path), parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):  # asked for all at once, pyarrow keeps what it has read
            yield from file.iter_batches(rows, row_groups=[group], columns=list(columns))


def values(column: Any) -> list[Any]:
    """Of a column (pyarrow.Array) as Python has them; lists several times as fast as by `to_pylist`.

    >>> import pyarrow as pa
    >>> values(pa.array([[0.5, 0.5], None, [1.0]])[1:])
    [None, [1.0]]
    """
    import pyarrow as pa

    if not pa.types.is_list(column.type) or column.null_count or column.flatten().null_count:
        found: list[Any] = column.to_pylist()
        return found
    numbers = column.flatten().to_numpy(zero_copy_only=False).tolist()
    ends = (column.offsets.to_numpy() - column.offsets[0].as_py()).tolist()
    return [numbers[start:end] for start, end in pairwise(ends)]


def record_batch(name: str, values: Sequence[Any]) -> Any:
    """One column as a pyarrow.RecordBatch.

    >>> record_batch("state", [b"a", b"b"]).num_rows
    2
    """
    import pyarrow as pa

    return pa.record_batch([pa.array(values)], names=[name])


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise SetupError(
            f"expected a Parquet file that can be read at {path}, got {error}. Put an intact one there."
        ) from error


def _type(kind: str) -> Any:
    import pyarrow as pa

    plain = _TYPES[kind.removesuffix("[]")]
    found = pa.timestamp("us", "UTC") if plain.startswith("timestamp") else pa.type_for_alias(plain)
    return pa.list_(found) if kind.endswith("[]") else found


def put_in_place(unfinished: Path, path: Path) -> None:
    """Give a file that is whole on disk its name; what had that name is kept under another one."""
    if path.exists():  # from a run that was stopped, or, which nobody may lose, another database's
        path.rename(path.with_suffix(f".{path.stat().st_mtime_ns}.replaced"))
    unfinished.replace(path)
    for folder in list(path.parents)[:3]:  # the day's, the archive, and where that lies
        _sync(folder)


def _sync(folder: Path) -> None:
    """Make the names in the folder durable."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
