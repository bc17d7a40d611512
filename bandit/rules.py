"""Conditions over a context, in the Common Expression Language; its library is known here only.

A condition cannot loop, look at the clock or change anything, so the same context gives the same answer.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cel

from bandit.errors import InvalidInputError
from bandit.types import Features


def check(rule: str, target: str) -> None:
    """Refuse what is no condition.

    Raises:
        InvalidInputError: naming `target`.

    >>> check("context.age >=", "constraints[0].eligible_if")
    Traceback (most recent call last):
    bandit.errors.InvalidInputError: constraints[0].eligible_if: expected a condition ...
    """
    try:
        _compiled(rule)
    except Exception as error:  # whatever the library raises
        raise InvalidInputError(
            f"{target}: expected a condition such as `context.age >= 18 && context.country in ['DE', 'AT']` "
            f"(Common Expression Language), got {rule!r}: {error}",
            target=target,
        ) from error


def holds(rule: str, context: Features) -> bool:
    """Whether the condition holds; not where a field is missing, or is of another type than is asked for.

    >>> holds("context.age >= 18", {"age": 30}), holds("context.age >= 18", {})
    (True, False)
    """
    try:
        return _compiled(rule).execute({"context": context}) is True
    except Exception:  # a missing field, a text where a number is compared
        return False


@lru_cache(maxsize=4_096)
def _compiled(rule: str) -> Any:
    return cel.compile(rule)
