"""Pack the Open Bandit sample: python -m simulations.data.make_open_bandit SAMPLE BTS.

SAMPLE is the folder of its CSVs, `{random,bts}/{all,men}/`; BTS an .npz with the Thompson sampler's
distributions, `bts_all` and `bts_men`, items x positions.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path

import numpy as np

from bandit import parquet
from bandit.parquet import Rows
from simulations.logs.open_bandit import AFFINITY, CAMPAIGNS, ITEM_FEATURES, LOGGED_BY, USER_FEATURES

_TARGET = Path(__file__).parent / "open_bandit"
_ROUNDS = {
    "timestamp": "timestamptz", "item_id": "int2", "position": "int2", "click": "int2",
    "propensity_score": "float8", **dict.fromkeys(USER_FEATURES, "text"),
    "affinity_items": "int2[]", "affinity": "float8[]",
}  # fmt: skip
_ITEMS = {"item_id": "int2", ITEM_FEATURES[0]: "float8", **dict.fromkeys(ITEM_FEATURES[1:], "text")}


def pack(sample: Path, bts: Path, target: Path = _TARGET) -> None:
    """Write the packed form of the sample to a folder."""
    for logged_by in LOGGED_BY:
        for campaign in CAMPAIGNS:
            folder, name = sample / logged_by / campaign, f"{logged_by}_{campaign}"
            rounds = [_round(fields) for fields in _csv(folder / f"{campaign}.csv.gz")]
            _write(target / f"{name}.parquet", _ROUNDS, rounds)
            items = [_item(fields) for fields in _csv(folder / "item_context.csv.gz")]
            _write(target / f"{name}_items.parquet", _ITEMS, items)
    with np.load(bts) as arrays:
        found = {campaign: arrays[f"bts_{campaign}"].tolist() for campaign in CAMPAIGNS}
    (target / "thompson_sampler.json").write_text(json.dumps(found) + "\n")


def _csv(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def _round(fields: Mapping[str, str]) -> list[object]:
    affinity = {
        int(name.removeprefix(AFFINITY)): float(value)
        for name, value in fields.items()
        if name.startswith(AFFINITY) and float(value)
    }
    numbers = [int(fields[name]) for name in ("item_id", "position", "click")]
    return [
        datetime.fromisoformat(fields["timestamp"]), *numbers, float(fields["propensity_score"]),
        *(fields[name] for name in USER_FEATURES), list(affinity), list(affinity.values()),
    ]  # fmt: skip


def _item(fields: Mapping[str, str]) -> list[object]:
    first, *others = ITEM_FEATURES
    return [int(fields["item_id"]), float(fields[first]), *(fields[name] for name in others)]


def _write(path: Path, columns: Mapping[str, str], rows: Rows) -> None:
    async def chunks() -> AsyncIterator[Rows]:
        yield rows

    path.unlink(missing_ok=True)
    asyncio.run(parquet.write(path, columns, chunks()))


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
