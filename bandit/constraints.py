"""What may be chosen at all: switched on, not excluded, in time, fitting the context, not shown too often."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn

from bandit.errors import InvalidInputError
from bandit.situation import Situation
from bandit.steering import Constraint, Seen, window
from bandit.types import Action, BanditConfig, DecisionInput


class _Scope:
    """A constraint with the names it is about as sets; about every action where it names none."""

    def __init__(self, constraint: Constraint) -> None:
        self.constraint = constraint
        self.actions = frozenset(constraint.actions)
        self.segments = frozenset(constraint.segments)
        self.everything = not (constraint.actions or constraint.segments)


class _Barred:
    """Ids of actions and segments that may not be offered."""

    def __init__(self, actions: Sequence[str] = (), segments: Sequence[str] = ()) -> None:
        self.actions = set(actions)
        self.segments = set(segments)
        self.everything = False

    def __bool__(self) -> bool:
        return bool(self.actions or self.segments or self.everything)

    def left(self, actions: Sequence[Action], positions: list[int]) -> list[int]:
        if not self:
            return positions
        if self.everything:
            return []
        return [
            i
            for i in positions
            if actions[i].action_id not in self.actions and actions[i].segment not in self.segments
        ]


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
    left = [i for i, action in enumerate(actions) if action.enabled]
    if excluded or config.killed_actions or config.killed_segments:
        left = _Barred([*excluded, *config.killed_actions], config.killed_segments).left(actions, left)
    if not left:
        raise InvalidInputError(
            "excluded_actions: expected at least one enabled action to remain that is not killed, got none; "
            "enable an action, exclude fewer or lift a kill.",
            target="excluded_actions",
        )
    return left


def eligible(
    config: BanditConfig,
    actions: Sequence[Action],
    asked: DecisionInput,
    decided_at: datetime,
    seen: Seen | None,
    situation: Situation | None = None,
) -> list[int]:
    """Positions of the actions that may be chosen for this context now, in their order.

    `situation`: that context and moment, for others to ask after this.

    Schedules and conditions are kept whatever comes: where they leave nothing, it is the baseline. Where caps
    and repetition limits leave nothing of what passed those, it is the baseline too, and where that did not
    pass, all that did.

    Raises:
        InvalidInputError: nothing is left, and the baseline is not among the actions.

    >>> noon = datetime.fromisoformat("2026-07-01T12:00:00Z")
    >>> adults = Constraint(name="adults", actions=["b"], eligible_if="context.age >= 18")
    >>> config = BanditConfig(actions=[Action(action_id="a"), Action(action_id="b")], constraints=[adults])
    >>> eligible(config, config.actions, DecisionInput(context={"age": 17}), noon, None)
    [0]
    """
    positions = allowed(config, actions, asked.excluded_actions)
    if not config.constraints:
        return positions
    hard, soft = _scopes(config)
    situation = situation or Situation(config.time_zone, asked.context, decided_at)
    fitting = _untimely(hard, situation).left(actions, positions)
    if not fitting:
        return _baseline(config, actions, positions) or _nothing_left()
    if seen is None:
        return fitting
    fresh = _too_often(soft, seen).left(actions, fitting)
    return fresh or _baseline(config, actions, fitting) or fitting


def _scopes(config: BanditConfig) -> tuple[list[_Scope], list[_Scope]]:
    """Constraints with a schedule or a condition, and those that limit repetition; remembered with it."""
    found: tuple[list[_Scope], list[_Scope]] | None = config.__dict__.get("constraints")
    if found is None:
        scopes = [_Scope(each) for each in config.constraints]
        found = config.__dict__["constraints"] = (
            [s for s in scopes if s.constraint.schedule or s.constraint.eligible_if],
            [s for s in scopes if s.constraint.cap or s.constraint.in_a_row],
        )
    return found


def _untimely(scopes: Sequence[_Scope], situation: Situation) -> _Barred:
    barred = _Barred()
    for scope in scopes:
        if not situation.fits(scope.constraint.schedule, scope.constraint.eligible_if):
            barred.actions |= scope.actions
            barred.segments |= scope.segments
            barred.everything |= scope.everything
    return barred


def _too_often(scopes: Sequence[_Scope], seen: Seen) -> _Barred:
    barred = _Barred()
    for scope in scopes:
        if (cap := scope.constraint.cap) is not None:
            key = window(cap.seconds)
            actions = {a for a, shown in seen.actions.get(key, {}).items() if shown >= cap.times}
            segments = {s for s, shown in seen.segments.get(key, {}).items() if shown >= cap.times}
            _bar(barred, scope, actions, segments)
        if (most := scope.constraint.in_a_row) is not None:
            actions = {seen.action[0]} if seen.action and seen.action[1] >= most else set()
            segments = {seen.segment[0]} if seen.segment and seen.segment[1] >= most else set()
            _bar(barred, scope, actions, segments)
    return barred


def _bar(barred: _Barred, scope: _Scope, actions: set[str], segments: set[str]) -> None:
    barred.actions |= actions if scope.everything else actions & scope.actions
    barred.segments |= segments & scope.segments


def _baseline(config: BanditConfig, actions: Sequence[Action], positions: Sequence[int]) -> list[int]:
    """Its position alone, where it is among these."""
    return [i for i in positions if actions[i].action_id == config.baseline_action]


def _nothing_left() -> NoReturn:
    raise InvalidInputError(
        "actions: expected the baseline action, or one that may be offered to this context now by schedules "
        "and conditions, got neither; send the baseline action with the others, and do not exclude it.",
        target="actions",
    )


def baseline_index(actions: Sequence[Action], baseline_action: str | None) -> int:
    """Index of the baseline among the eligible actions; the first one when it is not among them.

    >>> baseline_index([Action(action_id="a"), Action(action_id="b")], "b")
    1
    """
    return next((i for i, action in enumerate(actions) if action.action_id == baseline_action), 0)


def servable(config: BanditConfig) -> list[Action]:
    """The actions of the catalogue that are enabled and not killed, in their order."""
    actions, segments = set(config.killed_actions), set(config.killed_segments)
    return [
        action
        for action in config.actions
        if action.enabled and action.action_id not in actions and action.segment not in segments
    ]
