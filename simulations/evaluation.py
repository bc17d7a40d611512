"""Evaluate a policy by a log: what it would have earned, how sure that is, and whether it may be said at all."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np
from threadpoolctl import threadpool_limits

from bandit.errors import InvalidInputError
from simulations import named
from simulations.columns import rounds_of
from simulations.estimators.contract import Estimator
from simulations.estimators.named import estimator as estimator_named
from simulations.evidence import Evidence, Plan, Seen
from simulations.intervals import Interval
from simulations.intervals.choose import interval
from simulations.intervals.delta import clustered
from simulations.logs.rows import Chunk, Log
from simulations.policies import Target, TheLogged
from simulations.report.report import Estimate, Report
from simulations.reward_model import RewardModel, RewardSums, encode
from simulations.scan import Scan, usable
from simulations.total import Distributed, Progress, total
from simulations.verdict import judge

#: The first decides the verdict: which one must be settled before any result is seen.
ESTIMATORS = ("dr", "ips", "snips", "sndr", "switch_dr", "dros", "dm")
_WITHOUT_MODEL = {"ips", "clipped_ips", "snips", "sg_ips", "mips", "balanced_ips", "replay"}


def evaluate(
    log: Log,
    target: str | Target,
    *,
    against: str | Target = "logged",
    estimators: Sequence[str] = ESTIMATORS,
    level: float = 0.95,
    loggers: Mapping[str, str | Target] | None = None,
    exclude: bool = False,
    progress: Progress | None = None,
) -> Report:
    """What `target` would have earned on this log, and whether that is more than `against` would have.

    Policies are given as objects or by name (`simulations.named.FORMS`). The first estimator decides the
    verdict. `loggers` names the policies of a log that several wrote, by the rows' `logger`; balanced IPS
    needs them. The log is read up to four times, in constant memory.

    Raises:
        InvalidInputError: rows cannot be used and `exclude` is not set, or an estimator needs what the log
            does not have.
        SetupError: the log or a policy cannot be read.

    >>> from simulations.logs.memory import MemoryLog
    >>> report = evaluate(MemoryLog.made(rounds=2_000, seed=1), "fixed:b")
    >>> report.verdict.outcome
    'better'
    """
    started = time.monotonic()
    with threadpool_limits(1, "blas"):  # its threads wait for each other longer than they work
        scan = usable(total(log, Scan.of, Scan(), progress), exclude=exclude)
        rewards = log.reward_range or (scan.lowest, scan.highest)
        plan = _plan(log, scan, rewards, target, against, estimators, loggers, progress)
        evidence = total(log, plan.evidence, Evidence(), progress)
    return _report(log, scan, plan, evidence, rewards, level, time.monotonic() - started)
