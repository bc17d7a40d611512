from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bandit.errors import InvalidInputError, SetupError
from bandit.policy import UniformPolicy
from bandit.settings import Settings
from bandit.types import Action, EpsilonGreedy, Features, PolicySettings
from simulations import datasets, evaluate, sweep
from simulations.datasets import HillstromLog
from simulations.environments.catalogue import environment
from simulations.evaluation.values import Estimate
from simulations.logs.memory import MemoryLog
from simulations.logs.rows import Chunk, Logged
from simulations.policies.targets import Function, Static
from simulations.report.sweep_html import to_html
from simulations.report.sweep_text import to_text
from simulations.simulation.runs import logged
from simulations.sweeping.candidates import Candidate
from simulations.sweeping.sweep import Sweep
from tests.unit.simulations.made_logs import replace
from tests.unit.simulations.test_report import NASTY, Page


@pytest.fixture(scope="module")
def rows() -> list[Logged]:
    return list(logged(environment("personas"), UniformPolicy(), rounds=1_500, seed=1))


@pytest.fixture(scope="module")
def log(rows: list[Logged]) -> MemoryLog:
    return MemoryLog(rows, name="personas", reward_range=(0.0, 1.0))


CANDIDATES: list[str | PolicySettings] = [
    "default",
    "uniform",
    "fixed:deal-of-the-day",
    PolicySettings(exploration=EpsilonGreedy()),
]


@pytest.fixture(scope="module")
def found(log: MemoryLog) -> Sweep:
    return sweep(log, CANDIDATES, workers=1)


def test_each_candidate_is_estimated_as_an_evaluation_does_it(log: MemoryLog, found: Sweep) -> None:
    for name in ("default", "fixed:deal-of-the-day"):
        one = next(each for each in found.candidates if each.name == name)
        report = evaluate(log, name, estimators=["dr"])
        assert one.value.value == report.estimates[0].value
        assert one.difference.value == report.differences[0].value
        assert one.effective_sample_size == report.diagnostics.effective_sample_size
        assert one.value.standard_error == pytest.approx(report.estimates[0].standard_error, rel=1e-9)
        assert _width(one.value) > _width(report.estimates[0])
        assert _width(one.difference) > _width(report.differences[0])
    assert found.reference_value.value == report.reference_estimates[0].value
    assert 0.95 < found.value_level < found.bonferroni_level


def test_they_come_in_the_order_of_their_values(found: Sweep) -> None:
    values = [each.value.value or 0.0 for each in found.candidates]
    assert values == sorted(values, reverse=True)
    assert [each.rank for each in found.candidates] == [1, 2, 3, 4]
    assert found.candidates[0].may_be_best
    last = found.candidates[-1]
    assert (last.name, last.may_be_best, last.verdict.outcome) == ("uniform", False, "no difference shown")
    assert last.against_best is not None
    assert last.against_best.high == 0.0


def test_processes_give_the_same(log: MemoryLog, found: Sweep) -> None:
    again = sweep(log, CANDIDATES, workers=2)
    assert msgspec.structs.replace(again, seconds=0.0) == msgspec.structs.replace(found, seconds=0.0)


def test_json_gives_it_back(found: Sweep) -> None:
    assert msgspec.json.decode(found.to_json(), type=Sweep) == found


def test_policies_that_cannot_be_sent_are_replayed_here(log: MemoryLog) -> None:
    def uniform(context: Features, actions: Sequence[Action]) -> list[float]:  # noqa: ARG001 the form
        return [1 / len(actions)] * len(actions)

    told: list[tuple[int, int | None]] = []
    again = sweep(
        log,
        [Function("of mine", uniform), "uniform", "fixed:deal-of-the-day"],
        workers=2,
        progress=lambda what, done, of: told.append((done, of)) if what.startswith("replaying") else None,
    )
    mine, theirs = (next(e for e in again.candidates if e.name == n) for n in ("of mine", "uniform"))
    assert mine.value == theirs.value
    assert told[-1] == (4_500, 4_500)


