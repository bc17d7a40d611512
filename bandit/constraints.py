"""What may be chosen at all, and how a distribution is reshaped before the draw. Pure: pmf -> pmf."""

from __future__ import annotations

from collections.abc import Sequence

from bandit.errors import InvalidInputError
from bandit.types import Action


def eligible(actions: Sequence[Action], excluded: Sequence[str]) -> list[int]:
    """Positions of the enabled actions that this request does not exclude, in their order.

    Raises:
        InvalidInputError: an excluded action does not exist, or nothing is left to choose.

    >>> eligible([Action(action_id="a"), Action(action_id="b")], ["a"])
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
    if excluded:
        barred = set(excluded)
        left = [i for i, action in enumerate(actions) if action.enabled and action.action_id not in barred]
    else:
        left = [i for i, action in enumerate(actions) if action.enabled]
    if not left:
        raise InvalidInputError(
            "excluded_actions: expected at least one enabled action to remain, got none; "
            "enable an action or exclude fewer.",
            target="excluded_actions",
        )
    return left


def baseline_index(actions: Sequence[Action], baseline_action: str | None) -> int:
    """Index of the baseline among the eligible actions; the first one when it is not among them.

    >>> baseline_index([Action(action_id="a"), Action(action_id="b")], "b")
    1
    """
    return next((i for i, action in enumerate(actions) if action.action_id == baseline_action), 0)
