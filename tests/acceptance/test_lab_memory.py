"""Evaluating a log takes the same memory however long the log is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.large import write_log

#: Beyond the decision ids among which repetitions are looked for, of which memory is full then.
SHORT, LONG = 120_000, 480_000
#: Peaks of two runs over the same log differ by a tenth; four times the rows' worth would be far more.
TIMES = 1.25


def peak_mebibytes(path: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.large", "local", str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return float(json.loads(done.stdout)["peak_mib"])


@pytest.mark.slow
def test_four_times_the_rows_in_the_same_memory(tmp_path: Path) -> None:
    peaks = []
    for rows in (SHORT, LONG):
        write_log(tmp_path / f"{rows}.parquet", rows)
        peaks.append(peak_mebibytes(tmp_path / f"{rows}.parquet"))
    print(f"peak MiB by rows: {SHORT:,}: {peaks[0]:.0f}, {LONG:,}: {peaks[1]:.0f}")
    assert peaks[1] < TIMES * peaks[0]
