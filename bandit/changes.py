"""Who changed what of a bandit, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bandit.base import Identifier, Value
from bandit.errors import InvalidInputError
from bandit.types import Bandit

Why = Annotated[str, Meta(min_length=1, max_length=1_000)]
What = Literal[
    "created", "imported", "changed", "paused", "resumed", "killed", "revived", "archived",
    "rebuilt", "promoted", "rolled back",
]  # fmt: skip
NO_REASON = "no reason given"


class Author(Value, frozen=True, kw_only=True):
    """Who changes something, and why."""

    who: Identifier
    why: Why = NO_REASON


_LEARNER = "segbandit"
#: Where nobody was named.
SOMEBODY = Author(who="unknown")


def by_us(why: str) -> Author:
    """The author of what the learner does by itself."""
    return Author(who=_LEARNER, why=why)


def is_learner(who: str) -> bool:
    """Whether a name is the learner's, however it is written.

    >>> is_learner(" Segbandit"), is_learner("ada")
    (True, False)
    """
    return who.strip().casefold() == _LEARNER


def check_author(who: str) -> None:
    """Refuse to let somebody sign as the learner.

    Raises:
        InvalidInputError: naming `who`.
    """
    if is_learner(who):
        raise InvalidInputError(
            f"who: expected who changes it, got {who!r}: that is how the learner signs what it does by "
            "itself; give another name.",
            target="who",
        )


class Change(Value, frozen=True, kw_only=True):
    """One line of the audit log, which is only ever added to."""

    #: Grows with time, over all bandits.
    entry: int
    changed_at: datetime
    #: `segbandit`: the learner, by itself.
    who: str
    what: What
    why: str
    #: In force afterwards.
    config_version: int
    #: Of a configuration, by field: `from` and `to`; or of a list, ids that were `added`, `removed` or
    #: `changed`. Where another model serves, its numbers too.
    details: dict[str, Any]


def difference(before: Bandit, after: Bandit) -> dict[str, Any]:
    """What of the configuration, and of the candidate, is another now; as `Change.details`.

    Of actions, constraints and boosts it has the ids alone: the configuration versions hold the rest.
    """
    found = {}
    for field in before.config.__struct_fields__:
        old, new = getattr(before.config, field), getattr(after.config, field)
        if old != new:
            lists = isinstance(old, list) and isinstance(new, list)
            found[field] = _items(old, new) if lists else _plain(old, new)
    if before.candidate != after.candidate:
        found["candidate"] = _plain(before.candidate, after.candidate)
    return found


def item_id(item: Any) -> str:
    """What an item of a configuration's list is known by: its action_id, its name, or itself.

    >>> from bandit.types import Action
    >>> item_id(Action(action_id="a")), item_id("click")
    ('a', 'click')
    """
    return str(getattr(item, "action_id", None) or getattr(item, "name", None) or item)


def _items(old: Sequence[Any], new: Sequence[Any]) -> dict[str, list[str]]:
    were, are = ({item_id(item): item for item in items} for items in (old, new))
    found = {
        "added": [name for name in are if name not in were],
        "removed": [name for name in were if name not in are],
        "changed": [name for name in are if name in were and are[name] != were[name]],
    }
    return {how: names for how, names in found.items() if names} or {"order": list(are)}


def _plain(old: Any, new: Any) -> dict[str, Any]:
    return {"from": msgspec.to_builtins(old), "to": msgspec.to_builtins(new)}
