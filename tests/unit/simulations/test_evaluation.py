"""Evaluations of simulated logs, of which the truth is known; and what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from bandit.errors import InvalidInputError
from bandit.policy import FixedPolicy, UniformPolicy
from bandit.types import Action, Features, PolicySettings
from simulations import evaluate
from simulations.environments.catalogue import environment
from simulations.environments.contract import value
from simulations.evaluation.columns import rounds_of
from simulations.evaluation.values import Estimate, Report
from simulations.logs.memory import MemoryLog
from simulations.logs.rows import Chunk, Log, Logged
from simulations.policies.targets import Static, TheLogged, uniform
from simulations.simulation.runs import logged
from simulations.sweeping.sweep import Sweep, sweep

WORLD = environment("personas")
ROUNDS = 4_000
BEST = "deal-of-the-day"


def swept(log: Log, policy: str, **asked: Any) -> Sweep:
    return sweep(log, [policy], workers=1, **asked)


ASKS: tuple[Callable[..., Any], ...] = (evaluate, swept)


@pytest.fixture(scope="module")
def rows() -> list[Logged]:
    return logged(WORLD, UniformPolicy(), rounds=ROUNDS, seed=3)


def log(rows: list[Logged]) -> MemoryLog:
    return MemoryLog(rows, reward_range=(0.0, 1.0), chunk=700)


def by_name(estimates: list[Estimate]) -> dict[str, Estimate]:
    return {estimate.estimator.partition("(")[0]: estimate for estimate in estimates}


def test_every_estimate_is_near_the_truth_and_every_interval_holds_it(rows: list[Logged]) -> None:
    truth = value(WORLD, FixedPolicy(BEST), rounds=ROUNDS, seed=3)
    report = evaluate(log(rows), f"fixed:{BEST}")
    for estimate in report.estimates:
        assert estimate.value == pytest.approx(truth, abs=0.04)
        if estimate.estimator != "dm":
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low < truth < estimate.high
    assert report.verdict.outcome == "better"
    assert report.primary == "dr"
    assert report.rounds == ROUNDS
    assert report.excluded == {}


def test_a_reward_model_by_itself_gets_no_interval(rows: list[Logged]) -> None:
    report = evaluate(log(rows), f"fixed:{BEST}", estimators=["dr", "dm"])
    assert report.estimates[1].value is not None
    assert report.estimates[1].low is None
    assert report.verdict.outcome == "better"


@pytest.mark.parametrize(
    "biased",
    ["clipped_ips:limit=1", "clipped_dr", "switch_dr", "dros", "sg_ips", "sg_dr", "mips", "dm", "slope:dros"],
)
def test_what_is_biased_by_construction_does_not_decide(rows: list[Logged], biased: str) -> None:
    with pytest.raises(InvalidInputError, match=r"unbiased or self-normalized .* the others after it"):
        evaluate(log(rows), "uniform", estimators=[biased, "dr"])
    with pytest.raises(InvalidInputError, match="unbiased or self-normalized"):
        sweep(log(rows), ["uniform"], estimator=biased, workers=1)


def test_the_logged_policy_is_worth_what_it_earned(rows: list[Logged]) -> None:
    report = evaluate(log(rows), "logged", estimators=["dr", "ips", "snips", "sndr"])
    mean = sum(row.reward for row in rows) / ROUNDS
    assert [estimate.value for estimate in report.estimates] == pytest.approx([mean] * 4)
    assert [estimate.value for estimate in report.differences] == [0.0] * 4
    assert report.verdict.outcome == "no difference shown"


def test_a_policy_against_itself_is_no_different(rows: list[Logged]) -> None:
    report = evaluate(log(rows), "uniform", against=uniform())
    assert report.verdict.outcome == "no difference shown"
    assert {estimate.value for estimate in report.differences} == {0.0}


def test_which_of_two_is_the_target_only_turns_the_sign(rows: list[Logged]) -> None:
    one = evaluate(log(rows), f"fixed:{BEST}", against="fixed:bestsellers")
    other = evaluate(log(rows), "fixed:bestsellers", against=f"fixed:{BEST}")
    assert (one.verdict.outcome, other.verdict.outcome) in {("better", "worse"), ("no difference shown",) * 2}
    for forth, back in zip(one.differences, other.differences, strict=True):
        assert forth.value == pytest.approx(-(back.value or 0.0))


def test_chunks_of_any_size_give_the_same_report_to_the_last_bit(rows: list[Logged]) -> None:
    def report(chunk: int) -> Report:
        found = evaluate(
            MemoryLog(rows, reward_range=(0.0, 1.0), chunk=chunk), f"fixed:{BEST}", against="uniform"
        )
        return replace(found, seconds=0.0, sequence=None)

    assert report(100) == report(1_999) == report(ROUNDS)


def test_what_learns_is_better_once_it_has_learned(rows: list[Logged]) -> None:
    whole = evaluate(log(rows), "default", against="uniform", estimators=["snips"])
    later = evaluate(log(rows), "default", against="uniform", estimators=["snips"], learn_first=0.5)
    assert whole.verdict.outcome == later.verdict.outcome == "better"
    assert later.rounds == ROUNDS // 2
    assert later.excluded == {"learned before the evaluation": ROUNDS // 2}
    assert (later.differences[0].value or 0.0) > (whole.differences[0].value or 0.0)


def test_a_saved_policy_is_not_judged_by_what_it_may_have_learned(rows: list[Logged]) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    timed = [replace(row, decided_at=noon + timedelta(seconds=row.row)) for row in rows]
    saved = Static("model:1", FixedPolicy(BEST), learned_until=noon + timedelta(seconds=1_000))
    report = evaluate(log(timed), saved)
    assert report.rounds == ROUNDS - 1_000
    assert report.excluded == {"learned before the evaluation": 1_000}
    untimed = [replace(row, decided_at=None) for row in rows]
    refused = evaluate(log(untimed), saved)
    assert refused.rounds == 0
    assert refused.verdict.outcome == "insufficient support", "nobody knows when they were decided"


def test_rows_that_cannot_be_used_are_refused_or_counted(rows: list[Logged]) -> None:
    bad = [
        *rows[:1_000],
        replace(rows[1_000], probability=0.0),
        replace(rows[1_001], probability=1.5),
        replace(rows[1_002], reward=float("nan")),
        replace(rows[1_003], pmf=[0.5, 0.4, 0.0, 0.0, 0.0]),
        replace(rows[1_004], chosen=9),
    ]
    with pytest.raises(InvalidInputError, match="5 of 1,005 rows cannot be used") as refused:
        evaluate(log(bad), "uniform")
    assert "probability above one: 1 row: 1002." in refused.value.message
    report = evaluate(log(bad), "uniform", exclude=True)
    assert report.rounds == 1_000
    assert sum(report.excluded.values()) == 5
    assert len(report.excluded) == 5


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"level": 1.0}, "level: expected a number between 0 and 1"),
        ({"level": float("nan")}, "level: expected a number between 0 and 1"),
        ({"learn_first": 1.0}, "learn_first: expected a share of the rounds"),
        ({"learn_first": -0.1}, "learn_first: expected a share of the rounds"),
    ],
)
def test_what_has_no_meaning_is_refused_before_the_log_is_read(asked: dict[str, float], said: str) -> None:
    for ask in ASKS:
        with pytest.raises(InvalidInputError, match=said):
            ask(_Unread(), "uniform", **asked)


@pytest.mark.parametrize("limits", [(1.0, 0.0), (0.0, 0.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_a_range_that_is_none_is_refused_before_the_log_is_read(limits: tuple[float, float]) -> None:
    for ask in ASKS:
        with pytest.raises(InvalidInputError, match="reward_range: expected the lowest and the highest"):
            ask(_Unread(limits), "uniform")
    with pytest.raises(InvalidInputError, match="reward_range"):
        next(MemoryLog([], reward_range=limits).chunks(), None)


class _Unread:
    name = "unread"

    def __init__(self, reward_range: tuple[float, float] | None = None) -> None:
        self.reward_range = reward_range

    def chunks(self) -> Iterator[Chunk]:
        pytest.fail("it was read")


def test_a_log_in_which_all_rewards_are_equal_says_that_much(rows: list[Logged]) -> None:
    alike = MemoryLog([replace(row, reward=3.0) for row in rows[:1_000]])
    names = ["dr", "dm", "sndr", "switch_dr", "mrdr"]
    found = evaluate(alike, f"fixed:{BEST}", estimators=names)
    assert [estimate.value for estimate in found.estimates] == [3.0] * len(names)
    assert evaluate(alike, "uniform").verdict.outcome == "no difference shown"
    (candidate,) = swept(alike, "uniform").candidates
    assert (candidate.value.value, candidate.verdict.outcome) == (3.0, "no difference shown")
    for ask in ASKS:
        with pytest.raises(InvalidInputError, match="expected rewards that differ, to learn from"):
            ask(alike, "default")


def test_an_empty_log_says_so() -> None:
    with pytest.raises(InvalidInputError, match="expected rounds in the log, got none"):
        evaluate(log([]), "uniform")


def test_subjects_with_many_rounds_widen_the_intervals(rows: list[Logged]) -> None:
    alone = evaluate(log(rows), f"fixed:{BEST}")
    copied = [
        replace(row, row=5 * row.row + copy, decision_id=f"{row.row}-{copy}", subject=f"subject-{row.row}")
        for row in rows[:800]
        for copy in range(5)
    ]
    together = evaluate(log(copied), f"fixed:{BEST}")
    once = evaluate(log(rows[:800]), f"fixed:{BEST}")
    assert "by subject" in together.estimates[1].method
    assert "by subject" not in alone.estimates[1].method
    widths = [
        (report.estimates[1].high or 0.0) - (report.estimates[1].low or 0.0) for report in (together, once)
    ]
    assert widths[0] == pytest.approx(widths[1], rel=0.15), "five copies of a subject tell no more than one"


@pytest.mark.parametrize("subjects", [2, 12])
def test_few_subjects_are_not_taken_for_many_rounds(subjects: int) -> None:
    """What is good for whom differs from subject to subject; on average both actions are worth the same."""
    held, outcomes = 0, set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        prefers = rng.normal(0.0, 0.2, subjects).clip(-0.5, 0.5)
        chosen = rng.integers(2, size=400)
        rate = 0.5 + (chosen - 0.5) * prefers[np.arange(400) % subjects]
        made = MemoryLog.from_arrays(
            actions=["a", "b"],
            action=chosen.tolist(),
            reward=(rng.random(400) < rate).astype(float).tolist(),
            pmf=[[0.5, 0.5]] * 400,
            subject=[str(at % subjects) for at in range(400)],
            reward_range=(0.0, 1.0),
        )
        report = evaluate(made, "fixed:b", estimators=["snips"])
        low, high = report.differences[0].low, report.differences[0].high
        assert low is not None
        assert high is not None
        held += low <= 0.0 <= high
        outcomes.add(report.verdict.outcome)
        ranked = sweep(made, ["fixed:b"], estimator="snips", workers=1).candidates[0]
        assert ranked.verdict.outcome == report.verdict.outcome
    assert held >= 34  # of a nominal 38; by a normal error it would be 28 with two subjects
    assert ("insufficient support" in outcomes) == (subjects < 10)
    assert len(outcomes) == 1 or subjects >= 10


def test_what_is_tuned_is_as_wide_as_its_subjects_demand(rows: list[Logged]) -> None:
    copies = [row for row in rows[:800] for _ in range(5)]
    copied = [replace(row, row=at, decision_id=str(at)) for at, row in enumerate(copies)]
    asked = ["snips", "slope:clipped_ips"]
    alone = evaluate(log([replace(row, subject=str(row.row)) for row in copied]), "uniform", estimators=asked)
    together = evaluate(
        log([replace(row, subject=str(row.row // 5)) for row in copied]), "uniform", estimators=asked
    )
    narrow, wide = (
        (each.high or 0.0) - (each.low or 0.0) for each in (alone.estimates[-1], together.estimates[-1])
    )
    assert wide == pytest.approx(5**0.5 * narrow, rel=0.1)


@pytest.mark.parametrize("digits", [6, 8])
def test_rounded_probabilities_are_evaluated_like_exact_ones(digits: int) -> None:
    rng = np.random.default_rng(1)
    exact = [
        Logged(
            row=at, decision_id=str(at), actions=[Action(action_id=name) for name in "abc"], chosen=chosen,
            probability=1 / 3, pmf=[1 / 3] * 3, reward=float(rng.random() < 0.3),
        )
        for at, chosen in enumerate(rng.integers(3, size=1_000).tolist())
    ]  # fmt: skip
    rounded = [replace(row, probability=round(row.probability, digits)) for row in exact]
    reports = [evaluate(log(each), "fixed:c", estimators=["dr", "mips"]) for each in (exact, rounded)]
    one, other = ([estimate.value for estimate in report.estimates] for report in reports)
    assert one == pytest.approx(other, rel=1e-5)
    assert reports[0].sequence is not None
    assert reports[1].sequence is not None
    assert reports[0].verdict.outcome == reports[1].verdict.outcome


def test_an_action_that_was_chosen_at_no_probability_still_has_an_embedding() -> None:
    row = Logged(
        row=1, decision_id="d", actions=[Action(action_id=name) for name in "ab"], chosen=1,
        probability=0.5, pmf=[1.0, 0.0], reward=1.0,
    )  # fmt: skip
    made = rounds_of([row], [[0.75, 0.25]])
    assert made.embedding_weight == pytest.approx([0.5])
    assert made.largest_weight == pytest.approx([0.75])


def test_every_estimator_that_a_log_allows(rows: list[Logged]) -> None:
    names = ["dr", "ips", "clipped_ips", "snips", "dm", "clipped_dr", "sndr", "switch_dr", "dros", "sg_ips"]
    more = ["sg_dr", "mrdr", "mips", "balanced_ips", "replay"]
    report = evaluate(log(rows), f"fixed:{BEST}", estimators=names + more, loggers={"": "uniform"})
    truth = value(WORLD, FixedPolicy(BEST), rounds=ROUNDS, seed=3)
    assert list(by_name(report.estimates)) == names + more
    for estimate in report.estimates:
        assert estimate.value == pytest.approx(truth, abs=0.05)


def test_balanced_weights_use_what_both_loggers_wrote() -> None:
    """One logger hardly ever shows the target's action, the other one often."""
    skewed = Static("skewed", _Skewed())
    one = logged(WORLD, _Skewed(), rounds=2_000, seed=5, logger="skewed")
    two = [
        replace(row, decision_id=f"u{row.row}", row=2_000 + row.row)
        for row in logged(WORLD, UniformPolicy(), rounds=2_000, seed=6, logger="uniform")
    ]
    both = log([*one, *two])
    report = evaluate(
        both, "fixed:bestsellers", estimators=["ips", "balanced_ips"],
        loggers={"skewed": Static("skewed", _Skewed()), "uniform": "uniform"},
    )  # fmt: skip
    plain, balanced = report.estimates
    assert (balanced.standard_error or 1.0) < 0.8 * (plain.standard_error or 0.0)
    truth = value(WORLD, FixedPolicy("bestsellers"), rounds=2_000, seed=5)
    assert balanced.value == pytest.approx(truth, abs=0.03)
    with pytest.raises(InvalidInputError, match="got none for uniform"):
        evaluate(both, "uniform", estimators=["balanced_ips"], loggers={"skewed": skewed})


