"""What boosts cost in reward stands in the report, and nothing where there were none."""

from __future__ import annotations

import msgspec
import pytest

from bandit.errors import InvalidInputError
from simulations.evaluation.evaluate import evaluate
from simulations.evaluation.values import Report
from simulations.logs.check import checked
from simulations.logs.memory import MemoryLog
from simulations.logs.rows import Logged, Problem
from simulations.policies.named import target
from simulations.report.html import to_html
from simulations.report.text import to_text
from tests.unit.simulations.boosted_log import boosted_log, cost


def rows(log: MemoryLog) -> list[Logged]:
    return [row for chunk in log.chunks() for row in chunk.rows]


@pytest.fixture(scope="module")
def report() -> Report:
    return evaluate(boosted_log(1, 20_000, 8.0), "uniform")


def test_a_boost_s_cost_is_near_the_truth(report: Report) -> None:
    found = report.boosts
    assert found is not None
    assert found.cost is not None
    assert found.cost.low is not None
    assert found.cost.high is not None
    assert 0.0 < found.cost.low < cost(8.0) < found.cost.high < 2 * cost(8.0)
    assert found.rounds == 20_000
    assert 9_500 < found.boosted < 10_500


def test_it_stands_in_the_terminal_the_page_and_the_json(report: Report) -> None:
    assert report.boosts is not None
    sentence = report.boosts.sentence
    assert sentence.startswith("Boosts cost 0.0")
    assert sentence.endswith(f"{report.boosts.boosted:,} of 20,000 decisions were boosted.")
    assert sentence in " ".join(to_text(report, 300).split())
    assert sentence in to_html(report)
    assert Report.of_json(report.to_json()).boosts == report.boosts


def test_it_is_the_value_of_the_unboosted_policy_less_that_of_the_logged_one(report: Report) -> None:
    by_hand = evaluate(boosted_log(1, 20_000, 8.0), "unboosted", against="logged", estimators=["snips"])
    assert report.boosts is not None
    assert report.boosts.cost == by_hand.differences[0]
    assert (by_hand.target, by_hand.verdict.outcome) == ("unboosted", "better")


def test_a_log_without_boosts_says_nothing_of_them() -> None:
    report = evaluate(boosted_log(1, 2_000, 8.0, share=0.0), "uniform")
    assert report.boosts is None
    assert "oost" not in to_text(report)
    assert "oost" not in to_html(report)
    same = evaluate(boosted_log(1, 2_000, 8.0, share=0.0), "unboosted", estimators=["snips"])
    assert same.differences[0].value == 0.0


def test_a_boost_that_costs_nothing_is_not_said_to_cost() -> None:
    report = evaluate(boosted_log(2, 2_000, 1.0), "uniform")
    assert report.boosts is not None
    assert report.boosts.cost is not None
    assert report.boosts.cost.value == pytest.approx(0.0, abs=1e-12)
    assert "no cost was shown" in report.boosts.sentence


def test_a_boost_that_earns_says_so() -> None:
    """The same log, with rewards turned round, so that what is boosted earns more than the rest."""
    turned = [
        msgspec.structs.replace(row, reward=1.0 - row.reward) for row in rows(boosted_log(1, 20_000, 8.0))
    ]
    report = evaluate(MemoryLog(turned, reward_range=(0.0, 1.0)), "uniform")
    assert report.boosts is not None
    cost = report.boosts.cost
    assert cost is not None
    assert cost.low is not None
    assert cost.high is not None
    assert cost.value is not None
    assert cost.high < 0.0
    assert report.boosts.sentence.startswith(
        f"Boosts cost nothing but earn {-cost.value:.4f} reward per decision "
        f"[{-cost.high:+.4f}, {-cost.low:+.4f}], 95 % confidence; "
    )


def test_what_the_log_cannot_tell_is_withheld() -> None:
    """Half of the logged probabilities are false: nothing may be said by them, of boosts neither."""
    wrong = [
        msgspec.structs.replace(row, pmf=[1 / 3] * 3, probability=1 / 3)
        for row in rows(boosted_log(3, 4_000, 8.0))
    ]
    report = evaluate(MemoryLog(wrong, reward_range=(0.0, 1.0)), "uniform")
    assert report.boosts is not None
    assert report.boosts.cost is None
    assert report.boosts.reasons
    assert report.boosts.sentence.startswith("This log cannot tell what boosts cost; ")
    for shown in (" ".join(to_text(report, 300).split()), to_html(report)):
        assert report.boosts.sentence in shown
        assert "Boosts cost" not in shown


@pytest.mark.parametrize(
    ("unboosted", "cause"),
    [
        ([0.5, 0.5], "unboosted of another length"),
        ([0.5, 0.6, 0.5], "unboosted does not sum to one"),
        ([1.5, -0.5, 0.0], "unboosted with a value outside [0, 1]"),
        ("much", "unboosted with a value outside [0, 1]"),
    ],
)
def test_what_is_no_distribution_is_found(unboosted: object, cause: str) -> None:
    row = msgspec.structs.replace(rows(boosted_log(1, 1, 2.0))[0], unboosted=unboosted)
    found = checked(row)
    assert isinstance(found, Problem)
    assert found.cause == cause
    with pytest.raises(InvalidInputError, match=r"without boosts, or leave it out"):
        evaluate(MemoryLog([row]), "uniform")


def test_it_has_a_name() -> None:
    row = rows(boosted_log(1, 1, 2.0, share=1.0))[0]
    assert row.unboosted is not None
    assert target("unboosted", (0.0, 1.0)).distribution(row) == row.unboosted