def test_rounds_that_one_has_learned_from_count_for_none(rows: list[Logged]) -> None:
    start = rows[0].decided_at
    assert start is not None
    dated = [replace(row, decided_at=start + timedelta(seconds=row.row)) for row in rows]
    saved = Static("saved", UniformPolicy(), learned_until=dated[499].decided_at)
    found = sweep(MemoryLog(dated), [saved, "fixed:deal-of-the-day"], workers=1)
    assert found.rounds == 1_000
    assert found.excluded == {"learned before the evaluation": 500}
    with pytest.raises(InvalidInputError, match="none of the policies has learned from"):
        sweep(MemoryLog(dated), [Static("all", UniformPolicy(), learned_until=dated[-1].decided_at)])


def test_learn_first_leaves_rounds_out(log: MemoryLog) -> None:
    found = sweep(log, ["default"], learn_first=0.2, workers=1)
    assert found.rounds == 1_200
    assert "the only candidate" in found.sentence
    assert found.candidates[0].against_best is None


def test_subjects_that_come_again_widen_intervals(rows: list[Logged]) -> None:
    paired = [row for row in rows[:700] for _ in (1, 2)]
    twice = [
        msgspec.structs.replace(row, row=at, decision_id=str(at)) for at, row in enumerate(paired, start=1)
    ]
    alone = [replace(row, subject=str(row.row)) for row in twice]
    together = [replace(row, subject=str((row.row - 1) // 2)) for row in twice]
    narrow, wide = (
        sweep(MemoryLog(each), ["fixed:deal-of-the-day", "uniform"], estimator="snips", workers=1)
        for each in (alone, together)
    )
    ratio = _width(wide.candidates[0].difference) / _width(narrow.candidates[0].difference)
    assert 1.3 < ratio < 1.55  # the square root of two


def _width(estimate: Estimate) -> float:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.high - estimate.low


def test_what_the_log_cannot_judge_comes_last_without_a_rank(rows: list[Logged]) -> None:
    few = MemoryLog(rows[:400], reward_range=(0.0, 1.0))  # 80 rounds of each action
    found = sweep(few, ["fixed:deal-of-the-day", "uniform"], workers=1)
    hopeless = found.candidates[-1]
    assert (hopeless.name, hopeless.rank, hopeless.may_be_best) == ("fixed:deal-of-the-day", None, False)
    assert hopeless.value.warning
    assert "uniform is the only candidate" in found.sentence
    page, text = to_html(found), to_text(found)
    assert "not usable" in page
    assert "<del>" in page
    assert "cannot be judged" in text
    assert "100 are the least" in text
    alone = sweep(few, ["fixed:deal-of-the-day"], workers=1)
    assert "do not use these figures" in alone.sentence
    assert 'role="alert"' in to_html(alone)


def test_what_was_seen_of_rewards_widens_no_interval(rows: list[Logged]) -> None:
    """One action is never logged: by how much `uniform` may be off, only a declared range says."""
    some = [replace(row, pmf=[0.0, 0.25, 0.25, 0.25, 0.25], probability=0.25) for row in rows if row.chosen]
    (seen,) = sweep(MemoryLog(some), ["uniform"], workers=1).candidates
    (declared,) = sweep(MemoryLog(some, reward_range=(0.0, 1.0)), ["uniform"], workers=1).candidates
    assert seen.verdict.outcome == "insufficient support"
    assert any("no lowest and highest reward is given" in reason for reason in seen.verdict.reasons)
    assert declared.value.low != seen.value.low


def test_the_reference_may_be_a_candidate_too(log: MemoryLog) -> None:
    found = sweep(log, ["uniform", "fixed:deal-of-the-day"], against="uniform", workers=1)
    itself = next(each for each in found.candidates if each.name == "uniform")
    assert (itself.difference.value, itself.difference.low, itself.difference.high) == (0.0, 0.0, 0.0)
    assert itself.verdict.outcome == "no difference shown"


def test_mens_mails_are_the_best_of_hillstroms(shared_data: Path) -> None:
    assert (shared_data / "hillstrom").is_dir()
    log = HillstromLog(datasets.hillstrom(None, Settings())[:9_000])
    found = sweep(log, [f"fixed:{name}" for name in datasets.HILLSTROM_ACTIONS], workers=1)
    assert "fixed:Mens E-Mail is shown to be the best" in found.sentence
    assert found.candidates[0].verdict.outcome == "better"


class Parts:
    """As a distributed log is: its parts come in no order."""

    name, reward_range = "parts", None

    def chunks(self) -> Iterator[Chunk]:
        return iter(())

    def total(self, step: Any, none: Any) -> Any:  # noqa: ARG002 never called
        return none


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"candidates": []}, "got none"),
        ({"candidates": ["uniform", "default", "uniform"]}, "got uniform twice"),
        ({"estimator": "dm"}, "rank many candidates"),
        ({"estimator": "mrdr"}, "rank many candidates"),
        ({"estimator": "drr"}, "got 'drr'"),
        ({"level": 1.0}, "level"),
        ({"candidates": [PolicySettings(vw_arguments=["--nope=1"])]}, "nope"),
        ({"log": MemoryLog([])}, "expected rounds in the log"),
        ({"log": Parts()}, "read it on one machine"),
    ],
)
def test_what_cannot_be_swept_is_refused(log: MemoryLog, arguments: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"log": log, "candidates": ["uniform"], "workers": 1}
    with pytest.raises(InvalidInputError, match=message):
        sweep(**given | arguments)


