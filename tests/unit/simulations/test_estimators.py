"""Every estimator gives what the reference gives, and keeps the properties that all share."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.errors import InvalidInputError
from simulations.columns.exact import Floats
from simulations.columns.rounds import Predictions, Rounds
from simulations.estimators.contract import Estimator, Running
from simulations.estimators.named import ESTIMATORS, estimator

from .reference import synthetic

ALL = [
    *ESTIMATORS,
    "clipped_ips:limit=1.5",
    "clipped_dr:limit=1.5",
    "switch_dr:limit=1.5",
    "dros:limit=2",
    "sg_ips:shrinkage=0.5",
    "sg_dr:shrinkage=1",
    "replay:bound=30",
]
#: Those that are the mean reward of the log when its policy is the target.
ON_POLICY = [
    name
    for name in ALL
    if name.split(":")[0] in ("ips", "clipped_ips", "snips", "sg_ips", "balanced_ips", "mips")
]
_PUBLISHED = {
    "ips": "ips",
    "snips": "snips",
    "dm": "dm",
    "dr": "dr",
    "sndr": "sndr",
    "clipped_ips:limit=5": "clipped_ips(lambda=5)",
    "clipped_dr:limit=5": "clipped_dr(lambda=5)",
    "switch_dr:limit=5": "switch_dr(lambda=5)",
    "dros:limit=20": "dros(lambda=20)",
    "sg_ips:shrinkage=0.01": "sg_ips(lambda=0.01)",
    "sg_dr:shrinkage=0.01": "sg_dr(lambda=0.01)",
}


def whole(count: int, seed: int) -> Rounds:
    """Rounds with every column, weights below 10 and full-length mantissas."""
    rng = np.random.default_rng(seed)
    probability = rng.uniform(0.1, 1.0, count)
    predicted = [Predictions(logged=rng.normal(size=count), target=rng.normal(size=count)) for _ in range(2)]
    return Rounds(
        reward=rng.normal(size=count),
        probability=probability,
        target_probability=rng.uniform(0.0, 1.0, count) * (rng.random(count) < 0.8),
        predictions=predicted[0],
        robust_predictions=predicted[1],
        embedding_weight=rng.gamma(1.0, size=count),
        mixture_probability=(probability + rng.uniform(0.1, 1.0, count)) / 2.0,
        draw=rng.random(count),
    )


@pytest.mark.parametrize("log", ["ope_dense", "ope_sparse"])
@pytest.mark.parametrize(("ours", "theirs"), _PUBLISHED.items())
def test_the_reference(log: str, ours: str, theirs: str) -> None:
    rounds, values = synthetic(log)
    assert Running.of(estimator(ours), rounds).value == pytest.approx(values[theirs], rel=0, abs=1e-9)


@pytest.mark.parametrize("name", ALL)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 60), data=st.data())
@settings(max_examples=25, deadline=None)
def test_parts_are_the_whole_in_any_order(name: str, seed: int, count: int, data: st.DataObject) -> None:
    rounds, chosen = whole(count, seed), estimator(name)
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, count), max_size=5))), count]
    parts = [Running.of(chosen, rounds[slice(*pair)]) for pair in itertools.pairwise(cuts)]
    random.Random(seed).shuffle(parts)
    merged = sum(parts, Running.start(chosen))
    assert merged == Running.of(chosen, rounds)
    assert _same(merged.value, Running.of(chosen, rounds).value)
    assert _same(merged.standard_error, Running.of(chosen, rounds).standard_error)


@pytest.mark.parametrize("name", ALL)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_gradient_is_the_derivative(name: str, seed: int) -> None:
    chosen = estimator(name)
    means = np.random.default_rng(seed).uniform(0.2, 2.0, chosen.size)
    assert chosen.gradient(means) == pytest.approx(_slopes(chosen, means), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", ALL)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(-100.0, 100.0))
@settings(max_examples=20, deadline=None)
def test_rewards_in_another_unit_give_the_value_in_that_unit(name: str, seed: int, scale: float) -> None:
    rounds, chosen = whole(50, seed), estimator(name)
    models = [
        Predictions(logged=model.logged * scale, target=model.target * scale)
        for model in (rounds.predictions, rounds.robust_predictions)
        if model
    ]
    scaled = replace(
        rounds, reward=rounds.reward * scale, predictions=models[0], robust_predictions=models[1]
    )
    before, after = Running.of(chosen, rounds), Running.of(chosen, scaled)
    assert after.value == pytest.approx(before.value * scale, rel=1e-9, abs=1e-9, nan_ok=True)
    assert after.standard_error == pytest.approx(
        before.standard_error * abs(scale), rel=1e-6, abs=1e-6 * max(1.0, abs(scale)), nan_ok=True
    )


@pytest.mark.parametrize("name", ON_POLICY)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_of_the_logging_policy_itself_they_find_the_mean_reward(name: str, seed: int) -> None:
    rounds = whole(50, seed)
    same = replace(
        rounds,
        target_probability=rounds.probability,
        mixture_probability=rounds.probability,
        embedding_weight=np.ones(50),
    )
    assert Running.of(estimator(name), same).value == pytest.approx(
        rounds.reward.mean(), rel=1e-12, abs=1e-12
    )


def test_replay_of_the_logging_policy_keeps_every_round() -> None:
    rounds = whole(50, 1)
    same = Running.of(estimator("replay:bound=1"), replace(rounds, target_probability=rounds.probability))
    assert same.value == pytest.approx(rounds.reward.mean())
    assert same.moments.means[1] == 1.0


@pytest.mark.parametrize(
    ("limited", "without"),
    [
        ("clipped_ips:limit=1e9", "ips"),
        ("clipped_dr:limit=1e9", "dr"),
        ("switch_dr:limit=inf", "dr"),
        ("dros:limit=inf", "dr"),
        ("sg_ips:shrinkage=0", "ips"),
        ("sg_dr:shrinkage=0", "dr"),
        ("switch_dr:limit=1e-9", "dm"),
        ("dros:limit=1e-300", "dm"),
    ],
)
def test_at_the_ends_of_their_settings_they_are_simpler_ones(limited: str, without: str) -> None:
    rounds = whole(200, 3)
    found = Running.of(estimator(limited), rounds).value
    assert found == pytest.approx(Running.of(estimator(without), rounds).value, rel=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_nothing_seen_is_not_a_number(name: str) -> None:
    nothing = Running.start(estimator(name))
    assert nothing == Running.of(estimator(name), whole(3, 0)[:0])
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.standard_error)


@pytest.mark.parametrize("name", ALL)
def test_one_round_has_no_standard_error(name: str) -> None:
    assert math.isnan(Running.of(estimator(name), whole(1, 0)).standard_error)


@pytest.mark.parametrize("name", ["snips", "sndr", "replay"])
def test_without_weight_a_ratio_is_not_a_number(name: str) -> None:
    nothing = Running.of(estimator(name), replace(whole(5, 0), target_probability=np.zeros(5)))
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.standard_error)


@pytest.mark.parametrize("name", ["dm", "dr", "clipped_dr", "sndr", "switch_dr", "dros", "sg_dr", "mrdr"])
def test_predictions_that_miss_are_named(name: str) -> None:
    bare = replace(whole(3, 0), predictions=None, robust_predictions=None)
    with pytest.raises(InvalidInputError, match=f"^{name}.*: expected rounds with .*predictions"):
        Running.of(estimator(name), bare)


@pytest.mark.parametrize(
    ("name", "column"),
    [("mips", "embedding_weight"), ("balanced_ips", "mixture_probability"), ("replay", "draw")],
)
def test_a_column_that_misses_is_named(name: str, column: str) -> None:
    bare = replace(whole(3, 0), embedding_weight=None, mixture_probability=None, draw=None)
    with pytest.raises(InvalidInputError, match=f"expected rounds with {column}, got none"):
        Running.of(estimator(name), bare)


def test_states_of_different_settings_do_not_merge() -> None:
    rounds = whole(3, 0)
    with pytest.raises(ValueError, match="expected two states"):
        Running.of(estimator("dros:limit=1"), rounds) + Running.of(estimator("dros:limit=2"), rounds)


@pytest.mark.parametrize("text", ["", "best", "dr:limit=3", "clipped_ips:limit", "clipped_ips:limit=x"])
def test_an_unknown_name_or_setting_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"estimator.*: expected"):
        estimator(text)


@pytest.mark.parametrize(
    "text",
    ["clipped_ips:limit=0", "clipped_dr:limit=nan", "switch_dr:limit=-1", "dros:limit=0", "replay:bound=0"],
)
def test_a_limit_is_above_zero(text: str) -> None:
    with pytest.raises(InvalidInputError, match="expected a number above 0"):
        estimator(text)


@pytest.mark.parametrize("text", ["sg_ips:shrinkage=-0.1", "sg_dr:shrinkage=1.5", "sg_ips:shrinkage=nan"])
def test_a_shrinkage_is_a_fraction(text: str) -> None:
    with pytest.raises(InvalidInputError, match="expected a number from 0 to 1"):
        estimator(text)


def test_replay_refuses_weights_above_its_bound() -> None:
    rounds = Rounds(
        reward=np.ones(2),
        probability=np.full(2, 0.5),
        target_probability=np.array([0.5, 1.0]),
        draw=np.zeros(2),
    )
    with pytest.raises(InvalidInputError, match="expected no weight above the bound, got 2 at index 1"):
        Running.of(estimator("replay:bound=1.9"), rounds)
    with pytest.raises(InvalidInputError, match="got 3 at index 0"):
        Running.of(estimator("replay:bound=2"), replace(rounds, largest_weight=np.array([3.0, 2.0])))


def test_replay_is_that_of_li_on_a_uniform_log() -> None:
    """Rounds are kept where a target that does not draw chooses the logged action, whatever the draw."""
    rng = np.random.default_rng(5)
    chosen = rng.random(300) < 0.25
    rounds = Rounds(
        reward=rng.random(300),
        probability=np.full(300, 0.25),
        target_probability=chosen.astype(float),
        draw=rng.random(300),
    )
    assert Running.of(estimator("replay:bound=4"), rounds).value == pytest.approx(
        rounds.reward[chosen].mean()
    )


def test_replay_has_the_mean_that_ips_has() -> None:
    rng = np.random.default_rng(6)
    count = 200_000
    arm = (rng.random(count) < 0.7).astype(int)
    rounds = Rounds(
        reward=(rng.random(count) < np.array([0.2, 0.6])[arm]).astype(float),
        probability=np.array([0.3, 0.7])[arm],
        target_probability=np.array([0.8, 0.2])[arm],
        draw=rng.random(count),
    )
    found = Running.of(estimator("replay:bound=3"), rounds)
    assert abs(found.value - (0.8 * 0.2 + 0.2 * 0.6)) < 4.0 * found.standard_error


def _slopes(chosen: Estimator, means: Floats) -> Floats:
    steps = np.eye(len(means)) * 1e-6
    return np.array([(chosen.value(means + step) - chosen.value(means - step)) / 2e-6 for step in steps])


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
