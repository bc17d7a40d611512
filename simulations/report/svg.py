"""Plots as inline SVG: scales, axes and the frame that makes them readable for screen readers too.

Colours and type come from the page's style sheet, through classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from markupsafe import Markup

from simulations.report.words import printable

WIDTH = 720
#: Writes a value beside an axis.
Writer = Callable[[float], str]
#: A character's width in plots, about.
CHARACTER = 6.6


@dataclass(frozen=True, kw_only=True)
class Scale:
    """From values to places on the page."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], start: float, end: float, margin: float = 0.04) -> Scale:
        """With a margin on both sides; values that are all alike get room too."""
        found = list(values) or [0.0, 1.0]
        low, high = min(found), max(found)
        spare = (high - low) * margin if high > low else abs(high) * 0.1 or 1.0
        return cls(low=low - spare, high=high + spare, start=start, end=end)

    def __call__(self, value: float) -> float:
        """The place of a value."""
        place = self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
        return round(place, 2)

    def ticks(self, about: int = 6) -> list[float]:
        """Round numbers inside.

        >>> Scale(low=0.0, high=0.11, start=0, end=100).ticks()
        [0.0, 0.02, 0.04, 0.06, 0.08, 0.1]
        """
        rough = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(size * power for size in (1.0, 2.0, 5.0, 10.0) if size * power >= rough * 0.8)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(index * step, 12) for index in range(first, last + 1)]


def tick(value: float) -> str:
    """A number beside an axis."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-4):
        return f"{value:.0e}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:g}"


def cut(text: str, most: int) -> str:
    """Not longer than so many characters.

    >>> cut("a long name", 7)
    'a long…'
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def line(x1: float, y1: float, x2: float, y2: float, look: str) -> Markup:
    """A straight one."""
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(x1, y1, x2, y2, look)


def text(x: float, y: float, words: str, look: str) -> Markup:
    """One line of words."""
    return Markup('<text x="{}" y="{}" class="{}">{}</text>').format(x, y, look, printable(words))


def circle(x: float, y: float, radius: float, look: str) -> Markup:
    """A dot."""
    return Markup('<circle cx="{}" cy="{}" r="{}" class="{}"/>').format(x, y, radius, look)


def bar(x: float, y: float, width: float, height: float, look: str) -> Markup:
    """A rectangle."""
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="1.5" class="{}"/>').format(
        x, y, round(max(width, 0.0), 2), round(max(height, 0.0), 2), look
    )


def path(points: Iterable[tuple[float, float]], look: str, *, closed: bool = False) -> Markup:
    """A line through points, or the area inside."""
    joined = " L".join(f"{x} {y}" for x, y in points)
    return Markup('<path d="M{}{}" class="{}"/>').format(joined, " Z" if closed else "", look)


def below(scale: Scale, top: float, bottom: float, label: str, write: Writer = tick) -> Markup:
    """An axis below a plot, with lines up to its top."""
    parts = [line(scale(each), top, scale(each), bottom, "grid") for each in scale.ticks()]
    parts += [text(scale(each), bottom + 17, write(each), "tick middle") for each in scale.ticks()]
    parts.append(text((scale.start + scale.end) / 2, bottom + 37, label, "label middle"))
    return Markup("").join(parts)


def beside(scale: Scale, left: float, right: float, label: str) -> Markup:
    """An axis at the left, with lines across; its label stands above."""
    parts = [line(left, scale(each), right, scale(each), "grid") for each in scale.ticks()]
    parts += [text(left - 8, scale(each) + 4, tick(each), "tick end") for each in scale.ticks()]
    parts.append(text(left - 40, min(scale.start, scale.end) - 14, label, "label"))
    return Markup("").join(parts)


def frame(name: str, title: str, description: str, height: float, parts: Iterable[Markup]) -> Markup:
    """The whole plot; `name` is unique on the page, `description` says in words what it shows."""
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-labelledby="{}-title {}-text">'
        '<title id="{}-title">{}</title><desc id="{}-text">{}</desc>{}</svg>'
    ).format(
        WIDTH,
        height,
        name,
        name,
        name,
        printable(title),
        name,
        printable(description),
        Markup("").join(parts),
    )
