"""Diagnostics of the Open Bandit sample, beside those that another library computed."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from bandit.types import Action
from simulations.evaluation.verdict import judge
from simulations.intervals import Interval
from simulations.logs.rows import Logged
from tests.unit.simulations.made_logs import Made


def open_bandit(shared_data: Path, campaign: str, logger: str) -> Made:
    """Random logged and Thompson sampling as the target, or the other way round."""
    sampler = np.load(shared_data.parent / "reference" / "open_bandit_bts.npz")[f"bts_{campaign}"]
    items = len(sampler)
    actions = [Action(action_id=str(item)) for item in range(items)]
    path = shared_data / "open-bandit-sample" / logger / campaign / f"{campaign}.csv.gz"
    rows, targets = [], []
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        for number, line in enumerate(csv.DictReader(lines), start=1):
            rows.append(
                Logged(
                    row=number,
                    decision_id=str(number),
                    actions=actions,
                    chosen=int(line["item_id"]),
                    probability=float(line["propensity_score"]),
                    reward=float(line["click"]),
                )
            )
            other = sampler[:, int(line["position"]) - 1] if logger == "random" else np.full(items, 1 / items)
            targets.append(other.tolist())
    return Made(rows=rows, targets=targets)


@pytest.mark.parametrize("campaign", ["all", "men"])
@pytest.mark.parametrize(("logger", "target"), [("random", "bts"), ("bts", "random")])
def test_same_figures_and_a_true_log_is_not_refused(
    shared_data: Path, campaign: str, logger: str, target: str
) -> None:
    reference = json.loads((shared_data.parent / "reference" / "open_bandit_sample.json").read_text())
    theirs = reference["runs"][f"{campaign}:{logger}->{target}"]["diag"]
    ours = open_bandit(shared_data, campaign, logger).diagnostics().diagnosis()
    assert ours.effective_sample_size == pytest.approx(theirs["ess"], rel=1e-9)
    assert ours.largest_weight == pytest.approx(theirs["max_w"], rel=1e-9)
    assert ours.mean_weight == pytest.approx(theirs["mean_w"], rel=1e-9)
    assert ours.mean_inverse == pytest.approx(theirs["sum_inv_p_over_K"], rel=1e-9)
    assert not judge(Interval(low=-0.01, high=0.01), ours, reward_range=(0.0, 1.0)).refused
