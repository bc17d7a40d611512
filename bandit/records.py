"""Settled decisions with all that is known of them, as rows of files: what is exported and imported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from bandit import exposures, features, rewards
from bandit.errors import InvalidInputError
from bandit.steering import Seen
from bandit.types import (
    Action,
    BanditConfig,
    Decision,
    DecisionInput,
    Features,
    LoggedChoice,
    ReceivedEvent,
    ServedMode,
    Settlement,
    Value,
)

#: Under this name a file's metadata hold the `Header`.
METADATA = "segbandit"
_SUM_TOLERANCE = 1e-6


class Header(Value, frozen=True, kw_only=True):
    """What a file says of the bandit whose log it holds."""

    form: Literal[1] = 1
    bandit_key: str
    #: Secret of its draws.
    salt: str
    created_at: datetime
    #: The configuration in force, and the one under which the live branch learns.
    config_version: int
    learns_under: int
    #: All configuration versions, from 1.
    configs: list[BanditConfig]
    #: Nothing of these is learned.
    without_subjects: list[str]

    @property
    def reward_range(self) -> tuple[float, float]:
        """All rewards lie in it."""
        lows, highs = zip(*(config.reward.clip for config in self.configs), strict=True)
        return min(lows), max(highs)


class Event(Value, frozen=True, kw_only=True):
    """A raw reward event of the row's decision; see `ReceivedEvent`."""

    source: str
    event_id: str
    kind: str
    value: float
    occurred_at: datetime
    received_at: datetime
    corrects: str | None = None


class Record(Value, frozen=True, kw_only=True):
    """One settled decision. The fields up to `reward` are what evaluation needs; the others make it whole."""

    #: Place in the training log.
    seq: int
    decision_id: str
    decided_at: datetime
    subject: str | None
    context: Features
    #: What the draw was made over, in order.
    actions: list[Action]
    #: Index in `actions`.
    chosen: int
    #: Of the chosen action.
    probability: float
    #: None: only the chosen action's is known (mode logging_only).
    pmf: list[float] | None
    #: By all events that are there, those too that came after it was settled.
    reward: float
    mode: ServedMode
    model_version: int
    config_version: int
    draw: float
    #: Of `actions` in the request's, or in the catalogue of the configuration where it brought none.
    positions: list[int]
    requested_actions: list[Action] | None
    excluded_actions: list[str]
    deferred: bool
    activated_at: datetime | None
    logged_choice: LoggedChoice | None
    #: The distribution as it would have been without boosts; None: there were none.
    unboosted: list[float] | None
    #: What its subject was shown before, where that was taken into account.
    seen: Seen | None
    #: What was learned, by the definition of configuration `settled_by`, from so many events.
    settled_reward: float
    settled_by: int
    settled_events: int
    #: Events that occurred later do not count.
    due_at: datetime
    settled_at: datetime
    events: list[Event]


#: The columns of a Parquet file and their PostgreSQL types; `json` is text.
COLUMNS = {
    "seq": "int8", "decision_id": "text", "decided_at": "timestamptz", "subject": "text", "context": "json",
    "actions": "json", "chosen": "int2", "probability": "float8", "pmf": "float8[]", "reward": "float8",
    "mode": "text", "model_version": "int4", "config_version": "int4", "draw": "float8",
    "positions": "int2[]", "requested_actions": "json", "excluded_actions": "text[]", "deferred": "bool",
    "activated_at": "timestamptz", "logged_choice": "json", "unboosted": "float8[]",
    "seen": "json", "settled_reward": "float8", "settled_by": "int4",
    "settled_events": "int4", "due_at": "timestamptz", "settled_at": "timestamptz", "events": "json",
}  # fmt: skip
_JSON = [name for name, kind in COLUMNS.items() if kind == "json"]
_encode = msgspec.json.Encoder().encode


def logger_name(mode: str, model_version: int, config_version: int) -> str:
    """Which policy made a decision.

    >>> logger_name("online", 12, 3), logger_name("online", 0, 3), logger_name("paused", 12, 3)
    ('model 12', 'config 3', 'paused of config 3')
    """
    if mode != "online":
        return f"{mode} of config {config_version}"
    return f"model {model_version}" if model_version else f"config {config_version}"


def record(
    decision: Decision,
    settled: Settlement,
    settled_events: int,
    due_at: datetime,
    events: Sequence[ReceivedEvent],
    config: BanditConfig,
) -> Record:
    """A settled decision, all its events, and the configuration that it was settled by."""
    asked = decision.asked
    ordered = sorted(events, key=lambda e: (e.received_at, e.source, e.event_id))
    return Record(
        seq=settled.seq,
        decision_id=decision.decision_id,
        decided_at=decision.decided_at,
        subject=asked.subject,
        context=asked.context,
        actions=decision.offered,
        chosen=decision.chosen,
        probability=decision.probability,
        pmf=None if asked.logged_choice else decision.pmf,
        reward=rewards.settle(config.reward, config.default_reward, events, until=due_at),
        mode=decision.mode,
        model_version=decision.model_version,
        config_version=decision.config_version,
        draw=decision.draw,
        positions=decision.positions,
        requested_actions=asked.actions,
        excluded_actions=asked.excluded_actions,
        deferred=asked.deferred,
        activated_at=decision.activated_at,
        logged_choice=asked.logged_choice,
        unboosted=decision.unboosted,
        seen=decision.seen,
        settled_reward=settled.reward,
        settled_by=settled.config_version,
        settled_events=settled_events,
        due_at=due_at,
        settled_at=settled.settled_at,
        events=[Event(**{name: getattr(e, name) for name in Event.__struct_fields__}) for e in ordered],
    )


