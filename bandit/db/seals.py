"""Seals of rows: a hash of what was written, written with it, by which an edit by hand is found."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


def seal(written: bytes) -> int:
    """64 bits of BLAKE2b over what is written.

    >>> seal(b"a") == seal(b"a") != seal(b"b")
    True
    """
    return int.from_bytes(hashlib.blake2b(written, digest_size=8).digest(), "big", signed=True)


def seal_of(*values: Any) -> int:
    """The seal of the values as JSON; times must be in UTC, as the database gives them back.

    >>> seal_of("a", 1.0) == seal_of("a", 1.0) != seal_of("a", 1.5)
    True
    """
    return seal(msgspec.json.encode(values))
