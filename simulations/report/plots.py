"""The plots of a report."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from simulations.diagnostics.diagnosis import Bar, Breakdown, Expected, Group
from simulations.evaluation.values import ConfidenceSequence, Estimate
from simulations.report.svg import (
    CHARACTER,
    WIDTH,
    Scale,
    Writer,
    bar,
    below,
    beside,
    circle,
    cut,
    frame,
    line,
    path,
    text,
    tick,
)
from simulations.report.words import earned, short

_RIGHT = WIDTH - 22
#: A name, and a figure of the log and of the target.
Pair = tuple[str, float, float]
#: Bars beyond that many are for the table.
MOST_BARS = 15
#: A name beside a plot is cut to so many characters.
_NAME = 26


def intervals(
    name: str,
    title: str,
    estimates: Sequence[Estimate],
    *,
    unit: str,
    compared_with: float | None = None,
    compared_name: str = "",
) -> Markup:
    """Estimates with their intervals, one below the other, and a vertical line to compare them with."""
    shown = [each for each in estimates if each.value is not None]
    ends = [end for each in shown for end in (each.value, each.low, each.high) if end is not None]
    ends += [compared_with] if compared_with is not None else []
    left = _room([each.estimator for each in shown])
    scale = Scale.around(ends, left, _RIGHT)
    top, bottom = 26, 26 + 34 * max(len(shown), 1)
    parts = [below(scale, top, bottom, unit)]
    if compared_with is not None:
        parts.append(line(scale(compared_with), top - 4, scale(compared_with), bottom, "compared"))
        parts.append(_beside_line(scale, compared_with, top - 10, compared_name))
    for index, each in enumerate(shown):
        parts.append(_whisker(each, scale, top + 17 + 34 * index, left))
    return frame(name, title, _said(shown), bottom + 46, parts)


def _whisker(each: Estimate, scale: Scale, y: float, left: float) -> Markup:
    assert each.value is not None  # noqa: S101 only such are shown
    parts = [text(left - 14, y + 4, cut(each.estimator, _NAME), "name end")]
    if each.low is not None and each.high is not None:
        parts.append(line(scale(each.low), y, scale(each.high), y, "whisker"))
        parts += [line(scale(end), y - 5, scale(end), y + 5, "whisker") for end in (each.low, each.high)]
    parts.append(circle(scale(each.value), y, 5, "dot"))
    return Markup("").join(parts)


def _said(estimates: Sequence[Estimate]) -> str:
    said = [
        f"{each.estimator}: {short(each.value)}, from {short(each.low)} to {short(each.high)}"
        for each in estimates
    ]
    return "; ".join(said) or "No estimates."


def _room(names: Sequence[str]) -> float:
    longest = max((min(len(name), _NAME) for name in names), default=4)
    return max(longest * CHARACTER + 30, 90)


def _beside_line(scale: Scale, value: float, y: float, words: str) -> Markup:
    # Words that would leave the plot stand at the other side of their line.
    fits = scale(value) + len(words) * CHARACTER < WIDTH
    return text(scale(value) + (5 if fits else -5), y, words, "label" if fits else "label end")


def over_time(name: str, title: str, sequence: ConfidenceSequence) -> Markup:
    """A confidence sequence: the band, and the estimate in it."""
    peeks, last = sequence.peeks, sequence.peeks[-1]
    left, top, bottom = 64, 40, 270
    wide = Scale.around([0.0, float(last.rounds)], left, _RIGHT, margin=0.0)
    # The first intervals are so wide that nothing else could be seen: they leave the plot.
    late = [peek for peek in peeks if peek.rounds >= last.rounds / 10]
    ends = [end for peek in late for end in (peek.low, peek.high)]
    high = Scale.around([*ends, *_given(sequence.compared_with)], bottom, top)
    places = [wide(peek.rounds) for peek in peeks]
    lows, middles, highs = (
        list(zip(places, [high(min(max(each, high.low), high.high)) for each in column], strict=True))
        for column in zip(*((peek.low, peek.estimate, peek.high) for peek in peeks), strict=True)
    )
    parts = [beside(high, left, _RIGHT, sequence.label), below(wide, bottom, bottom, "rounds")]
    parts.append(path([*lows, *reversed(highs)], "band", closed=True))
    parts += [
        line(left, high(each), _RIGHT, high(each), "compared") for each in _given(sequence.compared_with)
    ]
    parts.append(path(middles, "course"))
    said = f"After {last.rounds:,} rounds {last.estimate:.4g}, from {last.low:.4g} to {last.high:.4g}."
    return frame(name, title, said, bottom + 46, parts)


def _given(value: float | None) -> list[float]:
    return [] if value is None else [value]


def weights(name: str, title: str, bars: Sequence[Bar]) -> Markup:
    """How many rounds have which weight; heights are logarithmic, so that single rounds can be seen."""
    left, top, bottom = 64, 40, 240
    most = max((each.count for each in bars), default=1)
    high = Scale(low=0.0, high=math.log10(most) + 0.35, start=bottom, end=top)
    step = (_RIGHT - left) / max(len(bars), 1)
    every = math.ceil(len(bars) / 14)
    parts = [_powers_of_ten(high, most, left)]
    for index, each in enumerate(bars):
        x = left + step * index
        if index % every == 0:
            parts.append(text(x + step / 2, bottom + 17, _power(each.low), "tick middle"))
        if each.count:
            # Lines of one round start .15 above the base, so that one round has a height.
            y = high(math.log10(each.count) + 0.15)
            parts.append(bar(x + step * 0.12, y, step * 0.76, bottom - y, "bar"))
    parts.append(line(left, bottom, _RIGHT, bottom, "base"))
    parts.append(text((left + _RIGHT) / 2, bottom + 37, "weight, from this to twice as much", "label middle"))
    said = "; ".join(f"{each.count:,} of {each.low:g} to {each.high:g}" for each in bars if each.count)
    return frame(name, title, said, bottom + 46, parts)


def _power(weight: float) -> str:
    return f"1/{1.0 / weight:,.0f}" if 0.0 < weight < 1.0 else tick(weight)


def _powers_of_ten(high: Scale, most: int, left: float) -> Markup:
    parts = [text(left - 40, high.end - 14, "rounds, logarithmic", "label")]
    for power in range(int(math.log10(most)) + 1):
        y = high(power + 0.15)
        parts += [line(left, y, _RIGHT, y, "grid"), text(left - 8, y + 4, f"{10**power:,}", "tick end")]
    return Markup("").join(parts)


def calibration(name: str, title: str, found: Sequence[Expected]) -> Markup:
    """Share chosen against mean probability, with two standard deviations; on the diagonal they agree."""
    left, top, bottom, right = 200, 40, 360, 520
    shares = [(each.expected / each.offers, each.chosen / each.offers) for each in found]
    most = max((max(pair) for pair in shares), default=1.0)
    wide = Scale(low=0.0, high=most * 1.06, start=left, end=right)
    high = Scale(low=0.0, high=most * 1.06, start=bottom, end=top)
    parts = [beside(high, left, right, "share chosen"), below(wide, top, bottom, "mean logged probability")]
    parts.append(line(left, bottom, right, top, "compared"))
    for each, (x, y) in zip(found, shares, strict=True):
        spread = 2.0 * each.deviation / each.offers
        ends = high(max(x - spread, 0.0)), high(min(x + spread, high.high))
        parts += [line(wide(x), ends[0], wide(x), ends[1], "spread"), circle(wide(x), high(y), 5, "dot")]
    said = "; ".join(f"{each.name}: expected {each.expected:.1f}, chosen {each.chosen}" for each in found)
    return frame(name, title, said, bottom + 46, parts)


def shares(name: str, title: str, breakdown: Breakdown) -> Markup:
    """How often the log and the target choose each group."""
    pairs = [(group.name, group.logged_share, group.target_share) for group in breakdown.groups]
    return _pairs(name, title, pairs, "share of rounds", lambda share: f"{100 * share:g} %")


def earnings(name: str, title: str, breakdown: Breakdown) -> Markup:
    """What a round of each group earned in the log, and would have earned under the target (by IPS)."""
    groups = [group for group in breakdown.groups if group.rounds]
    pairs = [(group.name, group.mean_reward or 0.0, earned(group)) for group in groups]
    return _pairs(name, title, pairs, "mean reward of a round", tick)


def _pairs(name: str, title: str, pairs: Sequence[Pair], unit: str, write: Writer) -> Markup:
    # Two bars for each: of the log and of the target.
    pairs = pairs[:MOST_BARS]
    left, top = _room([pair[0] for pair in pairs]), 30
    scale = Scale.around([0.0, *(end for pair in pairs for end in pair[1:])], left, _RIGHT, margin=0.0)
    bottom = top + 34 * max(len(pairs), 1)
    parts = [below(scale, top, bottom, unit, write), _key(left)]
    for index, (group, logged, target) in enumerate(pairs):
        y = top + 34 * index
        parts.append(text(left - 10, y + 21, cut(group, _NAME), "name end"))
        for value, place, look in ((logged, y + 5, "bar logged"), (target, y + 17, "bar")):
            ends = sorted((scale(0.0), scale(value)))
            parts.append(bar(ends[0], place, ends[1] - ends[0], 11, look))
    said = "; ".join(
        f"{group}: log {short(logged)}, target {short(target)}" for group, logged, target in pairs
    )
    return frame(name, title, said, bottom + 46, parts)


def _key(left: float) -> Markup:
    return Markup("").join(
        [
            bar(left, 6, 11, 11, "bar logged"),
            text(left + 17, 16, "log", "label"),
            bar(left + 60, 6, 11, 11, "bar"),
            text(left + 77, 16, "target", "label"),
        ]
    )


def days(name: str, title: str, breakdown: Breakdown) -> Markup:
    """By day: what a round of the log earned, and what one would have earned under the target (by IPS)."""
    groups = [group for group in breakdown.groups if group.rounds and group.mean_reward is not None]
    left, top, bottom = 64, 48, 250
    logged = [group.mean_reward or 0.0 for group in groups]
    target = [earned(group) for group in groups]
    high = Scale.around([0.0, *logged, *target], bottom, top, margin=0.05)
    step = (_RIGHT - left) / max(len(groups), 1)
    places = [round(left + step * (index + 0.5), 2) for index in range(len(groups))]
    parts = [beside(high, left, _RIGHT, ""), _key(left)]
    for values, look in ((logged, "logged"), (target, "")):
        points = [(x, high(value)) for x, value in zip(places, values, strict=True)]
        parts.append(path(points, f"course {look}"))
        parts += [circle(x, y, 3.5, f"dot {look}") for x, y in points] if len(points) <= 31 else []
    every = max(1, math.ceil(len(groups) / 7))
    named = list(zip(places, groups, strict=True))[::every]
    parts += [text(x, bottom + 17, group.name, "tick middle") for x, group in named]
    parts.append(text((left + _RIGHT) / 2, bottom + 37, "day (UTC); mean reward of a round", "label middle"))
    return frame(name, title, _days_said(groups, target), bottom + 46, parts)


def _days_said(groups: Sequence[Group], target: Sequence[float]) -> str:
    pairs = zip(groups, target, strict=True)
    return "; ".join(
        f"{group.name}: log {short(group.mean_reward)}, target {value:.4g}" for group, value in pairs
    )
