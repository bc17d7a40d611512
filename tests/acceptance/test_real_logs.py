"""Real logs: two policies that ran side by side, and a randomized test of which the outcome is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bandit.settings import Settings
from simulations import evaluate
from simulations.datasets import log
from simulations.evaluation.open_bandit import Judged, evaluate_all
from simulations.logs.rows import Log

SETTINGS = Settings()
REFERENCE = SETTINGS.shared_data.parent / "reference" / "open_bandit_sample.json"
MENS = "fixed:Mens E-Mail"


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    return evaluate_all()


def test_the_open_bandit_sample_is_judged_as_it_ran(judged: list[Judged]) -> None:
    """What each policy earned itself lies in the interval that the other one's log gives."""
    assert [(one.campaign, one.report.target) for one in judged] == [
        ("all", "bts"), ("all", "uniform"), ("men", "bts"), ("men", "uniform"),
    ]  # fmt: skip
    for one in judged:
        assert one.report.verdict.outcome == "no difference shown"
        for estimate in one.report.estimates[:4]:
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low < one.on_policy < estimate.high, (one.campaign, estimate)


@pytest.mark.skipif(not REFERENCE.exists(), reason=f"needs {REFERENCE.absolute()}; set SEGBANDIT_SHARED_DATA")
def test_estimates_without_a_reward_model_are_those_of_the_reference(judged: list[Judged]) -> None:
    runs = json.loads(REFERENCE.read_text())["runs"]
    for one in judged:
        direction = "random->bts" if one.report.target == "bts" else "bts->random"
        reference = runs[f"{one.campaign}:{direction}"]
        found = {estimate.estimator: estimate.value for estimate in one.report.estimates}
        assert found["ips"] == pytest.approx(reference["obp"]["ips"]["v"], rel=1e-9)
        assert found["snips"] == pytest.approx(reference["obp"]["snips"]["v"], rel=1e-9)
        assert one.on_policy == pytest.approx(reference["ground_truth"])
        assert one.report.diagnostics.effective_sample_size == pytest.approx(reference["diag"]["ess"])


@pytest.fixture(scope="module")
def hillstrom() -> Log:
    path = SETTINGS.shared_data / "hillstrom" / "hillstrom.csv.gz"
    if not path.exists():
        pytest.skip(f"needs {path.absolute()}; set SEGBANDIT_SHARED_DATA")
    return log("hillstrom", SETTINGS)


def test_always_mens_is_better_than_uniform(hillstrom: Log) -> None:
    report = evaluate(hillstrom, MENS, against="uniform")
    assert report.verdict.outcome == "better"
    assert report.estimates[0].value == pytest.approx(0.1828, abs=0.002), "what those who got it did"


def test_what_was_learned_for_each_customer_is_no_different_from_always_mens(hillstrom: Log) -> None:
    assert (
        evaluate(hillstrom, "default", against=MENS, learn_first=0.5).verdict.outcome == "no difference shown"
    )


def test_nor_is_a_table_by_what_customers_bought(hillstrom: Log, tmp_path: Path) -> None:
    table = tmp_path / "by-purchases.csv"
    table.write_text("mens,womens,action\nfalse,true,Womens E-Mail\n,,Mens E-Mail\n")
    assert evaluate(hillstrom, str(table), against=MENS).verdict.outcome == "no difference shown"
