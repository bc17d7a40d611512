"""The Open Bandit sample: two policies ran side by side, so each shows what the other one's log is worth.

(Saito, Aihara, Matsutani & Narita 2021, arXiv 2008.07146.)
"""

from __future__ import annotations

import msgspec
from rich.console import Console
from rich.table import Column, Table

from bandit.types import Value
from simulations.evaluation.evaluate import evaluate
from simulations.evaluation.values import Report
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
from simulations.logs.total import Progress
from simulations.policies.targets import Static, Target, uniform


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
    """Our figures, intervals and verdicts beside what really was earned."""
    for one in judged:
        report = one.report
        table = Table(
            Column("estimator", no_wrap=True),
            Column("clicks a round", justify="right"),
            Column("interval", justify="right"),
            Column("by", no_wrap=True),
            title=f"campaign {one.campaign}: {report.target} by {report.log}",
            caption=f"{report.target} less what was logged: {report.verdict.outcome}",
        )
        own = _ends(one.on_policy_interval)
        table.add_row("its own log", f"{one.on_policy:.5f}", own, "wilson", end_section=True)
        for estimate in report.estimates:
            ends = "unknown" if estimate.low is None else f"{estimate.low:.5f} to {estimate.high:.5f}"
            table.add_row(estimate.estimator, f"{estimate.value:.5f}", ends, estimate.method)
        console.print(table)
        for warning in report.verdict.warnings:
            console.print(f"Warning: {warning}", style="yellow", highlight=False)
        console.print()


def to_json(judged: list[Judged]) -> bytes:
    """A list of them, readable."""
    return msgspec.json.format(msgspec.json.encode(judged), indent=2)


def _judged(campaign: Campaign, logged_by: LoggedBy, progress: Progress | None) -> Judged:
    other = LOGGED_BY[1 - LOGGED_BY.index(logged_by)]
    own = [row.reward for chunk in OpenBanditLog.sample(other, campaign).chunks() for row in chunk.rows]
    log = OpenBanditLog.sample(logged_by, campaign)
    return Judged(
        campaign=campaign,
        report=evaluate(log, policy(other, campaign), progress=progress),
        on_policy=sum(own) / len(own),
        on_policy_interval=wilson(int(sum(own)), len(own)),
    )


def policy(name: LoggedBy, campaign: Campaign) -> Target:
    """One of the two that logged: uniform, or the Thompson sampler at its published prior."""
    return uniform() if name == "random" else Static("bts", ThompsonSampler(campaign))


def _ends(interval: Interval) -> str:
    return f"{interval.low:.5f} to {interval.high:.5f}"
