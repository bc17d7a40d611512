"""A log on a Spark cluster: each of its parts is read where it lies, by the same steps as a local log.

Needs the extra `segbandit[spark]`, on the workers too, and Java 17; see docs/large-logs.md.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from bandit import parquet
from bandit.errors import SegbanditError
from simulations.logs import values
from simulations.logs.check import check_range
from simulations.logs.parquet import COLUMNS, REQUIRED, rows_of
from simulations.logs.rows import Chunk
from simulations.logs.total import T

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_HOW = "Rename it: frame.withColumnRenamed('click', 'reward')."
#: Each part leaves a pickled state of some megabytes; so many tasks add them up before the driver does.
_MERGERS = 8
_SCHEMA = "state binary"
Range = tuple[float, float] | None


class SparkLog:
    """A data frame with the columns of an exported log, such as `spark.read.parquet(...)` is.

    Its parts are read side by side in no order, and add up to what a local log says, to the last bit. So
    policies that learn along the log are refused, there is no confidence sequence, and a decision that is
    repeated is not found: `frame.dropDuplicates(["decision_id"])` before, where that may be. Rows are named
    by Spark's `monotonically_increasing_id()`. Policies travel pickled; their modules must be importable on
    the workers.

    Raises:
        SetupError: a column is missing.
        InvalidInputError: the range of rewards is none.

    >>> SparkLog(spark.read.parquet("s3a://logs/hero/")).name  # doctest: +SKIP
    'spark'
    """

    def __init__(self, frame: DataFrame, *, name: str = "spark", reward_range: Range = None) -> None:
        self.name = name
        check_range(reward_range)
        self.reward_range = reward_range
        # By its id a round is drawn and put into a fold; a row's number would depend on how the log was cut.
        values.require({use: use for use in (*REQUIRED, "decision_id")}, frame.columns, name, _HOW)
        self._frame = frame.select([column for column in COLUMNS if column in frame.columns])

    def chunks(self) -> Iterator[Chunk]:
        """See `Log`: one part after the other, brought here."""
        rows = self._frame.mapInArrow(partial(_chunks_of_part, self.reward_range), _SCHEMA).toLocalIterator()
        return (_opened(row.state) for row in rows)

    def total(self, step: Callable[[Chunk], T], none: T) -> T:
        """See `Distributed`.

        Raises:
            SegbanditError: what a step raised on a worker; parts that were under way are read to their end.
        """
        parts = self._frame.mapInArrow(partial(_total_of_part, step, self.reward_range), _SCHEMA)
        merged = parts.repartition(_MERGERS).mapInArrow(_merged, _SCHEMA)
        return sum((_opened(row.state) for row in merged.collect()), none)


def _chunks_of_part(reward_range: Range, batches: Iterator[Any]) -> Iterator[Any]:
    return map(_packed, _chunks(batches, reward_range))


def _total_of_part(
    step: Callable[[Chunk], Any], reward_range: Range, batches: Iterator[Any]
) -> Iterator[Any]:
    with threadpool_limits(1, "blas"):  # Spark runs a task on every core already
        states = _added_up(map(step, _chunks(batches, reward_range)))
    yield from states


def _merged(batches: Iterator[Any]) -> Iterator[Any]:
    yield from _added_up(_opened(state) for batch in batches for state in batch.column("state").to_pylist())


def _added_up(states: Iterator[Any]) -> list[Any]:
    """One state of all, if there are any; or what was raised, or Spark would say it in Java's words."""
    try:
        first = next(states, None)
        return [] if first is None else [_packed(sum(states, first))]
    except SegbanditError as error:
        return [_packed(error)]


def _chunks(batches: Iterator[Any], reward_range: Range) -> Iterator[Chunk]:
    from pyspark import TaskContext

    task = TaskContext.get()
    row = task.partitionId() << 33 if task else 0  # as monotonically_increasing_id() counts
    for batch in batches:
        yield rows_of(batch, row, reward_range=reward_range)
        row += batch.num_rows


def _packed(state: object) -> Any:
    return parquet.record_batch("state", [pickle.dumps(state)])


def _opened(state: bytes) -> Any:
    found = pickle.loads(state)  # noqa: S301 it comes from our own steps
    if isinstance(found, SegbanditError):
        raise found
    return found
