"""Seeded draw from a distribution: anyone who knows salt and decision_id can repeat it."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate


def uniform(salt: str, decision_id: str) -> float:
    """A number in [0, 1) with 53 random bits: the head of BLAKE2b over the two strings.

    >>> uniform("salt", "d-1") == uniform("salt", "d-1") != uniform("salt", "d-2")
    True
    """
    digest = hashlib.blake2b(decision_id.encode(), key=salt.encode()[:64], digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def draw(pmf: Sequence[float], at: float) -> int:
    """Index at which the cumulated `pmf` passes `at`, for `at` in [0, 1); never one of probability 0.

    >>> [draw([0.2, 0.0, 0.8], at) for at in (0.0, 0.19, 0.2, 0.99)]
    [0, 0, 2, 2]
    """
    cumulated = list(accumulate(pmf))
    index = bisect_right(cumulated, at * cumulated[-1])
    if index < len(pmf):
        return index
    return max(i for i, p in enumerate(pmf) if p > 0.0)


def positions(salt: str, seq: int, count: int, window: int) -> list[int]:
    """`count` positions in [0, window), seeded by the training log's `seq`: which past events to relearn.

    >>> positions("salt", 7, 3, 100) == positions("salt", 7, 3, 100)
    True
    """
    stream = hashlib.shake_128(f"{salt}:{seq}".encode()).digest(8 * count)
    return [int.from_bytes(stream[8 * i : 8 * i + 8], "big") % window for i in range(count)]
