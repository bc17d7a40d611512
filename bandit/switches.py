"""Use case: an owner's switches: pause and resume a bandit, kill and revive an action or a segment.

They change the configuration, so every process follows within a second, and decisions that were made before
are recomputed under the version they were made under.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bandit import catalogue
from bandit.base import Identifier, Value
from bandit.changes import Author
from bandit.constraints import baseline_index, servable, unconditional
from bandit.db.pool import Database
from bandit.errors import ConflictError
from bandit.types import Bandit, BanditConfig

_MOST_KILLED = 1_000


class Target(Value, frozen=True, kw_only=True):
    """What is killed or revived: an action, or all actions of a segment. One of the two."""

    action_id: Identifier | None = None
    segment: Identifier | None = None

    def __post_init__(self) -> None:
        """Raises: ValueError: both or none of them."""
        if (self.action_id is None) == (self.segment is None):
            raise ValueError("expected either action_id or segment, got both or none")

    @property
    def name(self) -> str:
        """The action's id, or the segment."""
        return self.action_id or self.segment or ""

    @property
    def field(self) -> str:
        """The field of the configuration that holds it while it is killed."""
        return "killed_segments" if self.action_id is None else "killed_actions"


class Switched(Value, frozen=True, kw_only=True):
    """A bandit after something was killed or revived."""

    bandit: Bandit
    #: Whether the catalogue has such an action, or an action of that segment. Requests may bring others.
    known: bool
    #: What of the catalogue is the baseline now: the one named or, if that is killed, the first left that may
    #: be served to anybody.
    baseline_served: str
    #: Whose requests are refused now, and what to do; null: nobody's.
    warning: str | None = None


async def pause(database: Database, bandit_key: str, author: Author) -> Bandit:
    """Serve the baseline with probability 1; rewards are taken in and learned on. Repeating it is harmless.

    Raises:
        NotFoundError: no such bandit.
    """
    return await catalogue.revise(database, bandit_key, lambda _: {"paused": True}, author, "paused")


async def resume(database: Database, bandit_key: str, author: Author) -> Bandit:
    """End a pause. Errors as for `pause`."""
    return await catalogue.revise(database, bandit_key, lambda _: {"paused": False}, author, "resumed")


async def kill(database: Database, bandit_key: str, target: Target, author: Author) -> Switched:
    """Never serve it again, whoever brings it, until it is revived. Repeating it is harmless.

    What the catalogue does not have is killed as well: a request may bring it.

    Raises:
        NotFoundError: no such bandit.
        ConflictError: it is the last one of the catalogue that may be served, or too many are killed.
    """
    return _switched(
        await catalogue.revise(
            database, bandit_key, lambda config: _without(config, bandit_key, target), author, "killed"
        ),
        target,
    )


async def revive(database: Database, bandit_key: str, target: Target, author: Author) -> Switched:
    """Undo a kill; harmless where there was none.

    Raises:
        NotFoundError: no such bandit.
    """

    def wanted(config: BanditConfig) -> dict[str, Any]:
        return {target.field: [name for name in getattr(config, target.field) if name != target.name]}

    return _switched(await catalogue.revise(database, bandit_key, wanted, author, "revived"), target)


def _without(config: BanditConfig, bandit_key: str, target: Target) -> dict[str, Any]:
    killed = getattr(config, target.field)
    if target.name in killed:
        return {}
    if len(killed) == _MOST_KILLED:
        raise ConflictError(
            f"{target.field}: expected at most {_MOST_KILLED:,}, and so many are killed; revive those that "
            "no request brings any more.",
            target=target.field,
        )
    fields = {target.field: [*killed, target.name]}
    if not servable(msgspec.structs.replace(config, **fields)):
        raise ConflictError(
            f"{target.name}: expected to leave an action of the catalogue that may be served, got the last; "
            "nothing was changed. Add, enable or revive another one, pause the bandit so that only its "
            f"baseline is served (segbandit bandits pause {bandit_key}), or take it out of service "
            f"(segbandit bandits archive {bandit_key}).",
            target=target.field,
        )
    return fields


def _switched(bandit: Bandit, target: Target) -> Switched:
    kind = "segment" if target.action_id is None else "action_id"
    return Switched(
        bandit=bandit,
        known=any(getattr(action, kind) == target.name for action in bandit.config.actions),
        baseline_served=baseline_served(bandit.config),
        warning=warning(bandit.config),
    )


def baseline_served(config: BanditConfig) -> str:
    """What of the catalogue is the baseline now.

    It is the one named or, if that is killed, the first left that stands under no schedule and no condition;
    where there is none (see `warning`), the first left.

    >>> from bandit.types import Action
    >>> actions = [Action(action_id="a"), Action(action_id="b")]
    >>> baseline_served(BanditConfig(actions=actions, baseline_action="a", killed_actions=["a"]))
    'b'
    """
    left = servable(config)
    return left[baseline_index(config, left)].action_id


def warning(config: BanditConfig) -> str | None:
    """Whom nothing can be served to, now that the baseline is killed; None: there is nobody.

    >>> from bandit.steering import Constraint
    >>> from bandit.types import Action
    >>> adults = Constraint(name="adults", actions=["b"], eligible_if="context.age >= 18")
    >>> config = BanditConfig(
    ...     actions=[Action(action_id="a"), Action(action_id="b")], baseline_action="a", constraints=[adults])
    >>> warning(config)
    >>> print(warning(msgspec.structs.replace(config, killed_actions=["a"])))
    No action is left that may be served to everybody: what is left is offered by schedules and conditions \
    alone (adults). Whoever none of them lets see anything gets an error (422), even while the bandit is \
    paused. Revive a, add an action without schedule and condition, or take out one of these constraints.
    """
    left = servable(config)
    if any(action.action_id == config.baseline_action for action in left) or unconditional(config, left):
        return None
    names = [each.name for each in config.constraints if each.schedule or each.eligible_if]
    return (
        "No action is left that may be served to everybody: what is left is offered by schedules and "
        f"conditions alone ({', '.join(names)}). Whoever none of them lets see anything gets an error (422), "
        f"even while the bandit is paused. Revive {config.baseline_action}, add an action without schedule "
        "and condition, or take out one of these constraints."
    )
