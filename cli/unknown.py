"""Names in constraints and boosts that the catalogue does not have: brought by requests, or misspelt."""

from __future__ import annotations

from bandit.types import BanditConfig


def warning(before: BanditConfig, after: BanditConfig) -> str | None:
    """Which names mean nothing in the catalogue after a change and were not so before; None: there are none.

    >>> from bandit.steering import Boost
    >>> from bandit.types import Action
    >>> before = BanditConfig(actions=[Action(action_id="summer")])
    >>> sale = Boost(name="sale", actions=["summr"], segments=["men"], multiplier=2.0)
    >>> after = BanditConfig(actions=before.actions, boosts=[sale])
    >>> print(warning(before, after))
    The catalogue has no action summr (boosts.sale), segment men (boosts.sale): they act only where requests \
    bring them.
    """
    known = _unknown(before)
    new = [f"{name} ({place})" for name, place in _unknown(after) if (name, place) not in known]
    if not new:
        return None
    return f"The catalogue has no {', '.join(new)}: they act only where requests bring them."


def _unknown(config: BanditConfig) -> list[tuple[str, str]]:
    """Each such name, and the constraint or boost where it stands."""
    actions = {action.action_id for action in config.actions}
    segments = {action.segment for action in config.actions}
    rules = [
        *((f"constraints.{each.name}", each) for each in config.constraints),
        *((f"boosts.{each.name}", each) for each in config.boosts),
    ]
    return [
        (name, place)
        for place, rule in rules
        for name in (
            *(f"action {each}" for each in rule.actions if each not in actions),
            *(f"segment {each}" for each in rule.segments if each not in segments),
        )
    ]
