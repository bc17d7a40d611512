"""From what an estimator has seen to what a report says of it."""

from __future__ import annotations

from collections.abc import Sequence

from simulations.estimators.contract import Estimator
from simulations.estimators.named import estimator
from simulations.evaluation.evidence import Seen
from simulations.evaluation.values import Estimate
from simulations.intervals import Interval, nothing_known
from simulations.intervals.choose import interval
from simulations.intervals.delta import Spread, clustered
from simulations.intervals.paired import Difference
from simulations.tuning import LIMITS
from simulations.tuning.slope import slope

_LIMITED = "biased by its limit"
#: What readers of an estimate must know; more in docs/evaluation.md.
_NOTES = {
    "dm": "a model's word only",
    **dict.fromkeys(("clipped_ips", "clipped_dr", "switch_dr", "dros"), _LIMITED),
    **dict.fromkeys(("sg_ips", "sg_dr"), "biased by its shrinkage"),
    "mips": "if a segment says all",
}


def candidates(family: str) -> list[Estimator]:
    """The estimators of a family that tuning chooses from, the least biased first.

    Raises:
        InvalidInputError: it has no limit.

    >>> [each.name for each in candidates("dros")][-2:]
    ['dros(limit=2)', 'dros(limit=1)']
    """
    return [estimator(f"{family}:limit={limit:g}") for limit in LIMITS]


def presented(seen: Seen, level: float) -> Interval:
    """The interval of a value or a difference; of a model's word alone nothing is known."""
    if name(seen) == "dm":
        return nothing_known(level)
    return interval(seen.running, seen.rewarded, level=level, spread=spread(seen))


def spread(seen: Seen) -> Spread | None:
    """By subject, where subjects have several rounds; None: rounds are independent."""
    if seen.buckets is None:
        return None
    counts, sums = seen.buckets.totals
    return clustered(seen.running.estimator, sums, counts)


def estimate(seen: Seen, level: float) -> Estimate:
    """What one estimator says."""
    found = presented(seen, level)
    return Estimate(
        estimator=name(seen),
        value=seen.running.value,
        standard_error=(spread(seen) or seen.running).standard_error,
        low=found.low,
        high=found.high,
        method=found.method if seen.buckets is None else f"{found.method}, by subject",
        note=_NOTES.get(name(seen).partition("(")[0], ""),
    )


def tuned(seen: Sequence[Seen], untuned: Seen, level: float) -> Estimate:
    """The one of a family's `candidates` that SLOPE chooses, with an interval that allows for the choice."""
    found = slope(
        [each.running for each in seen],
        untuned.running,
        presented(untuned, level),
        level=level,
        spreads=[spread(each) for each in seen],
    )
    chosen = next(each for each in seen if each.running is found.chosen)
    return Estimate(
        estimator=f"{name(chosen)} by slope",
        value=chosen.running.value,
        standard_error=(spread(chosen) or chosen.running).standard_error,
        low=found.interval.low,
        high=found.interval.high,
        method="slope, holds that of dr",
        note="chosen by the data",
    )


def name(seen: Seen) -> str:
    """Of the estimator; of a difference, that which estimates both."""
    by = seen.running.estimator
    return by.first.name if isinstance(by, Difference) else by.name
