"""What is said only once a transaction is committed: one that is lost is tried again, and says it then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

_WAITING: ContextVar[list[Callable[[], None]] | None] = ContextVar("waiting", default=None)


@contextmanager
def committed() -> Iterator[None]:
    """Around a transaction: do at its end what was left for `afterwards.do`, unless it failed."""
    waiting: list[Callable[[], None]] = []
    token = _WAITING.set(waiting)
    try:
        yield
    finally:
        _WAITING.reset(token)
    for act in waiting:
        act()


def do(act: Callable[..., None], *args: Any, **named: Any) -> None:
    """Do this once the transaction around is committed; at once, where nobody waits for one.

    >>> with committed():
    ...     do(print, "said")
    ...     print("committed")
    committed
    said
    """
    waiting = _WAITING.get()
    if waiting is None:
        act(*args, **named)
    else:
        waiting.append(partial(act, *args, **named))
