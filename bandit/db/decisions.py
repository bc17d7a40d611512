"""Decisions, the claims on their ids, and which of them wait to be settled.

A decision's partition is known from its id: the service's own ids are UUIDv7 whose time is `decided_at`; ids
given by callers are claimed in `decision_claims`, which makes them unique across partitions.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection
from bandit.db.seals import seal
from bandit.errors import NotFoundError
from bandit.steering import Seen
from bandit.types import Action, BanditConfig, Decision, DecisionInput, LoggedChoice, Value

#: The two bits 10 before the last two of a digit.
_VARIANTS = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
_decode_actions = msgspec.json.Decoder(list[Action]).decode
_decode_choice = msgspec.json.Decoder(LoggedChoice).decode
_decode_seen = msgspec.json.Decoder(Seen).decode
_encode = msgspec.json.Encoder().encode


class _Row(msgspec.Struct, gc=False):
    """What is sealed of a decision, in the order in which it is sealed."""

    decision_id: str
    decided_at: datetime
    bandit_key: str
    subject: str | None
    context: Any
    actions: Any
    excluded_actions: list[str]
    deferred: bool
    logged_choice: Any
    positions: list[int] | None
    pmf: list[float]
    chosen: int
    draw: float
    model_version: int
    config_version: int
    mode: str
    unboosted: list[float] | None
    seen: Any


_SEALED = _Row.__struct_fields__
_AS_JSON = ("context", "actions", "logged_choice", "seen")
_COLUMNS = ", ".join([*_SEALED, "seal"])
#: One statement writes a whole group, from one parameter: each round trip, and each value that the driver
#: encodes by itself, costs the process that decides (docs/performance.md).
_INSERT = f"""
    WITH given AS (SELECT * FROM json_to_recordset($1) AS given (
        decision_id text, decided_at timestamptz, bandit_key text, subject text, context json, actions json,
        excluded_actions text[], deferred boolean, logged_choice json, positions smallint[], pmf float8[],
        chosen smallint, draw float8, model_version int, config_version int, mode text,
        unboosted float8[], seen json, seal bigint,
        reward_wait float8)
    ), waiting AS (
        INSERT INTO unsettled (decision_id, bandit_key, decided_at, due_at)
        SELECT decision_id, bandit_key, decided_at, decided_at + make_interval(secs => reward_wait)
        FROM given WHERE NOT deferred
    )
    INSERT INTO decisions ({_COLUMNS}) SELECT {_COLUMNS} FROM given