class _Skewed:
    def distribution(self, context: Features, actions: Sequence[Action]) -> list[float]:  # noqa: ARG002
        return [
            0.02 if action.action_id == "bestsellers" else 0.98 / (len(actions) - 1) for action in actions
        ]


def test_a_log_of_a_policy_that_learned_is_evaluated_too() -> None:
    rows = logged(WORLD, PolicySettings(), rounds=ROUNDS, seed=4)
    truth = value(WORLD, UniformPolicy(), rounds=ROUNDS, seed=4)
    report = evaluate(log(rows), "uniform")
    assert report.estimates[0].low is not None
    assert report.estimates[0].high is not None
    assert report.estimates[0].low < truth < report.estimates[0].high
    assert report.verdict.outcome == "worse"


def test_broken_propensities_get_no_number_without_a_warning(rows: list[Logged]) -> None:
    broken = [replace(row, probability=0.4, pmf=None) for row in rows]
    report = evaluate(log(broken), f"fixed:{BEST}")
    assert report.verdict.outcome == "insufficient support"
    assert all(estimate.warning for estimate in [*report.estimates, *report.differences])


def test_rewards_of_any_range_scale_all_that_is_said(rows: list[Logged]) -> None:
    dollars = MemoryLog([replace(row, reward=20.0 * row.reward - 5.0) for row in rows])
    one, other = evaluate(log(rows), f"fixed:{BEST}"), evaluate(dollars, f"fixed:{BEST}")
    for plain, scaled in zip(one.differences, other.differences, strict=True):
        if plain.estimator in {"dr", "snips", "sndr"}:
            assert scaled.value == pytest.approx(20.0 * (plain.value or 0.0), rel=1e-6)


