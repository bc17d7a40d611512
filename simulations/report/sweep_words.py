"""What a sweep says in words, in the terminal and on the page alike."""

from __future__ import annotations

from scipy.special import ndtri

from simulations.report.words import figure, percent, places
from simulations.sweeping.ranking import Ranked
from simulations.sweeping.sweep import Sweep


def adjusted(found: Sweep) -> str:
    """What the intervals mean, and what that costs."""
    own = _wider(found.value_level, found.level)
    bonferroni = _wider(found.bonferroni_level, found.level)
    return (
        f"All intervals of a column hold at once with {percent(found.level)} confidence, so that of the "
        f"candidate that looks best does too, though it was chosen by its luck as well. For that they are "
        f"{own} wider than single ones would be; by Bonferroni's rule, which does not count how alike the "
        f"candidates are, {bonferroni}. Which may be the best is said with the same confidence, by "
        "comparing candidates on the same rounds: that tells more than whether their intervals overlap."
    )


def reference(found: Sweep) -> str:
    """What the reference earns."""
    own = found.reference_value
    digits = places([own])
    between = f"{figure(own.low, digits)} to {figure(own.high, digits)}, by itself"
    return f"The reference, {found.reference}, earns {figure(own.value, digits)} a round ({between})."


def best(ranked: Ranked) -> str:
    """Whether it is the best, as far as that is shown."""
    if ranked.rank is None:
        return "cannot be judged"
    if not ranked.may_be_best:
        return "no: shown worse"
    shown = ranked.against_best is not None and ranked.against_best.low == 0.0
    return "yes: shown better" if shown else "maybe"


def left_out(found: Sweep) -> str:
    """Which rows did not count."""
    said = ", ".join(f"{cause}: {count:,}" for cause, count in found.excluded.items())
    return f"Rows left out: {said or 'none'}."


def warnings(found: Sweep) -> list[str]:
    """Of all candidates, and of how many each."""
    by_words: dict[str, list[str]] = {}
    for each in found.candidates:
        for words in [*each.verdict.warnings, *(each.verdict.reasons if each.rank is None else [])]:
            by_words.setdefault(words, []).append(each.name)
    return [f"{_whose(names, len(found.candidates))}: {words}" for words, names in by_words.items()]


def _whose(names: list[str], count: int) -> str:
    if len(names) == count > 1:
        return "All candidates"
    return "; ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _wider(level: float, single: float) -> str:
    return percent(float(ndtri((1.0 + level) / 2.0) / ndtri((1.0 + single) / 2.0)) - 1.0)
