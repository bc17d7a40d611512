"""Rounds by action, by segment and by day: what was chosen, what it earned, what the target makes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from simulations.columns.exact import Floats, exact_sums_by, number
from simulations.columns.rounds import Rounds
from simulations.diagnostics.calibration import check
from simulations.diagnostics.diagnosis import Breakdown, Check, Expected, Group
from simulations.diagnostics.flat import Codes, Flat, Indices
from simulations.diagnostics.keyed import Keyed
from simulations.diagnostics.wagers import STAKES, p_value

#: Of every group: rounds, then exact sums of reward, weight, weight times reward and target probability.
_ROUNDS, _REWARD, _WEIGHT, _EARNED, _TARGET = range(5)
GROUP_SIZE = 5
#: Of an action also: offers; of rounds whose distribution is logged: offers, choices, and exact sums of
#: probabilities and of variances; exact sums of the target's probability in the other rounds, of rewards'
#: absolute values and of 1 / probability where it was chosen; gamblers' capitals.
_OFFERS, _KNOWN_OFFERS, _KNOWN_CHOICES, _EXPECTED, _VARIANCE = range(5, 10)
_UNKNOWN_TARGET, _ABSOLUTE, _INVERSE, _CAPITALS = range(10, 14)
ACTION_SIZE = _CAPITALS + len(STAKES)


def by_segment(flat: Flat, rounds: Rounds) -> Keyed:
    """By segment of the chosen action; the target's probability is that of all actions of the segment."""
    chosen = flat.segment.codes[flat.chosen]
    return _keyed(flat.segment, _group_columns(chosen, rounds, flat.segment, flat.target))


def by_day(flat: Flat, rounds: Rounds) -> Keyed:
    """By day, in UTC."""
    ones = np.ones(len(rounds))
    return _keyed(flat.day, _group_columns(flat.day.codes, rounds, flat.day, ones), days=True)


def by_action(flat: Flat, rounds: Rounds) -> Keyed:
    """By chosen action, with what tests of its logged probability need."""
    size, codes = len(flat.action.names), flat.action.codes
    chosen = codes[flat.chosen]
    known = ~np.isnan(flat.pmf)
    pmf = flat.pmf[known]
    inverse = 1.0 / rounds.probability
    columns = _group_columns(chosen, rounds, flat.action, flat.target)
    columns += [
        np.bincount(codes, minlength=size).tolist(),
        np.bincount(codes[known], minlength=size).tolist(),
        np.bincount(chosen[known[flat.chosen]], minlength=size).tolist(),
        exact_sums_by(codes[known], size, pmf),
        exact_sums_by(codes[known], size, pmf * (1.0 - pmf)),
        exact_sums_by(codes[~known], size, flat.target[~known]),
        exact_sums_by(chosen, size, np.abs(rounds.reward)),
        exact_sums_by(chosen, size, inverse),
    ]
    # Staked on choices / probability: on average 1 for each offer that can be chosen.
    grown = [np.log1p(stake * (inverse - 1.0)) - np.log1p(-stake) for stake in STAKES]
    columns += [exact_sums_by(chosen, size, each) for each in grown]
    return _keyed(flat.action, columns)


def _group_columns(code: Indices, rounds: Rounds, names: Codes, target: Floats) -> list[list[int]]:
    size = len(names.names)
    earned = rounds.weight * rounds.reward
    sums = [exact_sums_by(code, size, column) for column in (rounds.reward, rounds.weight, earned)]
    return [np.bincount(code, minlength=size).tolist(), *sums, exact_sums_by(names.codes, size, target)]


def _keyed(names: Codes, columns: Sequence[Sequence[int]], *, days: bool = False) -> Keyed:
    rows = dict(zip(names.names, zip(*columns, strict=True), strict=True))
    return Keyed.of(rows, size=len(columns), days=days)


def breakdown(keyed: Keyed) -> Breakdown:
    """Largest groups first, days in their order."""
    count = max(keyed.total[_ROUNDS], 1)
    groups = [_group(name, sums, count) for name, sums in sorted(keyed.sums.items())]
    if not keyed.days:
        groups.sort(key=lambda group: -max(group.logged_share, group.target_share))
    other = keyed.other
    return Breakdown(groups=groups, other=_group("all others", other, count) if any(other) else None)


def _group(name: str, sums: Sequence[int], count: int) -> Group:
    rounds = sums[_ROUNDS]
    return Group(
        name=name,
        rounds=rounds,
        mean_reward=number(sums[_REWARD]) / rounds if rounds else None,
        mean_weight=number(sums[_WEIGHT]) / rounds if rounds else None,
        contribution=number(sums[_EARNED]) / count,
        logged_share=rounds / count,
        target_share=number(sums[_TARGET]) / count,
    )


def expected(keyed: Keyed) -> list[Expected]:
    """Of each action, from rounds whose distribution is logged."""
    return [
        Expected(
            name=name,
            offers=sums[_KNOWN_OFFERS],
            expected=number(sums[_EXPECTED]),
            chosen=sums[_KNOWN_CHOICES],
            deviation=number(sums[_VARIANCE]) ** 0.5,
        )
        for name, sums in sorted(keyed.sums.items())
        if sums[_KNOWN_OFFERS]
    ]


def calibration_check(keyed: Keyed) -> Check | None:
    """Was each action chosen as often as its probabilities say?"""
    return check("choices by action", expected(keyed))


def inverse_check(keyed: Keyed) -> Check | None:
    """Do choices / probability of each action sum to no more than its offers?"""
    if not keyed.sums:
        return None
    found = [(_inverse_p(sums), name) for name, sums in sorted(keyed.sums.items())]
    p, name = min(found)
    mean = number(keyed.sums[name][_INVERSE]) / keyed.sums[name][_OFFERS]
    return Check(
        name="choices / probability, by action",
        p_value=min(1.0, len(found) * p),
        off=max(mean - 1.0, 0.0),
        finding=f"{name}: expected at most 1 for each offer, found {mean:.3g}",
    )


def _inverse_p(sums: Sequence[int]) -> float:
    offers = sums[_OFFERS]
    capitals = zip(STAKES, sums[_CAPITALS:], strict=True)
    return p_value([number(capital) + offers * math.log1p(-stake) for stake, capital in capitals])


def never_logged(keyed: Keyed) -> float:
    """Sum of the target's probabilities of actions never chosen, over rounds without a distribution."""
    return number(sum(sums[_UNKNOWN_TARGET] for sums in keyed.sums.values() if not sums[_ROUNDS]))


def never_chosen_share(keyed: Keyed) -> float | None:
    """Share of all reward, in absolute value, on actions that the target never chooses; None: no reward."""
    never = sum(sums[_ABSOLUTE] for sums in keyed.sums.values() if not sums[_TARGET])
    return never / keyed.total[_ABSOLUTE] if keyed.total[_ABSOLUTE] else None