def test_the_confidence_sequence_narrows_and_ends_around_the_truth(rows: list[Logged]) -> None:
    report = evaluate(log(rows), f"fixed:{BEST}")
    assert report.sequence is not None
    peeks = report.sequence.peeks
    truth = value(WORLD, FixedPolicy(BEST), rounds=ROUNDS, seed=3) - value(
        WORLD, UniformPolicy(), rounds=ROUNDS, seed=3
    )
    assert peeks[-1].rounds == ROUNDS
    assert peeks[-1].low < truth < peeks[-1].high
    assert peeks[-1].high - peeks[-1].low < 0.4 * (peeks[5].high - peeks[5].low)


@pytest.mark.parametrize("count", [59, 1_000])
def test_however_a_log_is_cut_the_peeks_are_the_same_few(rows: list[Logged], count: int) -> None:
    found = [
        evaluate(
            MemoryLog(rows[:count], reward_range=(0.0, 1.0), chunk=chunk), f"fixed:{BEST}", estimators=["ips"]
        ).sequence
        for chunk in (1, 7, 10_000)
    ]
    looked = [[peek.rounds for peek in each.peeks] if each else [] for each in found]
    assert 50 <= len(looked[0]) <= 60
    assert looked[0][-1] == count
    assert looked[0] == looked[1] == looked[2]


