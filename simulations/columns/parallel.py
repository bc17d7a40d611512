"""Long columns a block at a time, on all processors: numpy works outside Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

#: So many rows that threads seldom wait for each other, and few enough to stay in the shared cache.
_BLOCK = 131_072


def by_blocks(work: Callable[[slice], T], count: int) -> list[T]:
    """What `work` gives for each block of `count` rows, in order.

    >>> by_blocks(lambda rows: rows.stop - rows.start, 200_000)
    [131072, 68928]
    """
    blocks = [slice(at, min(at + _BLOCK, count)) for at in range(0, count, _BLOCK)]
    if len(blocks) < 2:
        return [work(block) for block in blocks]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, blocks))
