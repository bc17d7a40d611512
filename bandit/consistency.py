"""Whether what owners steer by contradicts itself, found before it is in force."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NoReturn

from bandit import rules
from bandit.bounds import Limits, highest, lowest
from bandit.errors import InvalidInputError
from bandit.situation import zone
from bandit.steering import Constraint, Schedule
from bandit.types import Action, BanditConfig

#: Shares that are meant to sum to 1 may miss it by their rounding.
_ROUNDING = 1e-9


def check(config: BanditConfig) -> None:
    """Refuse constraints, boosts and kills that can never be as they say, over the enabled catalogue.

    The baseline is named. Ids that are not in the catalogue are fine: requests may bring their own actions.

    Raises:
        InvalidInputError: naming the field.
    """
    if zone(config.time_zone.default) is None:
        _refuse(
            "time_zone.default",
            f"expected an IANA time zone such as Europe/Berlin, got {config.time_zone.default!r}",
        )
    baseline = next(a for a in config.actions if a.action_id == config.baseline_action)
    _unique("constraints", [each.name for each in config.constraints])
    _unique("boosts", [each.name for each in config.boosts])
    for index, constraint in enumerate(config.constraints):
        _constraint(f"constraints[{index}]", constraint, baseline)
    for index, boost in enumerate(config.boosts):
        if boost.if_ is not None:
            rules.check(boost.if_, f"boosts[{index}].if")
        if boost.schedule is not None:
            _schedule(f"boosts[{index}].schedule", boost.schedule)
    enabled = [action for action in config.actions if action.enabled]
    killed, segments = set(config.killed_actions), set(config.killed_segments)
    if all(action.action_id in killed or action.segment in segments for action in enabled):
        _refuse(
            "killed_segments" if segments else "killed_actions",
            "expected at least one enabled action that is not killed, got none; pause the bandit instead",
        )
    _shares(config, enabled)


def _constraint(target: str, given: Constraint, baseline: Action) -> None:
    clauses = (given.floor, given.ceiling, given.schedule, given.eligible_if, given.cap, given.in_a_row)
    if all(clause is None for clause in clauses):
        _refuse(
            target,
            "expected at least one of floor, ceiling, schedule, eligible_if, cap and in_a_row, got none",
        )
    if given.floor is not None and given.ceiling is not None and given.floor > given.ceiling:
        _refuse(f"{target}.floor", f"expected at most the ceiling, {given.ceiling}, got {given.floor}")
    if given.schedule is not None:
        _schedule(f"{target}.schedule", given.schedule)
    if given.eligible_if is not None:
        rules.check(given.eligible_if, f"{target}.eligible_if")
    everything = not (given.actions or given.segments)
    named = baseline.action_id in given.actions or baseline.segment in given.segments
    if (given.schedule or given.eligible_if) and (everything or named):
        _refuse(
            f"{target}.schedule" if given.schedule else f"{target}.eligible_if",
            "expected a constraint that leaves the baseline action alone, which is served where nothing else "
            f"may be, got one about {baseline.action_id!r}; name others, or make another one the baseline",
        )


def _schedule(target: str, given: Schedule) -> None:
    if given.from_ is None and given.until is None and given.hours is None and not given.weekdays:
        _refuse(target, "expected at least one of from, until, hours and weekdays, got none")
    if given.from_ is not None and given.until is not None and given.from_ >= given.until:
        _refuse(f"{target}.until", f"expected a time after `from`, got {given.until.isoformat()}")
    if given.hours is not None and given.hours in {(h, h) for h in given.hours} | {(24.0, 0.0)}:
        _refuse(f"{target}.hours", f"expected two different hours such as [9, 17.5], got {list(given.hours)}")


def _shares(config: BanditConfig, enabled: Sequence[Action]) -> None:
    limits = Limits(config)
    asked = limits.asked(enabled, exploration=0.0)
    for action, floor, ceiling in zip(enabled, asked.floors, asked.ceilings, strict=True):
        if floor > ceiling:
            _refuse(
                "constraints",
                f"expected the floor of action {action.action_id!r} to be at most its ceiling, {ceiling}, "
                f"over all constraints, got {floor}",
            )
    for members, floor, ceiling in asked.groups:
        least = max(floor, math.fsum(asked.floors[i] for i in members))
        most = min(ceiling, math.fsum(asked.ceilings[i] for i in members))
        if least > most + _ROUNDING:
            _refuse(
                "constraints",
                f"expected the floors in segment {enabled[members[0]].segment!r} to be at most its ceilings, "
                f"{most:g} together, got {least:g}",
            )
    if (most := highest(asked)) < 1.0 - _ROUNDING:
        _refuse(
            "constraints",
            f"expected ceilings that sum to at least 1, got {most:g}; raise one, or leave an action without",
        )
    explored = limits.asked(enabled, config.exploration_floor)
    kept = explored._replace(floors=list(map(min, explored.floors, explored.ceilings)))
    if (least := lowest(kept)) > 1.0 + _ROUNDING:
        _refuse(
            "constraints",
            "expected floors that sum to at most 1, with a part of exploration_floor for every other action, "
            f"got {least:g}; lower some",
        )


def _unique(target: str, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            _refuse(target, f"expected each name once, got {name!r} more than once")


def _refuse(target: str, problem: str) -> NoReturn:
    raise InvalidInputError(f"{target}: {problem}.", target=target)
