"""A sweep as one page that needs nothing else, in the style of the reports of evaluations."""

from __future__ import annotations

import msgspec

from simulations.report import sweep_plots, sweep_words, words
from simulations.report.html import template
from simulations.sweeping.sweep import Sweep


def to_html(found: Sweep) -> str:
    """The page, in UTF-8. Whatever a log or a name contains is escaped."""
    usable = [each for each in found.candidates if each.rank is not None]
    page = template("sweep.html.j2").render(
        found=found,
        usable=usable,
        first=usable[0] if usable else None,
        value_of=lambda each: each.value,
        ahead_of=lambda each: each.against_best,
        plots=sweep_plots,
        say=sweep_words,
        words=words,
        settings={
            each.name: msgspec.json.encode(each.settings).decode()
            for each in found.candidates
            if each.settings
        },
    )
    return page.strip().encode("utf-8", "replace").decode()  # without lone surrogates