def test_a_reference_may_be_given_as_an_object(rows: list[Logged]) -> None:
    one, other = evaluate(log(rows), "uniform"), evaluate(log(rows), "uniform", against=TheLogged())
    assert replace(one, seconds=0.0) == replace(other, seconds=0.0)


def test_a_tuned_estimate_stands_beside_the_untuned_one_and_holds_its_interval(rows: list[Logged]) -> None:
    report = evaluate(log(rows), f"fixed:{BEST}", estimators=["snips", "slope:dros", "slope:clipped_ips"])
    truth = value(WORLD, FixedPolicy(BEST), rounds=ROUNDS, seed=3)
    names = [estimate.estimator for estimate in report.estimates]
    assert names[:2] == ["snips", "dr"]
    assert names[2].startswith("dros(limit=")
    assert names[2].endswith(") by slope")
    assert names[3].startswith("clipped_ips(limit=")
    untuned = report.estimates[1]
    for tuned in report.estimates[2:]:
        assert (tuned.low or 1.0) <= (untuned.low or 0.0)
        assert (tuned.high or 0.0) >= (untuned.high or 1.0)
        assert (tuned.low or 1.0) < truth < (tuned.high or 0.0)
    assert [estimate.estimator for estimate in report.differences][:2] == ["snips", "dr"]
    with pytest.raises(InvalidInputError, match="expected first one that decides the verdict"):
        evaluate(log(rows), "uniform", estimators=["slope:dros"])
    with pytest.raises(InvalidInputError, match="estimator snips: expected settings it has"):
        evaluate(log(rows), "uniform", estimators=["dr", "slope:snips"])


