"""What may be chosen at all: switched on, not excluded, in time, fitting the context, not shown too often."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NoReturn

from bandit.errors import InvalidInputError
from bandit.situation import Situation
from bandit.steering import Constraint, Seen, window
from bandit.types import Action, BanditConfig, DecisionInput


class _Scope:
    """A constraint with the names it is about as sets; about every action where it names none."""

    def __init__(self, constraint: Constraint, of_segments: Sequence[str] = ()) -> None:
        self.constraint = constraint
        self.actions = frozenset([*constraint.actions, *of_segments])
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
        killed = _killed(config)
        left = _Barred([*excluded, *killed], config.killed_segments).left(actions, left)
    if not left:
        raise InvalidInputError(
            "excluded_actions: expected at least one enabled action to remain that is not killed, got none; "
            "enable an action, exclude fewer or lift a kill.",
            target="excluded_actions",
        )
    return left


def _killed(config: BanditConfig) -> list[str]:
    """The killed actions, and those of the catalogue whose segments are killed; remembered with it."""
    found: list[str] | None = config.__dict__.get("killed")
    if found is None:
        of_segments = _of_segments(config, config.killed_segments)
        found = config.__dict__["killed"] = [*config.killed_actions, *of_segments]
    return found


def _of_segments(config: BanditConfig, segments: Sequence[str]) -> list[str]:
    """Ids of the catalogue's actions of these segments: a request may leave out their label."""
    named = set(segments)
    return [action.action_id for action in config.actions if action.segment in named] if named else []


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
    untimely = [s for s in hard if not situation.fits(s.constraint.schedule, s.constraint.eligible_if)]
    fitting = _barring(untimely).left(actions, positions)
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
        found = config.__dict__["constraints"] = (
            [
                _Scope(each, _of_segments(config, each.segments))
                for each in config.constraints
                if each.schedule or each.eligible_if
            ],
            [_Scope(each) for each in config.constraints if each.cap or each.in_a_row],
        )
    return found


def _barring(scopes: Iterable[_Scope]) -> _Barred:
    """All that these are about."""
    barred = _Barred()
    for scope in scopes:
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
        "and conditions, got neither; send the baseline action with the others, and do not exclude it. Where "
        "it is killed, revive it or add an action without schedule and condition.",
        target="actions",
    )


def baseline_index(config: BanditConfig, actions: Sequence[Action]) -> int:
    """Index of the baseline among these actions.

    Where it is not among them, say because it is killed, it is the first one that may be served to anybody,
    or else the first one.

    >>> adults = Constraint(name="adults", actions=["b"], eligible_if="context.age >= 18")
    >>> actions = [Action(action_id=name) for name in "abc"]
    >>> config = BanditConfig(actions=actions, baseline_action="a", constraints=[adults])
    >>> baseline_index(config, actions), baseline_index(config, actions[1:])
    (0, 1)
    """
    named = (i for i, action in enumerate(actions) if action.action_id == config.baseline_action)
    return next(named, next(iter(unconditional(config, actions)), 0))


def unconditional(config: BanditConfig, actions: Sequence[Action]) -> list[int]:
    """Positions of the actions that stand under no schedule and no condition, in their order."""
    positions = list(range(len(actions)))
    hard, _ = _scopes(config)
    return _barring(hard).left(actions, positions)


def servable(config: BanditConfig) -> list[Action]:
    """The actions of the catalogue that are enabled and not killed, in their order."""
    actions, segments = set(config.killed_actions), set(config.killed_segments)
    return [
        action
        for action in config.actions
        if action.enabled and action.action_id not in actions and action.segment not in segments
    ]