"""  # noqa: S608 our own column names


def new_id(milliseconds: int, random: str) -> str:
    """A UUIDv7 (RFC 9562): the time since 1970 in milliseconds, then 74 random bits of 20 hexadecimal digits.

    >>> new_id(1_767_225_600_000, "c0ffee5eedc0ffee5eed")
    '019b76da-a800-7c0f-bee5-eedc0ffee5ee'
    """
    time, variant = f"{milliseconds:012x}", _VARIANTS[random[3]]
    return f"{time[:8]}-{time[8:]}-7{random[:3]}-{variant}{random[4:7]}-{random[7:19]}"


def time_of(decision_id: str) -> datetime | None:
    """The time inside an id of the service's own form, else None.

    >>> time_of("019b76da-a800-7000-8000-000000000000")
    datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    >>> time_of("order-17")
    """
    if len(decision_id) != 36 or decision_id[14] != "7":
        return None
    try:
        parsed = uuid.UUID(decision_id)
        return datetime.fromtimestamp((parsed.int >> 80) / 1000, UTC) if str(parsed) == decision_id else None
    except (ValueError, OverflowError, OSError):
        return None


async def claim(connection: Connection, decisions: Sequence[Decision]) -> set[str]:
    """Claim the ids that callers gave; the ids that were still free, which are now this transaction's.

    Waits for a concurrent transaction that claims the same id, so exactly one wins.
    """
    by_id = {decision.decision_id: decision.decided_at for decision in reversed(decisions)}
    own = [(decision_id, time) for decision_id in by_id if (time := time_of(decision_id)) is not None]
    taken = {row["decision_id"] for row in await _rows(connection, own)} if own else set()
    ids = sorted(by_id.keys() - taken)  # one order for all, so that two batches cannot wait for each other
    rows = await connection.fetch(
        """INSERT INTO decision_claims (decision_id, decided_at)
           SELECT * FROM unnest($1::text[], $2::timestamptz[])
           ON CONFLICT DO NOTHING RETURNING decision_id""",
        ids,
        [by_id[i] for i in ids],
    )
    return {row["decision_id"] for row in rows}


async def insert(connection: Connection, decisions: Sequence[Decision], waits: Sequence[float]) -> None:
    """Write decisions whose ids are free; those not deferred wait so many seconds for their reward."""
    records = []
    for decision, wait in zip(decisions, waits, strict=True):
        row = _encode(_row(decision))
        records.append(b'%b,"seal":%d,"reward_wait":%.6f}' % (row[:-1], seal(row), wait))
    await connection.fetch(_INSERT, (b"[%b]" % b",".join(records)).decode())


async def locate(connection: Connection, decision_ids: Iterable[str]) -> dict[str, tuple[datetime, str]]:
    """For each id that exists: its decided_at and its bandit_key."""
    ids = list(decision_ids)
    claims = await connection.fetch(
        "SELECT decision_id, decided_at FROM decision_claims WHERE decision_id = ANY($1::text[])", ids
    )
    times = {i: time for i in ids if (time := time_of(i)) is not None}
    times |= {row["decision_id"]: row["decided_at"] for row in claims}
    rows = await _rows(connection, list(times.items()), "decision_id, decided_at, bandit_key")
    return {row["decision_id"]: (row["decided_at"], row["bandit_key"]) for row in rows}


def not_logged(decision_id: str) -> NotFoundError:
    """The error that says there is no decision by that id."""
    return NotFoundError(
        f"decision_id: expected the id of a logged decision, got {decision_id!r}.", target="decision_id"
    )


async def fetch(
    connection: Connection, configs: ConfigCache, places: Iterable[tuple[str, datetime]]
) -> dict[str, Decision]:
    """The decisions at these (decision_id, decided_at), by id."""
    rows = await _rows(connection, list(places), "*")
    known = await configs.get(connection, {(row["bandit_key"], row["config_version"]) for row in rows})
    return {
        row["decision_id"]: from_row(row, known[row["bandit_key"], row["config_version"]]) for row in rows
    }


async def _rows(
    connection: Connection, places: Sequence[tuple[str, datetime]], columns: str = "decision_id"
) -> list[Any]:
    """Rows of `decisions`, each looked up in the one partition that its time names."""
    rows = await connection.fetch(
        f"""SELECT d.* FROM unnest($1::text[], $2::timestamptz[]) AS w (id, at)
            CROSS JOIN LATERAL (
                SELECT {columns} FROM decisions WHERE decision_id = w.id AND decided_at = w.at OFFSET 0
            ) AS d""",  # noqa: S608 our own column names
        [decision_id for decision_id, _ in places],
        [decided_at for _, decided_at in places],
    )
    return list(rows)


class Activated(NamedTuple):
    """What became of an activation."""

    #: False: there is nothing to activate.
    deferred: bool
    #: When it was activated by this call; None: it was before, or never.
    at: datetime | None


async def activate(connection: Connection, place: tuple[str, datetime], wait: timedelta) -> Activated:
    """Mark a deferred decision as shown, once, and let it wait for its reward."""
    row = await connection.fetchrow(
        """UPDATE decisions SET activated_at = clock_timestamp()
           WHERE decision_id = $1 AND decided_at = $2 AND deferred AND activated_at IS NULL
           RETURNING bandit_key, activated_at""",
        *place,
    )
    if row is not None:
        await connection.execute(
            "INSERT INTO unsettled (decision_id, decided_at, bandit_key, due_at) VALUES ($1, $2, $3, $4)",
            *place,
            row["bandit_key"],
            row["activated_at"] + wait,
        )
        return Activated(True, row["activated_at"])
    deferred = "SELECT deferred FROM decisions WHERE decision_id = $1 AND decided_at = $2"
    return Activated(bool(await connection.fetchval(deferred, *place)), None)


def _row(decision: Decision) -> _Row:
    asked = decision.asked
    every = decision.positions == list(range(len(decision.pmf)))
    return _Row(
        decision.decision_id,
        decision.decided_at,
        decision.bandit_key,
        asked.subject,
        asked.context,
        asked.actions,
        asked.excluded_actions,
        asked.deferred,
        asked.logged_choice,
        None if every else decision.positions,
        decision.pmf,
        decision.chosen,
        decision.draw,
        decision.model_version,
        decision.config_version,
        decision.mode,
        decision.unboosted,
        decision.seen,
    )


async def unsealed(connection: Connection, places: Iterable[tuple[str, datetime]]) -> list[str]:
    """Ids of those decisions at these (decision_id, decided_at) that are not as they were written."""
    rows = await _rows(connection, list(places), "*")
    return sorted(row["decision_id"] for row in rows if not _sealed(row))


def _sealed(row: Any) -> bool:
    values = {name: row[name] for name in _SEALED}
    for name in _AS_JSON:  # as the text that is kept
        values[name] = None if values[name] is None else msgspec.Raw(values[name].encode())
    return bool(seal(_encode(_Row(**values))) == row["seal"])


async def sample(connection: Connection, bandit_key: str, count: int) -> list[tuple[str, datetime]]:
    """(decision_id, decided_at) of up to `count` decisions of the bandit, drawn at random."""
    rows = await connection.fetch(
        "SELECT decision_id, decided_at FROM decisions WHERE bandit_key = $1 ORDER BY random() LIMIT $2",
        bandit_key,
        count,
    )
    return [tuple(row) for row in rows]


async def count(connection: Connection, bandit_key: str) -> int:
    """How many decisions of the bandit are logged."""
    return int(await connection.fetchval("SELECT count(*) FROM decisions WHERE bandit_key = $1", bandit_key))


class Kept(Value, frozen=True, kw_only=True):
    """A decision as it stands in the database."""

    decision_id: str
    model_version: int
    #: None: it is not as it was written, so what stands there means nothing.
    decision: Decision | None


async def every(connection: Connection, configs: ConfigCache, bandit_key: str) -> AsyncIterator[Kept]:
    """All decisions of the bandit by model version. Inside a transaction."""
    query = "SELECT * FROM decisions WHERE bandit_key = $1 ORDER BY model_version, decided_at, decision_id"
    async for row in connection.cursor(query, bandit_key, prefetch=1_000):
        decision = None
        if _sealed(row):
            pair = (bandit_key, row["config_version"])
            known = await configs.get(connection, [pair])
            decision = from_row(row, known[pair])
        yield Kept(decision_id=row["decision_id"], model_version=row["model_version"], decision=decision)


def _is_own(decision_id: str, decided_at: datetime) -> bool:
    """Whether the id is one that the service gave; quicker than `time_of`, for rows of ours."""
    milliseconds = round(decided_at.timestamp() * 1000)
    return decision_id[14:15] == "7" and decision_id[:8] + decision_id[9:13] == f"{milliseconds:012x}"


def from_row(row: Any, config: BanditConfig) -> Decision:
    """A row of `decisions` that was made under `config`."""
    actions = None if row["actions"] is None else _decode_actions(row["actions"])
    choice = row["logged_choice"]
    everything = actions or config.actions
    positions = row["positions"] or list(range(len(row["pmf"])))
    all_of_them = row["positions"] is None and len(everything) == len(positions)
    return Decision(
        decision_id=row["decision_id"],
        bandit_key=row["bandit_key"],
        decided_at=row["decided_at"],
        asked=DecisionInput(
            subject=row["subject"],
            context=msgspec.json.decode(row["context"]),
            actions=actions,
            excluded_actions=row["excluded_actions"],
            decision_id=None if _is_own(row["decision_id"], row["decided_at"]) else row["decision_id"],
            deferred=row["deferred"],
            logged_choice=None if choice is None else _decode_choice(choice),
        ),
        offered=everything if all_of_them else [everything[position] for position in positions],
        positions=positions,
        pmf=row["pmf"],
        chosen=row["chosen"],
        draw=row["draw"],
        model_version=row["model_version"],
        config_version=row["config_version"],
        mode=row["mode"],
        unboosted=row["unboosted"],
        seen=None if row["seen"] is None else _decode_seen(row["seen"]),
        activated_at=row["activated_at"],
    )