def test_arrays_are_a_log(rows: list[Logged]) -> None:
    names = [action.action_id for action in rows[0].actions]
    made = MemoryLog.from_arrays(
        reward=[row.reward for row in rows],
        action=[row.chosen for row in rows],
        pmf=np.array([row.pmf for row in rows]).tolist(),
        actions=names,
        context=[row.context for row in rows],
        reward_range=(0.0, 1.0),
    )
    ours, theirs = evaluate(log(rows), f"fixed:{BEST}"), evaluate(made, f"fixed:{BEST}")
    assert theirs.estimates[1:3] == ours.estimates[1:3]
    with pytest.raises(InvalidInputError, match="reward of 2, action of 1"):
        MemoryLog.from_arrays(reward=[1.0, 0.0], action=[0], probability=[0.5, 0.5])
    outside = MemoryLog.from_arrays(reward=[1.0], action=[3], pmf=[[0.5, 0.5]])
    with pytest.raises(InvalidInputError, match="1 of 1 row cannot be used"):
        evaluate(outside, "uniform")


def test_what_was_seen_of_rewards_is_not_what_they_may_be(rows: list[Logged]) -> None:
    """Where nobody said between what rewards lie there is no sequence, and what is unsupported is refused."""
    assert evaluate(MemoryLog(rows), "uniform").sequence is None
    never_first = [
        replace(row, pmf=[0.0, 0.25, 0.25, 0.25, 0.25], probability=0.25) for row in rows if row.chosen
    ]
    assert evaluate(MemoryLog(never_first), "uniform").verdict.outcome == "insufficient support"


