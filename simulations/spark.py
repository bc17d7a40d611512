"""A log on a Spark cluster: the same steps as for a local log, on each partition where it lies.

Needs the extra `segbandit[spark]`, on the workers too, and Java 17.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from simulations.logs.parquet import rows_of
from simulations.logs.rows import Chunk
from simulations.total import T

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


class SparkLog:
    """A data frame with the columns of an exported log (docs/logs.md), such as `spark.read.parquet(...)`.

    Its parts are read side by side in no order, so policies that learn along the log cannot be evaluated on
    it. Everything else is as for a local log, to the last bit.

    >>> SparkLog(spark.read.parquet("s3a://logs/hero/")).name  # doctest: +SKIP
    'spark'
    """

    def __init__(
        self, frame: DataFrame, *, name: str = "spark", reward_range: tuple[float, float] | None = None
    ) -> None:
        self.name = name
        self.reward_range = reward_range
        self._frame = frame

    def chunks(self) -> Iterator[Chunk]:
        """All rows, brought here; meant for small frames."""
        for batch in self._frame.toArrow().to_batches():
            yield rows_of(batch, 1)

    def total(self, step: Callable[[Chunk], T], none: T) -> T:
        """The steps' results of all record batches, added up on each partition and then here."""

        def on_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            import pyarrow as pa

            found, rows = none, 1
            for batch in batches:
                found = found + step(rows_of(batch, rows))
                rows += batch.num_rows
            yield pa.record_batch([pa.array([pickle.dumps(found)])], names=["found"])

        parts = self._frame.mapInArrow(on_partition, "found binary").toLocalIterator()
        return sum((pickle.loads(part.found) for part in parts), none)  # noqa: S301 our own steps' results
