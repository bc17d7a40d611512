"""Reports as an evaluation would make them, of logs from a known world."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from bandit.comparison import Comparison
from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Estimator, Running
from simulations.estimators.ips import IPS
from simulations.estimators.snips import SNIPS
from simulations.evaluation.values import ConfidenceSequence, Estimate, Peek, Report
from simulations.evaluation.verdict import judge
from simulations.intervals import Interval
from tests.unit.simulations.made_logs import Made


def made_report(log: Made, **fields: object) -> Report:
    rounds = log.rounds
    itself = Rounds(
        reward=rounds.reward, probability=rounds.probability, target_probability=rounds.probability
    )
    estimates = [estimate(each, rounds) for each in (IPS(), SNIPS())]
    reference = [estimate(each, itself) for each in (IPS(), SNIPS())]
    differences = [difference(each, rounds, itself) for each in (IPS(), SNIPS())]
    found = log.diagnostics().diagnosis()
    assert differences[1].low is not None
    assert differences[1].high is not None
    decisive = Interval(low=differences[1].low, high=differences[1].high)
    values: dict[str, object] = {
        "verdict": judge(decisive, found, reward_range=(0.0, 1.0)),
        "log": "checkout.parquet",
        "target": "squarecb, gamma 10",
        "reference": "logging policy",
        "level": 0.95,
        "rounds": len(log.rows),
        "excluded": {},
        "primary": "snips",
        "estimates": estimates,
        "reference_estimates": reference,
        "differences": differences,
        "sequence": sequence(rounds),
        "diagnostics": found,
        "seconds": 1.25,
        "versions": {"segbandit": "0.1.0", "numpy": np.__version__},
    }
    return Report(**values | fields)  # type: ignore[arg-type]


def estimate(estimator: Estimator, rounds: Rounds) -> Estimate:
    seen = Running.of(estimator, rounds)
    return around(estimator.name, seen.value, seen.standard_error)


def difference(estimator: Estimator, target: Rounds, reference: Rounds) -> Estimate:
    influences = [influence(estimator, each) for each in (target, reference)]
    strayed = influences[0] - influences[1]
    value = Running.of(estimator, target).value - Running.of(estimator, reference).value
    return around(estimator.name, value, float(strayed.std(ddof=1)) / len(target) ** 0.5)


def influence(estimator: Estimator, rounds: Rounds) -> Floats:
    columns = np.stack(estimator.columns(rounds))
    means = columns.mean(axis=1)
    moved: Floats = estimator.gradient(means) @ (columns - means[:, None])
    return moved


def around(name: str, value: float, error: float) -> Estimate:
    half = NormalDist().inv_cdf(0.975) * error
    return Estimate(
        estimator=name,
        value=value,
        standard_error=error,
        low=value - half,
        high=value + half,
        method="delta method",
    )


def sequence(rounds: Rounds) -> ConfidenceSequence:
    seen, peeks = Comparison(), []
    for index, (weight, reward) in enumerate(zip(rounds.weight, rounds.reward, strict=True), start=1):
        seen = seen.add(float(weight), float(reward))
        if index % max(len(rounds) // 100, 1) == 0:
            now = seen.interval()
            peeks.append(Peek(rounds=index, low=now.low, estimate=now.estimate, high=now.high))
    return ConfidenceSequence(label="target - reference", method="betting", peeks=peeks, compared_with=0.0)
