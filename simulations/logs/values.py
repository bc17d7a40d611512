"""What fields of other people's files mean: texts as numbers and times, JSON as actions and contexts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from bandit import features, records
from bandit.errors import InvalidInputError, SetupError
from bandit.records import Record
from bandit.steering import Seen
from bandit.types import Action, Features
from simulations.logs.rows import Logged

_decode_actions = msgspec.json.Decoder(list[Action]).decode
_decode_features = msgspec.json.Decoder(Features).decode
#: A leading zero is part of a name, such as a postal code.
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,15})")


def number(value: Any) -> Any:
    """A number as a float, or NaN for a text that is none; what is neither stays as it is.

    >>> number("0.5"), number(1), number("much"), number(None)
    (0.5, 1.0, nan, None)
    """
    if type(value) is float or isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def typed(text: str) -> str | int | float | bool:
    """A field of a text file as what it looks like.

    >>> [typed(text) for text in ("7", "0.5", "true", "007", "1e3", "blue")]
    [7, 0.5, True, '007', 1000.0, 'blue']
    """
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if re.match(r"[+-]?0[0-9]", text):
        return text
    try:
        return float(text)
    except ValueError:
        return text


def moment(value: Any) -> datetime | None:
    """A time; without a time zone it is taken as UTC. None: it is none.

    >>> moment("2026-01-01 12:00"), moment("soon")
    (datetime.datetime(2026, 1, 1, 12, 0, tzinfo=datetime.timezone.utc), None)
    """
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@lru_cache(maxsize=1_024)  # mostly the same catalogue again and again
def actions(text: str | bytes) -> list[Action]:
    """Offered actions of JSON: a list of objects with `action_id`, and if any `segment`, `features`.

    Raises:
        InvalidInputError: they are none.
    """
    try:
        found = _decode_actions(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInputError(
            f"expected a JSON list of actions with their action_id, got: {error}."
        ) from error
    features.check_actions(found)
    return found


def context(text: str | bytes | None) -> Features:
    """A context of JSON; none is an empty one.

    Raises:
        InvalidInputError: it is no object.
    """
    try:
        return _decode_features(text) if text else {}
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInputError(f"expected a context as a JSON object, got: {error}.") from error


def seen(text: str | bytes | None) -> Seen | None:
    """What a subject was shown before, of JSON.

    Raises:
        InvalidInputError: it says something else.
    """
    try:
        return msgspec.json.decode(text, type=Seen) if text else None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInputError(f"expected `seen` as `segbandit export` writes it, got: {error}.") from error


def logged(row: int, record: Record) -> Logged:
    """A record of ours as a round."""
    return Logged(
        row=row,
        decision_id=record.decision_id,
        decided_at=record.decided_at,
        subject=record.subject,
        context=record.context,
        actions=record.actions,
        from_catalogue=record.requested_actions is None,
        chosen=record.chosen,
        probability=record.probability,
        pmf=record.pmf,
        unboosted=record.unboosted,
        seen=record.seen,
        reward=record.reward,
        logger=records.logger_name(record.mode, record.model_version, record.config_version),
    )


def require(wanted: Mapping[str, str], found: Iterable[str], name: str, how: str) -> None:
    """Columns by what they are for must be there.

    Raises:
        SetupError: one is not; names those that are, and `how` to say which is which.
    """
    there = list(found)
    if gone := [f"{column!r} ({use})" for use, column in wanted.items() if column not in there]:
        raise SetupError(
            f"{name}: expected the column {' and '.join(gone)}, got the columns "
            f"{', '.join(map(repr, there))}. {how}"
        )
