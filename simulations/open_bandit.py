"""The Open Bandit sample: two policies ran side by side, so what we say of one by the other's log can be seen.

(Saito, Aihara, Matsutani & Narita 2021, arXiv 2008.07146.)
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table

from bandit.types import Value
from simulations.evaluation import evaluate
from simulations.intervals import Interval
from simulations.intervals.wilson import wilson
from simulations.logs.open_bandit import (
    CAMPAIGNS,
    LOGGED_BY,
    Campaign,
    LoggedBy,
    OpenBanditLog,
    ThompsonSampler,
)
from simulations.policies import Static, Target, uniform
from simulations.report import Report
from simulations.total import Progress


class Judged(Value, frozen=True, kw_only=True):
    """One policy by the other's log, and what it earned itself."""

    campaign: str
    report: Report
    #: Clicks a round in its own log.
    on_policy: float
    on_policy_interval: Interval


def evaluate_all(progress: Progress | None = None) -> list[Judged]:
    """Both directions of both campaigns."""
    return [_judged(campaign, by, progress) for campaign in CAMPAIGNS for by in LOGGED_BY]


def print_all(judged: list[Judged], console: Console) -> None:
    """A table: our figures, intervals and verdicts beside what really was earned."""
    table = Table(
        "campaign", "target, by whose log", Column("clicks a round of its own (Wilson)", justify="right"),
        Column("estimate", justify="right"), Column("interval", justify="right"), "method", "less the logged",
        title="Open Bandit sample, 10,000 rounds each: what one policy would earn, by the other one's log",
    )  # fmt: skip
    for one in judged:
        for index, estimate in enumerate(one.report.estimates):
            first = index == 0
            table.add_row(
                one.campaign if first else "",
                f"{one.report.target} by {one.report.reference}" if first else "",
                f"{one.on_policy:.4f} ({_ends(one.on_policy_interval)})" if first else "",
                f"{estimate.estimator} {estimate.value:.5f}",
                "-" if estimate.low is None else f"{estimate.low:.5f} to {estimate.high:.5f}",
                estimate.method,
                one.report.verdict.outcome if first else "",
                end_section=index == len(one.report.estimates) - 1,
            )
    console.print(table)
    for one in judged:
        for warning in (*one.report.verdict.reasons, *one.report.verdict.warnings):
            console.print(f"{one.campaign}, {one.report.target}: {warning}", style="yellow", highlight=False)


def _judged(campaign: Campaign, logged_by: LoggedBy, progress: Progress | None) -> Judged:
    other = LOGGED_BY[1 - LOGGED_BY.index(logged_by)]
    own = [row.reward for chunk in OpenBanditLog.sample(other, campaign).chunks() for row in chunk.rows]
    return Judged(
        campaign=campaign,
        report=evaluate(
            OpenBanditLog.sample(logged_by, campaign), policy(other, campaign), progress=progress
        ),
        on_policy=sum(own) / len(own),
        on_policy_interval=wilson(int(sum(own)), len(own)),
    )


def policy(name: LoggedBy, campaign: Campaign) -> Target:
    """One of the two that logged: uniform, or the Thompson sampler at its published prior."""
    return uniform() if name == "random" else Static("bts", ThompsonSampler(campaign))


def _ends(interval: Interval) -> str:
    return f"{interval.low:.4f} to {interval.high:.4f}"
