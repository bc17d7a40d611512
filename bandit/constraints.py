"""What may be chosen at all: switched on, not excluded, in time, fitting the context, not shown too often."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bandit.errors import InvalidInputError
from bandit.steering import Seen
from bandit.types import Action, BanditConfig, DecisionInput


def allowed(config: BanditConfig, actions: Sequence[Action], excluded: Sequence[str]) -> list[int]:
    """Positions of the enabled actions that are neither killed nor excluded by this request, in their order.

    Raises:
        InvalidInputError: an excluded action does not exist, or nothing is left to choose.

    >>> actions = [Action(action_id="a"), Action(action_id="b")]
    >>> allowed(BanditConfig(actions=actions), actions, ["a"])
    [1]
    """
    if excluded:
        known = {action.action_id for action in actions}
        for index, action_id in enumerate(excluded):
            if action_id not in known:
                raise InvalidInputError(
                    f"excluded_actions[{index}]: expected one of the offered actions, got {action_id!r}.",
                    target=f"excluded_actions[{index}]",
                )
    if excluded or config.killed_actions or config.killed_segments:
        barred, segments = {*excluded, *config.killed_actions}, set(config.killed_segments)
        left = [
            i
            for i, action in enumerate(actions)
            if action.enabled and action.action_id not in barred and action.segment not in segments
        ]
    else:
        left = [i for i, action in enumerate(actions) if action.enabled]
    if not left:
        raise InvalidInputError(
            "excluded_actions: expected at least one enabled action to remain, got none; "
            "enable an action or exclude fewer.",
            target="excluded_actions",
        )
    return left


def eligible(
    config: BanditConfig,
    actions: Sequence[Action],
    asked: DecisionInput,
    decided_at: datetime,
    seen: Seen | None,
) -> list[int]:
    """Positions of the actions that may be chosen for this context now, in their order.

    Where constraints leave nothing, it is the baseline.

    Raises:
        InvalidInputError: nothing is left, and the baseline is not among the actions.
    """
    return allowed(config, actions, asked.excluded_actions)


def baseline_index(actions: Sequence[Action], baseline_action: str | None) -> int:
    """Index of the baseline among the eligible actions; the first one when it is not among them.

    >>> baseline_index([Action(action_id="a"), Action(action_id="b")], "b")
    1
    """
    return next((i for i, action in enumerate(actions) if action.action_id == baseline_action), 0)
