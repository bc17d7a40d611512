"""How figures are written, and what each diagnostic says in words; the same for terminal and page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from simulations.diagnostics.diagnosis import Breakdown, Diagnosis, Group
from simulations.evaluation.values import Estimate
from simulations.evaluation.verdict import ALPHA, FEW_EFFECTIVE, FEWEST_EFFECTIVE, NO_MEAN, TOLERATED, TOP_TEN

State = Literal["good", "doubtful", "bad", "known"]
NOTHING = "-"


class Line(NamedTuple):
    """One diagnostic."""

    name: str
    value: str
    #: What it should be.
    expected: str
    #: "known": there is nothing it should be.
    state: State


def printable(words: str) -> str:
    """Names from a log must not move a terminal's cursor, nor break XML.

    >>> printable("a\x1b[2Jb")
    'a [2Jb'
    """
    return "".join(letter if letter.isprintable() else " " for letter in words)


def figure(value: float | None, places: int) -> str:
    """With so many decimal places.

    >>> figure(0.12345, 3), figure(None, 3), figure(-12345.6, 0)
    ('0.123', '-', '-12,346')
    """
    return NOTHING if value is None else f"{value:,.{places}f}"


def short(value: float | None) -> str:
    """With about four figures.

    >>> short(0.123456), short(12345.6), short(None)
    ('0.1235', '12,346', '-')
    """
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def percent(share: float | None) -> str:
    """A share of 1, with a place more where it is small.

    >>> percent(0.5), percent(0.0123), percent(0.00004), percent(0.0)
    ('50 %', '1.2 %', 'under 0.1 %', '0 %')
    """
    if share is None:
        return NOTHING
    if 0.0 < share < 0.001:
        return "under 0.1 %"
    return f"{100.0 * share:.1f} %" if 0.0 < abs(share) < 0.1 else f"{100.0 * share:.0f} %"


def places(estimates: Iterable[Estimate]) -> int:
    """Decimal places that show two figures of half the narrowest interval, at most 8.

    >>> places([Estimate(estimator="ips", value=0.1, low=0.05, high=0.15, method="")])
    3
    """
    widths = [
        (each.high - each.low) / 2 for each in estimates if each.high is not None and each.low is not None
    ]
    narrowest = min((width for width in widths if width > 0.0), default=0.01)
    return min(max(1 - math.floor(math.log10(narrowest)), 0), 8)


class Row(NamedTuple):
    """A group of a breakdown, each column with as many decimal places as its largest number needs."""

    name: str
    rounds: str
    logged_share: str
    target_share: str
    mean_reward: str
    mean_weight: str
    contribution: str


def rows(breakdown: Breakdown, most: int, *, latest: bool = False) -> list[Row]:
    """The first so many groups, or the last, then the others that were not kept."""
    groups = breakdown.groups[-most:] if latest else breakdown.groups[:most]
    groups = groups + ([breakdown.other] if breakdown.other else [])
    rewards = _column([group.mean_reward for group in groups])
    weights = _column([group.mean_weight for group in groups])
    contributions = _column([group.contribution for group in groups])
    shares = [(f"{100 * group.logged_share:.1f} %", f"{100 * group.target_share:.1f} %") for group in groups]
    return [
        Row(group.name, f"{group.rounds:,}", *share, reward, weight, contribution)
        for group, share, reward, weight, contribution in zip(
            groups, shares, rewards, weights, contributions, strict=True
        )
    ]


def _column(numbers: Sequence[float | None]) -> list[str]:
    largest = max((abs(number) for number in numbers if number), default=1.0)
    fixed = min(max(2 - math.floor(math.log10(largest)), 0), 8)
    return [figure(number, fixed) for number in numbers]


def of_subjects(breakdown: Breakdown) -> bool:
    """Do groups contain whole rounds, so that log and target cannot differ in how often they choose them?"""
    return all(abs(group.logged_share - group.target_share) < 1e-9 for group in breakdown.groups)


def earned(group: Group) -> float:
    """By IPS, what a round of a group of subjects, or of a day, would have earned under the target."""
    return group.contribution / group.logged_share


def lines(found: Diagnosis) -> list[Line]:
    """The diagnostics that are one figure each."""
    return [
        _effective(found),
        Line("Largest weight", short(found.largest_weight), "", "known"),
        _top_ten(found),
        Line("Mean weight", short(found.mean_weight), "1", _check_state(found, "mean weight")),
        Line("Mean of 1 / (K p)", short(found.mean_inverse), "1", _check_state(found, "mean of 1 / (K p)")),
        _pareto(found),
        *_support(found),
        _contradictions(found),
        Line("Reward on rounds of weight 0", percent(found.reward_without_weight), "", "known"),
        Line("Reward on actions never chosen by the target", percent(found.reward_never_chosen), "", "known"),
    ]


def _graded(bad: bool, doubtful: bool) -> State:
    return "bad" if bad else "doubtful" if doubtful else "good"


def _effective(found: Diagnosis) -> Line:
    size = found.effective_sample_size
    state = _graded(size < FEWEST_EFFECTIVE, size < FEW_EFFECTIVE)
    share = percent(size / found.rounds) if found.rounds else NOTHING
    return Line(
        "Effective sample size",
        f"{size:,.0f} ({share} of the rounds)",
        f"{FEW_EFFECTIVE:,.0f} or more",
        state,
    )


def _top_ten(found: Diagnosis) -> Line:
    share = found.top_ten_share
    state: State = "known" if share is None else _graded(False, share > TOP_TEN)
    return Line("Share of value in the top ten weights", percent(share), f"{percent(TOP_TEN)} or less", state)


def _pareto(found: Diagnosis) -> Line:
    expected = f"{found.pareto_limit:.2f} or less"
    if found.pareto_k is None:
        return Line("Pareto k of the weights", "no tail", expected, "good" if found.rounds else "known")
    state = _graded(found.pareto_k > NO_MEAN, found.pareto_k > found.pareto_limit)
    return Line("Pareto k of the weights", f"{found.pareto_k:.2f}", expected, state)


def _support(found: Diagnosis) -> Iterator[Line]:
    support = found.support
    doubtful = support.unsupported_mass > 0.0
    yield Line(
        "Choices that the log cannot know", percent(support.unsupported_mass), "0 %", _graded(False, doubtful)
    )
    yield Line(
        "Rounds with any such choice", percent(support.unsupported_rounds), "0 %", _graded(False, doubtful)
    )
    yield Line("Offers with probability zero", f"{support.zero_probabilities:,}", "", "known")
    known = support.known_share
    share = percent(known) if known == 1.0 else f"{round(known * found.rounds):,} of {found.rounds:,}"
    yield Line("Rounds with the full distribution", share, "100 %", _graded(False, known < 1.0))


def _contradictions(found: Diagnosis) -> Line:
    count = found.contradictions
    state = _graded(count > TOLERATED * found.rounds, count > 0)
    return Line("Rounds whose probability contradicts their distribution", f"{count:,}", "0", state)


def _check_state(found: Diagnosis, name: str) -> State:
    state: State = "known"
    for check in found.checks:
        if check.name == name:
            state = check_state(check.p_value, check.off)
    return state


def check_state(p_value: float, off: float) -> State:
    """Of a check of the logged probabilities."""
    return _graded(p_value < ALPHA and off >= TOLERATED, p_value < ALPHA)


def p_value(value: float) -> str:
    """An upper bound.

    >>> p_value(1.0), p_value(0.04), p_value(1e-12)
    ('1', '0.040', 'below 0.0001')
    """
    return "below 0.0001" if value < 1e-4 else "1" if value >= 1.0 else f"{value:.3f}"