def test_what_learns_has_seen_as_much_as_the_saved_policy_that_it_is_compared_with(
    rows: list[Logged],
) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    timed = [replace(row, decided_at=noon + timedelta(seconds=row.row)) for row in rows]
    saved = Static("model:1", FixedPolicy(BEST), learned_until=noon + timedelta(seconds=ROUNDS // 2))
    beside = evaluate(log(timed), "default", against=saved, estimators=["ips"])
    warm = evaluate(log(timed), "default", against=f"fixed:{BEST}", estimators=["ips"], learn_first=0.5)
    assert beside.rounds == warm.rounds == ROUNDS // 2
    assert beside.estimates == warm.estimates


def test_rewards_outside_the_declared_range_are_refused_or_counted(rows: list[Logged]) -> None:
    spent = [replace(row, reward=50.0) if row.row == 7 else row for row in rows[:1_000]]
    with pytest.raises(InvalidInputError, match=r"reward outside the range: 1 row: 7\."):
        evaluate(log(spent), "uniform")
    assert evaluate(log(spent), "uniform", exclude=True).excluded == {"reward outside the range": 1}


def test_what_rounding_leaves_of_equal_rewards_is_no_difference(rows: list[Logged]) -> None:
    skewed = logged(WORLD, _Skewed(), rounds=1_000, seed=8)
    equal = MemoryLog([replace(row, reward=0.001) for row in skewed], reward_range=(0.0, 0.002))
    report = evaluate(equal, "uniform")
    assert report.estimates[0].value == pytest.approx(0.001)
    assert report.verdict.outcome in ("no difference shown", "insufficient support")
    uniform_log = MemoryLog([replace(row, reward=0.001) for row in rows], reward_range=(0.0, 0.002))
    assert evaluate(uniform_log, f"fixed:{BEST}").verdict.outcome == "no difference shown"
