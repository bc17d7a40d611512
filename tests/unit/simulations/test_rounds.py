"""What rounds accept, and how they are cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bandit.errors import InvalidInputError
from simulations.columns.rounds import Predictions, Rounds
from simulations.estimators.contract import Running, run
from simulations.estimators.dr import DR
from simulations.estimators.ips import IPS
from simulations.estimators.named import estimator

from .test_estimators import whole


@pytest.mark.parametrize(
    ("column", "bad"),
    [
        ("reward", np.nan),
        ("reward", np.inf),
        ("reward", 1e61),
        ("probability", 0.0),
        ("probability", 1.1),
        ("probability", 1e-61),
        ("target_probability", -0.1),
        ("target_probability", 1.1),
        ("embedding_weight", -1.0),
        ("mixture_probability", 0.0),
    ],
)
def test_what_no_estimate_could_stand_on_is_named(column: str, bad: float) -> None:
    values = np.full(5, 0.5)
    values[3] = bad
    with pytest.raises(InvalidInputError, match=rf"{column}: expected numbers from .* at index 3") as refused:
        replace(whole(5, 0), **{column: values})  # type: ignore[arg-type]
    assert refused.value.target == column


@pytest.mark.parametrize("model", ["predictions", "robust_predictions"])
def test_predictions_that_are_no_numbers_are_named(model: str) -> None:
    bad = Predictions(logged=np.ones(5), target=np.array([0.0, np.nan, 0.0, 0.0, 0.0]))
    with pytest.raises(InvalidInputError, match=rf"{model}\.target: .* at index 1"):
        replace(whole(5, 0), **{model: bad})  # type: ignore[arg-type]


def test_a_column_of_another_length_is_named() -> None:
    with pytest.raises(InvalidInputError, match=r"draw: expected 5 numbers, .* got shape \(4,\)"):
        replace(whole(5, 0), draw=np.zeros(4))
    with pytest.raises(InvalidInputError, match=r"predictions: expected 5 numbers, .* got shape \(4,\)"):
        replace(whole(5, 0), predictions=Predictions(logged=np.zeros(5), target=np.zeros(4)))


def test_from_matrices_looks_up_the_logged_action() -> None:
    rng = np.random.default_rng(3)
    count = 300_000  # several blocks
    target, predicted = rng.dirichlet(np.ones(3), count), rng.random((count, 3))
    action = rng.integers(0, 3, count)
    rounds = Rounds.from_matrices(
        reward=rng.random(count),
        action=action,
        probability=np.full(count, 0.25),
        target_probabilities=target,
        predicted_rewards=predicted,
    )
    rows = np.arange(count)
    assert rounds.predictions is not None
    assert (rounds.weight == target[rows, action] / 0.25).all()
    assert (rounds.predictions.logged == predicted[rows, action]).all()
    assert rounds.predictions.target == pytest.approx((target * predicted).sum(axis=1))


def test_an_action_that_is_no_column_is_named() -> None:
    with pytest.raises(InvalidInputError, match="action: expected numbers from 0 to 1, got 2 at index 0"):
        Rounds.from_matrices(
            reward=np.ones(1),
            action=np.array([2]),
            probability=np.ones(1),
            target_probabilities=np.full((1, 2), 0.5),
        )


@pytest.mark.parametrize(
    "rows", [slice(1, 4), np.array([False, True, True, True, False]), np.array([1, 2, 3])]
)
def test_some_rounds(rows: slice) -> None:
    rounds = whole(5, 1)
    assert rounds.weight is rounds.weight
    part = rounds[rows]
    assert len(part) == 3
    assert part.predictions is not None
    assert rounds.predictions is not None
    assert (part.reward == rounds.reward[1:4]).all()
    assert (part.weight == rounds.weight[1:4]).all()
    assert (part.predictions.target == rounds.predictions.target[1:4]).all()
    assert part.subject is None


def test_blocks_on_threads_are_the_whole() -> None:
    rounds = whole(300_000, 4)
    estimators = [estimator(name) for name in ("ips", "snips", "dr", "sndr", "dros", "clipped_ips")]
    assert run(estimators, rounds) == tuple(Running.of(each, rounds) for each in estimators)
    assert run([IPS(), DR()], rounds[:0]) == (Running.start(IPS()), Running.start(DR()))
