"""The plots of a sweep: candidates one below the other, with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from simulations.evaluation.values import Estimate
from simulations.report.svg import CHARACTER, WIDTH, Scale, below, circle, cut, frame, line, text
from simulations.sweeping.ranking import Ranked

#: More candidates are in the table.
MOST = 40
_NAME, _ROW, _TOP = 44, 24, 30
_RIGHT = WIDTH - 22


def forest(
    name: str,
    title: str,
    candidates: Sequence[Ranked],
    of: Callable[[Ranked], Estimate | None],
    *,
    unit: str,
    compared_with: float | None,
    compared_name: str,
) -> Markup:
    """Dots with intervals in the order of the ranking; grey: shown to be worse than the best."""
    shown = [(each, found) for each in candidates[:MOST] if each.rank and (found := of(each)) is not None]
    ends = [end for _, found in shown for end in (found.value, found.low, found.high) if end is not None]
    ends += [compared_with] if compared_with is not None else []
    left = min(max((len(_label(each)) for each, _ in shown), default=4), _NAME + 4) * CHARACTER + 30
    scale = Scale.around(ends, left, _RIGHT)
    bottom = _TOP + _ROW * max(len(shown), 1)
    parts = [below(scale, _TOP, bottom, unit)]
    if compared_with is not None:
        at = scale(compared_with)
        parts.append(line(at, _TOP - 4, at, bottom, "compared"))
        parts.append(_word(at, compared_name))
    parts += [
        _row(each, found, scale, _TOP + _ROW * (index + 0.5), left)
        for index, (each, found) in enumerate(shown)
    ]
    said = "; ".join(f"{each.name}: {_numbers(found)}" for each, found in shown)
    return frame(name, title, said or "No candidates.", bottom + 46, parts)


def _row(each: Ranked, found: Estimate, scale: Scale, y: float, left: float) -> Markup:
    look = "" if each.may_be_best else " logged"
    parts = [text(left - 14, y + 4, _label(each), "name end")]
    if found.low is not None and found.high is not None:
        parts.append(line(scale(found.low), y, scale(found.high), y, f"whisker{look}"))
        parts += [
            line(scale(end), y - 4, scale(end), y + 4, f"whisker{look}") for end in (found.low, found.high)
        ]
    if found.value is not None:
        parts.append(circle(scale(found.value), y, 4.5, f"dot{look}"))
    return Markup("").join(parts)


def _label(each: Ranked) -> str:
    return f"{each.rank}. {cut(each.name, _NAME)}"


def _word(at: float, words: str) -> Markup:
    # Words that would leave the plot stand at the other side of their line.
    if at + len(words) * CHARACTER < WIDTH:
        return text(at + 5, _TOP - 10, words, "label")
    return text(at - 5, _TOP - 10, words, "label end")


def _numbers(found: Estimate) -> str:
    said = "undefined" if found.value is None else f"{found.value:.4g}"
    if found.low is not None and found.high is not None:
        said += f", from {found.low:.4g} to {found.high:.4g}"
    return said
