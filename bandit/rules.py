"""Conditions over a context, in the Common Expression Language; its library is known here only.

A condition compares; it cannot loop, compute, look at the clock or change anything. So the same context gives
the same answer, and soon: what costs is to hand the context over, about 2 us a field, once a decision; each
condition then takes less than 1 us. Regular expressions, which the library compiles anew each time, are left
out, and so is arithmetic, which knows whole numbers and fractions as two types where JSON knows one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cel

from bandit.errors import InvalidInputError
from bandit.types import Features

_EXAMPLE = "`context.age >= 18 && context.country in ['DE', 'AT']`"
_TRUE_OR_FALSE = frozenset({
    "_&&_", "_||_", "!_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in",
    "contains", "startsWith", "endsWith",
})  # fmt: skip
_NUMBER = frozenset({"size", "-_"})
#: What loops (`all`, `exists`, `map`, `filter`, `exists_one`) is made of others, of `_+_` among them.
_KNOWN = _TRUE_OR_FALSE | _NUMBER | {"_?_:_", "_[_]"}


def check(rule: str, target: str) -> None:
    """Refuse what is no condition over `context`.

    Raises:
        InvalidInputError: naming `target`.

    >>> check("context.age >=", "constraints[0].eligible_if")
    Traceback (most recent call last):
    bandit.errors.InvalidInputError: constraints[0].eligible_if: expected a condition ...
    """
    try:
        fault = _fault(rule)
    except BaseException as error:  # not an Exception where the library panics
        _raise_stops(error)
        fault = str(error).rpartition("ERROR: <input>:")[2].split("\n")[0][:200] or type(error).__name__
    if fault:
        raise InvalidInputError(
            f"{target}: expected a condition such as {_EXAMPLE} (Common Expression Language), "
            f"got {rule[:200]!a}: {fault}",
            target=target,
        )


class Conditions:
    """A context that is asked several times.

    >>> adult = Conditions({"age": 30})
    >>> adult.hold("context.age >= 18"), adult.hold("context.country == 'DE'")
    (True, False)
    """

    def __init__(self, context: Features) -> None:
        self._context = context
        self._variables: Any = None

    def hold(self, rule: str | None) -> bool:
        """Whether the condition holds; not where a field is missing, or of another type. None: it does."""
        if rule is None:
            return True
        try:
            if self._variables is None:
                self._variables = cel.Context(variables={"context": self._context})
            return _compiled(rule).execute(self._variables) is True
        except BaseException as error:  # a missing field, a text where a number is compared, a panic
            _raise_stops(error)
            return False


def holds(rule: str, context: Features) -> bool:
    """Whether one condition holds for this context; see `Conditions.hold`.

    >>> holds("context.age >= 18", {"age": 30}), holds("context.age >= 18", {})
    (True, False)
    """
    return Conditions(context).hold(rule)


def _fault(rule: str) -> str:
    """What is wrong with it; empty: nothing.

    Raises:
        ValueError: it cannot be read.
    """
    program = _compiled(rule)
    used = set(program.functions())
    if unknown := used - _KNOWN:
        return (
            f"it uses {', '.join(sorted(unknown))}, but there are only comparisons, `&&`, `||`, `!`, `in`, "
            "`?:`, `has`, `size`, `contains`, `startsWith` and `endsWith`; send what is computed as a "
            "field"
        )
    if names := set(program.variables()) - {"context"}:
        return f"it names {', '.join(sorted(names))}, but only `context` is known"
    if used & _NUMBER and not used & _TRUE_OR_FALSE:
        return "it is a number, neither true nor false"
    try:
        found = program.execute({"context": {}})
    except Exception:  # it asks for a field, as it should
        return ""
    return "" if isinstance(found, bool) else f"it is {found!r}, neither true nor false"


def _raise_stops(error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
        raise error


@lru_cache(maxsize=4_096)
def _compiled(rule: str) -> Any:
    return cel.compile(rule)
