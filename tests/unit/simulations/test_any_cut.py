"""However a log is cut into chunks, and in whatever order these come, it says the same, bit for bit.

That is what lets a cluster read its parts side by side.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from simulations.columns.rounds import Rounds
from simulations.diagnostics.keyed import Keyed
from simulations.diagnostics.weights import Weights
from simulations.estimators.named import ESTIMATORS, estimator
from simulations.estimators.snips import SNIPS
from simulations.evaluation.evidence import Evidence, Plan, WarmUp
from simulations.evaluation.reward_model import RewardModel, RewardSums, encode
from simulations.intervals.rewarded import Rewarded
from simulations.logs.rows import Chunk, Logged, Problem
from simulations.logs.scan import Scan, Subjects
from simulations.policies import named
from simulations.policies.targets import Function, Target, Unboosted
from tests.unit.simulations.varied_log import ACTIONS, logged, odd_preference, varied_log

ROUNDS = 120
ROWS = logged(varied_log(ROUNDS, subjects=20))
PROBLEMS = [Problem(row, ("no reward", "broken JSON")[row % 2], f"row {row}: ...") for row in range(100)]
BOUND = "replay:bound=1e9"

MANY_ROUNDS = 12_000
_random = np.random.default_rng(1)
MANY = Rounds(
    reward=_random.choice([-1.0, 0.5, 1.0], MANY_ROUNDS),
    probability=_random.choice([0.1, 0.25, 0.3], MANY_ROUNDS),
    target_probability=_random.choice([0.0, 0.9, 0.7], MANY_ROUNDS, p=[0.05, 0.45, 0.5]),
)
BY_SUBJECT = [replace(ROWS[0], subject=f"s{number % 9_000}") for number in range(MANY_ROUNDS)]
Order = npt.NDArray[np.int64]

cuts = given(st.lists(st.integers(0, ROUNDS), max_size=12), st.randoms(use_true_random=False))
some = settings(max_examples=8, deadline=None)


def parts(places: list[int], random: Random) -> list[list[Logged]]:
    """The rows, cut and shuffled; some parts may be empty, some of one row."""
    rows = random.sample(ROWS, len(ROWS))
    found = [rows[start:end] for start, end in pairwise([0, *sorted(places), ROUNDS])]
    random.shuffle(found)
    return found


def sums(rows: list[Logged]) -> RewardSums:
    if not rows:
        return RewardSums.none()
    rewards = np.array([row.reward for row in rows])
    return RewardSums.of(encode(rows), rewards, np.array([1.0 / row.probability for row in rows]))


def rewarded(rows: Order) -> Rewarded:
    return Rewarded.of(SNIPS(), MANY[rows])


def weights(rows: Order) -> Weights:
    return Weights.of(MANY[rows].weight, MANY[rows].reward)


def subjects(rows: Order) -> Subjects:
    return Subjects.of([BY_SUBJECT[row] for row in rows.tolist()])


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 our own bytes


def plan(target: Target | None = None) -> Plan:
    model = RewardModel.fit(sums(ROWS), (0.0, 1.0))
    names = [BOUND if name == "replay" else name for name in ESTIMATORS]
    return Plan(
        target=target or Function("odd", odd_preference),
        reference=named.target(f"fixed:{','.join(ACTIONS)}", (0.0, 1.0)),
        estimators=[estimator(name) for name in names],
        clustered=True,
        model=model,
        robust_models=(model, model),
        loggers=[(named.target("uniform", (0.0, 1.0)), 0.3), (Function("odd", odd_preference), 0.7)],
        warm_up=WarmUp(0),
    )


def evidence(asked: Plan, cut: list[list[Logged]]) -> Evidence:
    return sum((asked.evidence(Chunk(rows, [])) for rows in cut), Evidence())


@some
@cuts
def test_evidence(places: list[int], random: Random) -> None:
    for asked in (plan(), plan(Unboosted())):
        assert evidence(asked, parts(places, random)) == evidence(asked, [ROWS])


def test_evidence_of_one_row_at_a_time_pickled() -> None:
    """As it comes from other processes."""
    asked = plan()
    again: Plan = pickled(asked)
    found = [pickled(again.evidence(Chunk([row], []))) for row in ROWS]
    assert sum(found, Evidence()) == evidence(asked, [ROWS])


@some
@cuts
def test_scan(places: list[int], random: Random) -> None:
    cut = parts(places, random)
    problems = [PROBLEMS[place :: len(cut)] for place in range(len(cut))]
    found = sum((Scan.of(Chunk(*both)) for both in zip(cut, problems, strict=True)), Scan())
    assert found == Scan.of(Chunk(ROWS, PROBLEMS))


@some
@cuts
def test_sums_for_the_reward_model(places: list[int], random: Random) -> None:
    found, whole = sum(map(sums, parts(places, random)), RewardSums.none()), sums(ROWS)
    assert np.array_equal(found.products, whole.products)
    assert np.array_equal(found.rewarded, whole.rewarded)


@some
@given(st.lists(st.integers(0, MANY_ROUNDS), max_size=12), st.integers(0, 2**32 - 1))
def test_beyond_what_is_kept(places: list[int], seed: int) -> None:
    """More weights, subjects and rounds with reward than are remembered, with ties among them."""
    order = np.random.default_rng(seed).permutation(MANY_ROUNDS)
    cut = [order[start:end] for start, end in pairwise([0, *sorted(places), MANY_ROUNDS])]
    for seen in (rewarded, weights, subjects):
        found = [seen(rows) for rows in cut]
        assert sum(found[1:], found[0]) == seen(np.arange(MANY_ROUNDS))


@some
@given(st.lists(st.dictionaries(st.text(max_size=2), st.integers(0, 9), max_size=6)), st.booleans())
def test_keys_beyond_what_is_kept(cut: list[dict[str, int]], days: bool) -> None:
    whole = sum(map(Counter, cut), Counter())

    def keyed(numbers: Mapping[str, int]) -> Keyed:
        return Keyed.of({key: (number,) for key, number in numbers.items()}, size=1, days=days, most=3)

    assert sum(map(keyed, cut), keyed({})) == keyed({key: whole[key] for part in cut for key in part})
