"""A log by its file's name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from bandit.errors import InvalidInputError
from simulations.logs.csv import Columns, CsvLog
from simulations.logs.dsjson import DsjsonLog
from simulations.logs.parquet import ParquetLog
from simulations.logs.rows import Log


def log_at(
    path: Path | str,
    *,
    columns: Mapping[str, str] | None = None,
    reward_range: tuple[float, float] | None = None,
) -> Log:
    """Parquet (a file or a folder of files), CSV or dsjson, the latter two gzipped or not.

    `columns` says which of the file's columns is what, where names differ: {"reward": "click"}. Of a CSV
    {"pmf.ACTION": column} gives the probability of each action, and {"context": "age device"} those that are
    the context.

    Raises:
        SetupError: it cannot be read, or a column is missing.
        InvalidInputError: the name says no format, or the columns are none that a log has.
    """
    path = Path(path)
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix == ".csv":
        return CsvLog(path, _csv_columns(columns or {}), reward_range=reward_range)
    if suffix == ".parquet" or path.is_dir():
        return ParquetLog(path, columns=columns, reward_range=reward_range)
    if suffix in (".dsjson", ".json", ".jsonl"):
        if columns:
            raise InvalidInputError(
                f"columns: expected none for dsjson, whose keys are settled, got {dict(columns)}.",
                target="columns",
            )
        return DsjsonLog(path, reward_range=reward_range)
    raise InvalidInputError(
        "log: expected a name that ends in .parquet, .csv, .dsjson or .json (and .gz, but for Parquet), got "
        f"{path.name!r}.",
        target="log",
    )


def _csv_columns(given: Mapping[str, str]) -> Columns:
    fields: dict[str, object] = {n: column for n, column in given.items() if not n.startswith("pmf.")}
    if "context" in given:
        fields["context"] = given["context"].split()
    pmf = {n.removeprefix("pmf."): column for n, column in given.items() if n.startswith("pmf.")}
    if pmf:
        fields["pmf"] = pmf
    try:
        return msgspec.convert(fields, Columns)
    except msgspec.ValidationError as error:
        raise InvalidInputError(
            f"columns: expected {', '.join(Columns.__struct_fields__)} or pmf.ACTION, got {dict(given)} "
            f"({error}).",
            target="columns",
        ) from error
