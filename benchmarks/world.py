"""What the benchmarks decide about: 10 actions of 3 features, contexts of 10."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

from bandit.db.pool import Connection
from bandit.types import Action, BanditConfig, DecisionInput

ACTIONS = 10
CONFIG = BanditConfig(
    actions=[
        Action(
            action_id=f"action-{i}",
            features={"price": i / 10, "kind": f"k{i % 3}", "new": i % 2 == 0},
        )
        for i in range(ACTIONS)
    ],
    terminal_kinds=["reward"],
)


def context(rng: random.Random) -> dict[str, Any]:
    """Five numbers, three texts, two booleans."""
    numbers = {f"number{i}": round(rng.random(), 3) for i in range(5)}
    texts = {f"text{i}": rng.choice("abcdefgh") for i in range(3)}
    flags = {f"flag{i}": rng.random() < 0.5 for i in range(2)}
    return {**numbers, **texts, **flags}


def subject(rng: random.Random) -> str:
    return f"s-{rng.randrange(10**6)}"


def asked(rng: random.Random) -> DecisionInput:
    return DecisionInput(subject=subject(rng), context=context(rng))


def request_actions(rng: random.Random) -> list[dict[str, Any]]:
    """The same actions as a request brings them, each time at other prices."""
    return [
        {
            "action_id": f"action-{i}",
            "features": {"price": round(rng.random(), 3), "kind": f"k{i % 3}", "new": i % 2 == 0},
        }
        for i in range(ACTIONS)
    ]


async def log_copies(connection: Connection, bandit_key: str, began: datetime, first: int, end: int) -> None:
    """Log copies of a decision of this bandit under new ids, one every three milliseconds since `began`.

    Those from `first` to `end` are logged; the ones before were logged already.
    """
    await connection.execute("SET synchronous_commit = off")
    await connection.execute("DROP TABLE IF EXISTS decisions_sample")
    await connection.execute(
        f"CREATE TABLE decisions_sample AS SELECT * FROM decisions WHERE bandit_key = '{bandit_key}' LIMIT 1"  # noqa: S608 our own key
    )
    names = await connection.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'decisions'::regclass AND attnum > 0"
    )
    columns = ", ".join({row["attname"] for row in names} - {"decision_id", "decided_at"})
    milliseconds = round(began.timestamp() * 1_000)
    for at in range(first, end, 100_000):
        upto = min(at + 100_000, end) - 1
        await connection.execute(_COPIES.format(columns=columns), at, upto, milliseconds)


_COPIES = """
    INSERT INTO decisions (decision_id, decided_at, {columns})
    SELECT left(hex, 8) || '-' || right(hex, 4) || '-7' || substr(hash, 1, 3) || '-8' || substr(hash, 4, 3)
           || '-' || substr(hash, 7, 12), to_timestamp(ms / 1000.0), {columns}
    FROM (SELECT ms, lpad(to_hex(ms), 12, '0') AS hex, md5(n::text) AS hash FROM (
              SELECT n, $3::bigint + n * 3 AS ms FROM generate_series($1::bigint, $2::bigint) AS n) AS t) AS t
    CROSS JOIN (SELECT * FROM decisions_sample) AS d
"""
