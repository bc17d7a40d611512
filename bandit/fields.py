"""The fields of a context or an action, each with what is left without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from bandit.types import Features


class Field(NamedTuple):
    """One string, number or boolean, or one item of a list."""

    #: Dots between levels.
    name: str
    value: Any
    #: All but this field, in their order.
    rest: Features


def fields(features: Features) -> Iterator[Field]:
    """Every field, in their order.

    >>> for field in fields({"age": 30, "device": {"tags": ["new", "big"]}}): print(*field)
    age 30 {'device': {'tags': ['new', 'big']}}
    device.tags new {'age': 30, 'device': {'tags': ['big']}}
    device.tags big {'age': 30, 'device': {'tags': ['new']}}
    """
    for key, value in features.items():
        if isinstance(value, dict):
            for inner in fields(value):
                yield Field(f"{key}.{inner.name}", inner.value, features | {key: inner.rest})
        elif isinstance(value, list):
            for at, item in enumerate(value):
                yield Field(key, item, features | {key: value[:at] + value[at + 1 :]})
        else:
            yield Field(key, value, {name: other for name, other in features.items() if name != key})
