"""What all values are made of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

Identifier = Annotated[str, Meta(min_length=1, max_length=256)]
BanditKey = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}(?!\n)$",
        description="Letters, digits, '_', '.', '-'; 128 at most.",
    ),
]
#: Nested JSON of strings, numbers, booleans and lists of strings; checked by `features.check`.
Features = dict[str, Any]
Unit = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0, le=1e6)]
Bounded = Annotated[float, Meta(ge=-1e6, le=1e6)]
Time = Annotated[datetime, Meta(tz=True)]

MAX_ACTIONS = 1_000


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all values: immutable, keyword-only, closed to unknown fields."""
