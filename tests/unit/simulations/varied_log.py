"""A log in which rows differ in all that may differ: offers, fields, subjects, days, zero probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from bandit.types import Action, Features
from simulations.logs.parquet import rows_of
from simulations.logs.rows import Logged

ACTIONS = [f"a{n}" for n in range(12)]
_SEGMENTS = (None, "new", "old")
#: Columns of Parquet; whole numbers are as small as files have them.
_SCHEMA = pa.schema(
    {
        "decision_id": pa.string(),
        "decided_at": pa.timestamp("us", "UTC"),
        "subject": pa.string(),
        "context": pa.string(),
        "actions": pa.string(),
        "chosen": pa.int16(),
        "probability": pa.float64(),
        "pmf": pa.list_(pa.float64()),
        "unboosted": pa.list_(pa.float64()),
        "reward": pa.float64(),
        "logger": pa.string(),
    }
)


def varied_log(count: int, *, seed: int = 1, subjects: int | None = None, bad: int = 0) -> pa.Table:
    """`a0` is always offered; `bad` rows, somewhere, cannot be used. No `subjects`: each row is one."""
    random = np.random.default_rng(seed)
    rows = [_row(number, random, subjects) for number in range(count)]
    for at, cause in zip(
        random.permutation(count)[:bad], ("chosen", "probability", "context") * bad, strict=False
    ):
        rows[at][cause] = {"chosen": 99, "probability": 0.0, "context": "{"}[cause]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def logged(table: pa.Table) -> list[Logged]:
    """Its rows, all of which must be usable."""
    return [row for batch in table.to_batches() for row in rows_of(batch, 1).rows]


def odd_preference(context: Features, actions: Sequence[Action]) -> list[float]:
    """A policy that others can import: depends on both, and never sums to 1 exactly."""
    found = np.array(
        [1.0 + len(action.action_id) + len(context) * index for index, action in enumerate(actions)]
    )
    return list(found / found.sum())


def _row(number: int, random: np.random.Generator, subjects: int | None) -> dict[str, Any]:
    offered = [0, *sorted(random.choice(np.arange(1, 12), random.integers(1, 12), replace=False).tolist())]
    pmf = random.dirichlet(np.ones(len(offered)))
    if random.random() < 0.2:
        pmf[random.integers(len(offered))] = 0.0
        pmf /= pmf.sum()
    chosen = int(random.choice(len(offered), p=pmf))
    fields = {f"x{i}": float(random.normal()) for i in range(random.integers(0, 6))}
    context = fields | {"device": ("phone", "desktop", "tablet")[random.integers(3)], "tags": ["b", "c"]}
    actions = [
        {"action_id": ACTIONS[n], "segment": _SEGMENTS[n % 3], "features": {"price": n / 7}} for n in offered
    ]
    return {
        "decision_id": f"d{number}",
        "decided_at": datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=float(random.integers(20_000))),
        "subject": None if subjects is None else f"s{random.integers(subjects)}",
        "context": msgspec.json.encode(context).decode(),
        "actions": msgspec.json.encode(actions).decode(),
        "chosen": chosen,
        "probability": float(pmf[chosen]),
        "pmf": pmf.tolist(),
        "unboosted": _unboosted(pmf) if number % 3 == 0 else None,
        "reward": float(random.random() < 0.1) * float(random.integers(1, 4)) / 3.0,
        "logger": ("morning", "evening")[random.integers(2)],
    }


def _unboosted(pmf: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    """As if those offered first had been boosted most."""
    found = pmf / np.linspace(2.0, 1.0, len(pmf))
    return list((found / found.sum()).tolist())
