"""The cross-fitted reward model: exact sums, honest folds, and that it finds what there is to find."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bandit.types import Action
from simulations.evaluation.reward_model import FOLDS, Encoded, RewardModel, RewardSums, encode
from simulations.logs.rows import Logged

ACTIONS = [Action(action_id=f"action-{n}") for n in range(5)]
DEVICES = ("phone", "desktop", "tablet")


def expected(device: str, action: int) -> float:
    return 0.6 if action % 3 == DEVICES.index(device) else 0.1


def rounds(count: int, seed: int = 1, rewards: float = 1.0) -> tuple[list[Logged], npt.NDArray[np.float64]]:
    """Rounds whose reward depends on the product of device and action, and the truth (count, actions)."""
    random = np.random.default_rng(seed)
    rows, truth = [], []
    for number in range(count):
        device, chosen = DEVICES[random.integers(3)], int(random.integers(5))
        truth.append([rewards * expected(device, action) for action in range(5)])
        rows.append(
            Logged(
                row=number + 1, decision_id=f"{seed}-{number}", actions=ACTIONS, chosen=chosen,
                probability=0.2, context={"device": device, "noise": float(random.random())},
                reward=rewards * float(random.random() < expected(device, chosen)),
            )
        )  # fmt: skip
    return rows, np.array(truth)


def sums(rows: list[Logged], weight: npt.NDArray[np.float64] | None = None, span: float = 1.0) -> RewardSums:
    return RewardSums.of(encode(rows), np.array([row.reward for row in rows]) / span, weight)


def same(one: RewardSums, other: RewardSums) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in RewardSums.__struct_fields__
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 299), max_size=5), st.randoms(use_true_random=False))
def test_sums_merge_exactly_however_the_log_was_cut(cuts: list[int], random: object) -> None:
    rows, _ = rounds(300)
    weight = np.random.default_rng(0).exponential(3.0, 300)
    places = [0, *sorted(set(cuts)), 300]
    parts = [sums(rows[a:b], weight[a:b]) for a, b in pairwise(places)]
    random.shuffle(parts)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert same(sum(parts, RewardSums.none()), sums(rows, weight))


def test_it_finds_the_product_of_context_and_action_in_units_of_the_reward() -> None:
    rows, truth = rounds(6_000, rewards=50.0)
    model = RewardModel.fit(sums(rows, span=50.0), (0.0, 50.0))
    fresh, truth = rounds(500, seed=2, rewards=50.0)
    errors = model.predict(encode(fresh)) - truth
    assert np.mean(errors**2) < 0.1 * truth.var()


def test_no_prediction_depends_on_the_rewards_of_its_own_fold() -> None:
    rows, _ = rounds(900)
    encoded = encode(rows)
    reward = np.array([row.reward for row in rows])
    before = RewardModel.fit(RewardSums.of(encoded, reward), (0.0, 1.0)).predict(encoded)
    for fold in range(FOLDS):
        own = encoded.fold == fold
        assert 200 < own.sum() < 400
        changed = np.where(own, 1.0 - reward, reward)
        after = RewardModel.fit(RewardSums.of(encoded, changed), (0.0, 1.0)).predict(encoded)
        assert np.array_equal(after[own], before[own])
        assert not np.array_equal(after[~own], before[~own])


def test_rounds_of_one_subject_lie_in_one_fold() -> None:
    rows, _ = rounds(30)
    folds = encode([replace(row, subject="always-me") for row in rows]).fold
    assert len(set(folds)) == 1
    assert len(set(encode(rows).fold)) == FOLDS


def test_predictions_are_of_the_logged_action_and_the_mean_over_the_target() -> None:
    rows, _ = rounds(600)
    model = RewardModel.fit(sums(rows), (0.0, 1.0))
    some = [*rows[:3], replace(rows[3], actions=ACTIONS[:2], chosen=1)]
    targets = [[0.2] * 5, [1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.5, 0.0], [0.25, 0.75]]
    encoded, found = encode(some), model.predictions(encode(some), targets)
    every = model.predict(encoded)
    for index, row in enumerate(some):
        assert found.logged[index] == every[index, row.chosen]
        assert found.target[index] == pytest.approx(
            np.dot(every[index, : len(targets[index])], targets[index])
        )


def test_weights_make_the_model_fit_where_they_are_large() -> None:
    rows, _ = rounds(3_000)
    phone = np.array([row.context["device"] == "phone" for row in rows])
    flipped = [
        replace(row, context={}, reward=float(on_phone)) for row, on_phone in zip(rows, phone, strict=True)
    ]
    light = RewardModel.fit(sums(flipped, np.where(phone, 0.1, 10.0)), (0.0, 1.0))
    heavy = RewardModel.fit(sums(flipped, np.where(phone, 10.0, 0.1)), (0.0, 1.0))
    assert light.predict(encode(flipped[:1])).max() < 0.1
    assert heavy.predict(encode(flipped[:1])).min() > 0.9


def test_no_rounds_and_no_context_are_no_trouble() -> None:
    model = RewardModel.fit(RewardSums.none(), (0.0, 1.0))
    bare = Logged(row=1, decision_id="d", actions=ACTIONS[:1], chosen=0, probability=1.0, reward=1.0)
    encoded: Encoded = encode([bare])
    assert model.predict(encoded) == 0.0
