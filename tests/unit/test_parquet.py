from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from bandit import parquet


def test_no_process_loads_what_it_takes_to_export_before_it_does() -> None:
    """It is as large as all the rest."""
    code = "import sys, api.app, cli.main; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


async def test_a_file_that_was_there_is_kept_under_another_name(tmp_path: Path) -> None:
    """Another database may have written it, and have nothing else."""

    async def rows(value: str) -> AsyncIterator[list[tuple[str]]]:
        yield [(value,)]

    path = tmp_path / "day" / "decisions.parquet"
    for value in ("one", "two", "three"):
        assert await parquet.write(path, {"decision_id": "text"}, rows(value)) == 1
    kept = sorted(path.parent.iterdir())
    assert len(kept) == 3
    assert [file.name for file in kept if file.suffix == ".parquet"] == ["decisions.parquet"]
    found = {rows[0][0] for file in kept async for rows in parquet.read(file, ["decision_id"], 10)}
    assert found == {"one", "two", "three"}