def test_a_candidate_that_is_none_is_refused_before_any_is_replayed(log: MemoryLog) -> None:
    with pytest.raises(SetupError, match="expected a policy, got 'nonsense'"):
        sweep(log, ["default", "nonsense"], workers=1, progress=_none_replayed)


def _none_replayed(what: str, done: int, of: int | None) -> None:  # noqa: ARG001 the form
    assert not what.startswith("replaying")


def test_rows_that_cannot_be_used_are_refused_or_counted(rows: list[Logged]) -> None:
    bad = MemoryLog([replace(rows[0], probability=2.0, pmf=None), *rows[1:]])
    with pytest.raises(InvalidInputError, match="1 of 1,500 rows cannot be used"):
        sweep(bad, ["uniform"])
    found = sweep(bad, ["uniform"], exclude=True)
    assert sum(found.excluded.values()) == 1
    assert "Rows left out: " in to_text(found)


def test_the_page_shows_every_candidate_and_takes_nothing_from_elsewhere(found: Sweep) -> None:
    html = to_html(found)
    page = Page(html)
    words = " ".join(page.words)
    for each in found.candidates:
        assert each.name in words
    assert not page.open
    assert len([tag for tag, _ in page.elements if tag == "svg"]) == 2
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in page.elements}
    assert "http" not in html.replace("http-equiv", "")
    assert "hold at once" in words


def test_names_are_escaped(log: MemoryLog) -> None:
    found = sweep(
        log, [Candidate(NASTY, "uniform"), Candidate(f"{NASTY}2", "fixed:deal-of-the-day")], workers=1
    )
    found = msgspec.structs.replace(found, log=NASTY, reference=NASTY)
    html, text = to_html(found), to_text(found)
    assert "<script" not in html
    html.encode()
    assert not {"\x1b", "\x07"} & set(text)


def test_the_terminal_has_the_ranking(found: Sweep) -> None:
    text = to_text(found)
    assert found.sentence in " ".join(text.replace("│", " ").split())
    assert "epsilon_greedy" in text
    assert "no: shown worse" in text
    assert "by Bonferroni's rule" in " ".join(text.split())