def decision(record: Record, bandit_key: str) -> Decision:
    """The decision as it was logged, under that bandit."""
    known = [record.probability if i == record.chosen else 0.0 for i in range(len(record.actions))]
    return Decision(
        decision_id=record.decision_id,
        bandit_key=bandit_key,
        decided_at=record.decided_at,
        asked=DecisionInput(
            subject=record.subject,
            context=record.context,
            actions=record.requested_actions,
            excluded_actions=record.excluded_actions,
            deferred=record.deferred,
            logged_choice=record.logged_choice,
        ),
        offered=record.actions,
        positions=record.positions,
        pmf=known if record.pmf is None else record.pmf,
        chosen=record.chosen,
        draw=record.draw,
        model_version=record.model_version,
        config_version=record.config_version,
        mode=record.mode,
        unboosted=record.unboosted,
        seen=record.seen,
        activated_at=record.activated_at,
    )


def events(record: Record) -> list[ReceivedEvent]:
    """The raw events of its decision."""
    return [
        ReceivedEvent(decision_id=record.decision_id, **msgspec.structs.asdict(event))
        for event in record.events
    ]


def to_row(record: Record) -> list[Any]:
    """The values of a Parquet row, by `COLUMNS`."""
    row = []
    for name in COLUMNS:
        value = getattr(record, name)
        row.append(_encode(value).decode() if name in _JSON and value is not None else value)
    return row


def from_row(row: Mapping[str, Any]) -> Record:
    """The record of a Parquet row.

    Raises:
        InvalidInputError: it is none of ours.
    """
    values = dict(row)
    try:
        for name in _JSON:
            values[name] = None if values[name] is None else msgspec.json.decode(values[name])
        return msgspec.convert(values, Record)
    except (msgspec.MsgspecError, KeyError, RecursionError) as error:
        raise InvalidInputError(
            f"expected a row as `segbandit export` writes it, got another: {error!r}."
        ) from error


def check(record: Record, header: Header) -> None:
    """Refuse what cannot have happened under that bandit's configurations.

    Raises:
        InvalidInputError: naming the field.
    """
    features.check(record.context, "context")
    features.check_actions(record.actions)
    features.check_actions(record.requested_actions or [])
    versions = range(1, len(header.configs) + 1)
    _expect(record.config_version in versions, "config_version: one of the file", record.config_version)
    _expect(record.settled_by in versions, "settled_by: a configuration of the file", record.settled_by)
    everything = record.requested_actions or header.configs[record.config_version - 1].actions
    there = all(0 <= position < len(everything) for position in record.positions)
    _expect(
        there and [everything[i] for i in record.positions] == record.actions,
        "positions: where `actions` stand in the request or catalogue", record.positions,
    )  # fmt: skip
    _expect(0 <= record.chosen < len(record.actions), "chosen: an index in `actions`", record.chosen)
    _expect(0.0 < record.probability <= 1.0, "probability: above 0, up to 1", record.probability)
    _expect(0.0 <= record.draw < 1.0, "draw: in [0, 1)", record.draw)
    low, high = header.reward_range
    _expect(low <= record.settled_reward <= high, "settled_reward: within clip", record.settled_reward)
    _expect((record.pmf is None) == (record.logged_choice is not None), "pmf: none in logging_only", "other")
    if record.pmf is not None:
        _expect(
            _is_distribution(record.pmf, record.actions)
            and record.pmf[record.chosen] == record.probability,
            "pmf: a distribution over `actions` with `probability` at `chosen`", record.pmf[:5],
        )  # fmt: skip
    if record.unboosted is not None:
        _expect(
            record.mode == "online" and _is_distribution(record.unboosted, record.actions),
            "unboosted: a distribution over `actions`, in mode online", record.unboosted[:5],
        )  # fmt: skip
    if record.seen is not None:
        asked = exposures.seen(header.configs[record.config_version - 1], [], record.decided_at)
        _expect(
            record.subject is not None and asked is not None and _windows(record.seen) == _windows(asked),
            "seen: what the configuration asks of what a subject was shown", record.seen,
        )  # fmt: skip


def _is_distribution(pmf: Sequence[float], actions: Sequence[Action]) -> bool:
    fits = len(pmf) == len(actions) and all(0.0 <= p <= 1.0 for p in pmf)
    return fits and abs(math.fsum(pmf) - 1.0) <= _SUM_TOLERANCE


def _windows(seen: Seen) -> list[set[str]]:
    return [set(seen.actions), set(seen.segments)]


def _expect(fits: bool, what: str, came: object) -> None:
    if not fits:
        name, _, expected = what.partition(": ")
        raise InvalidInputError(f"{name}: expected {expected}, got {came!r}.", target=name)
