"""What boosts cost in reward, by a log that says what its distributions would have been without them."""

from __future__ import annotations

from simulations.estimators.snips import SNIPS
from simulations.evaluation.estimates import estimate, presented, spread
from simulations.evaluation.evidence import Evidence, Plan, WarmUp
from simulations.evaluation.values import BoostCost, Estimate
from simulations.evaluation.verdict import Verdict, judge, places_of
from simulations.intervals.rewarded import Usual
from simulations.logs.rows import Log
from simulations.logs.scan import Scan
from simulations.logs.total import Progress, total
from simulations.policies.targets import TheLogged, Unboosted


def boost_cost(log: Log, scan: Scan, level: float, progress: Progress | None = None) -> BoostCost | None:
    """value(unboosted) - value(logged) by all usable rounds of the log; None: none of them was boosted.

    By SNIPS, since both policies agree wherever nothing was boosted, and there it adds no noise. It is what
    boosts cost from round to round; that a model learns other things under them is not in it.
    """
    if not scan.boosted:
        return None
    plan = Plan(
        target=Unboosted(),
        reference=TheLogged(),
        estimators=[SNIPS()],
        clustered=scan.subjects.repeated,
        usual=Usual(*scan.usual),
        warm_up=WarmUp(0),
    )
    evidence = total(log, plan.evidence, Evidence(), progress)
    (difference,) = evidence.differences
    by_subject = spread(difference)
    verdict = judge(
        presented(difference, level),
        evidence.diagnostics.diagnosis(),
        reward_range=log.reward_range,
        left_out=sum(scan.unusable.values()),
        subjects=by_subject and by_subject.effective,
    )
    found = None if verdict.refused else estimate(difference, level)
    boosted = f"{scan.boosted:,} of {scan.rounds:,} decisions were boosted"
    return BoostCost(
        sentence=f"{_said(found, verdict)}; {boosted}.",
        boosted=scan.boosted,
        rounds=scan.rounds,
        cost=found,
        reasons=verdict.reasons if verdict.refused else [],
        warnings=verdict.warnings,
    )


def _said(cost: Estimate | None, verdict: Verdict) -> str:
    if cost is None or cost.value is None or verdict.low is None or verdict.high is None:
        return "This log cannot tell what boosts cost"
    places = places_of(verdict.low, verdict.high)
    value, low, high = cost.value, verdict.low, verdict.high
    what, shown = "Boosts cost", "" if low > 0.0 else ", so no cost was shown"
    if high < 0.0:
        what, shown, value, low, high = "Boosts cost nothing but earn", "", -value, -high, -low
    ends = f"[{low:+,.{places}f}, {high:+,.{places}f}], {100 * verdict.level:g} % confidence"
    return f"{what} {value:,.{places}f} reward per decision {ends}{shown}"
