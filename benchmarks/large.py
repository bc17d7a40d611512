"""What evaluating a long log takes: seconds of a core and bytes for each row, and memory, which stays.

Each figure comes from a process of its own, which reads a Parquet log of ten actions and five context fields
and evaluates the uniform policy by the seven default estimators. Time is the processor's, of all processes
together (Spark's workers and Java too), so that it says the same on a machine that is busy.

Run with `make bench-large`; writes .bench/large.json.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from pyarrow import parquet
from rich.console import Console
from rich.table import Table

from simulations.evaluation.evaluate import evaluate
from simulations.logs.parquet import ParquetLog
from simulations.logs.rows import Log

ROWS = (50_000, 200_000, 1_000_000)
SPARK_ROWS = (200_000, 1_000_000)
OUTPUT = Path(".bench/large.json")
_GROUP = 50_000
_MEBIBYTE = 2**20


def write_log(path: Path, rows: int) -> None:
    """A log of subjects who come once, in row groups as an export has them."""
    groups = (_group(at, min(_GROUP, rows - at)) for at in range(0, rows, _GROUP))
    first = next(groups)
    with parquet.ParquetWriter(path, first.schema) as file:
        file.write_table(first)
        for group in groups:
            file.write_table(group)


def _group(start: int, rows: int) -> pa.Table:
    random = np.random.default_rng(start)
    actions = json.dumps(
        [
            {"action_id": f"offer-{n}", "segment": f"s{n % 3}", "features": {"price": n / 10}}
            for n in range(10)
        ]
    )
    pmf = random.dirichlet(np.full(10, 2.0), rows)
    chosen = (random.random((rows, 1)) > pmf.cumsum(axis=1)[:, :-1]).sum(axis=1)
    at = np.arange(rows)
    return pa.table(
        {
            "decision_id": [f"{start + number:032x}" for number in range(rows)],
            "decided_at": pa.array((start + at) * 1_000_000, pa.timestamp("us", "UTC")),
            "subject": [f"visitor-{start + number}" for number in range(rows)],
            "context": list(_contexts(random, rows)),
            "actions": pa.array([actions]).take(pa.array(np.zeros(rows, np.int64))),
            "chosen": pa.array(chosen, pa.int16()),
            "probability": pmf[at, chosen],
            "pmf": pa.FixedSizeListArray.from_arrays(pmf.ravel(), 10).cast(pa.list_(pa.float64())),
            "reward": (random.random(rows) < 0.02 + 0.01 * chosen).astype(float),
        }
    )


def _contexts(random: np.random.Generator, rows: int) -> Iterator[str]:
    devices = [("phone", "desktop", "tablet")[n] for n in random.integers(3, size=rows)]
    for device, (age, visits, score), member in zip(
        devices, random.random((rows, 3)).tolist(), random.random(rows) < 0.3, strict=True
    ):
        context = {"device": device, "age": int(18 + 60 * age), "visits": int(9 * visits)}
        yield json.dumps(context | {"score": round(score, 3), "member": bool(member)})


def measure(kind: str, path: Path) -> dict[str, float]:
    """Of this process and those that it starts, once Spark is up."""
    log: Log = ParquetLog(path)
    if kind == "spark":
        log = _spark_log(path)
    started, used = time.monotonic(), _processor_seconds()
    rounds = evaluate(log, "uniform").rounds
    seconds = _processor_seconds() - used
    return {
        "rows": rounds,
        "bytes_a_row": path.stat().st_size / rounds,
        "core_seconds": seconds,
        "seconds": time.monotonic() - started,
        "microseconds_a_row": 1e6 * seconds / rounds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "worker_mib": max((process.memory_info().rss for process in _workers()), default=0) / _MEBIBYTE,
    }


def _spark_log(path: Path) -> Log:
    from pyspark.sql import SparkSession

    from simulations.logs.spark import SparkLog

    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.files.maxPartitionBytes", 16 * _MEBIBYTE)
        .getOrCreate()
    )
    return SparkLog(spark.read.parquet(str(path)))


def _workers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "python" in p.name()]


def _processor_seconds() -> float:
    this = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in [this, *this.children(recursive=True)])


def _measured(kind: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.large", kind, str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    if len(sys.argv) == 3:
        print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))  # for `_measured`
        return
    found: dict[str, list[dict[str, float]]] = {"local": [], "spark": []}
    table = Table("read", "rows", "bytes/row", "core s", "s", "us/row", "peak MiB", "worker MiB")
    with tempfile.TemporaryDirectory() as folder:
        for rows in ROWS:
            path = Path(folder) / f"{rows}.parquet"
            write_log(path, rows)
            for kind in found if rows in SPARK_ROWS else ("local",):
                found[kind].append(_measured(kind, path))
                table.add_row(kind, *(f"{number:,.0f}" for number in found[kind][-1].values()))
    Console().print(table)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
