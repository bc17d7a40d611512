"""Why a verdict refuses below 100 effective rounds and warns below 400, and what a heavy tail costs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from simulations.columns.exact import Floats
from simulations.diagnostics.tail import pareto_k
from simulations.evaluation.verdict import FEW_EFFECTIVE, FEWEST_EFFECTIVE, NO_MEAN


class World(NamedTuple):
    effective: float
    k: float
    covered: bool


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    """True logs of 500 to 5,000 rounds and 2 to 11 actions, and targets near the logger and far from it."""
    return [world(np.random.default_rng(seed)) for seed in range(3_000)]


def softmax(scores: Floats) -> Floats:
    grown: Floats = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Floats = grown / grown.sum(axis=1, keepdims=True)
    return shares


def world(generator: np.random.Generator) -> World:
    count, actions = int(generator.choice([500, 2_000, 5_000])), int(generator.integers(2, 12))
    contexts, sharp = generator.normal(size=(count, 4)), generator.choice([0.5, 1.0, 2.0])
    epsilon = generator.choice([0.01, 0.03, 0.1, 0.3])
    logging = (1.0 - epsilon) * softmax(sharp * contexts @ generator.normal(size=(4, actions)))
    logging += epsilon / actions
    target = softmax(sharp * contexts @ generator.normal(size=(4, actions)))
    rates = generator.choice([0.05, 0.3]) * 2.0 * generator.random((count, actions))
    chosen = (generator.random(count)[:, None] > logging.cumsum(axis=1)).sum(axis=1).clip(0, actions - 1)
    rows = np.arange(count)
    rewards = (generator.random(count) < rates[rows, chosen]).astype(float)
    weights = target[rows, chosen] / logging[rows, chosen]
    value = (weights * rewards).sum() / weights.sum()
    error = np.sqrt(((weights * (rewards - value)) ** 2).sum()) / weights.sum()
    k = pareto_k(-np.sort(-weights)[:1_000], count)
    truth = (target * rates).sum(axis=1).mean()
    return World(
        effective=float(weights.sum() ** 2 / (weights**2).sum()),
        k=float("-inf") if k is None else k,
        covered=bool(abs(value - truth) <= 1.96 * error),
    )


def coverage(worlds: list[World]) -> float:
    """Of the self-normalized estimate's interval by the delta method, at a nominal .95."""
    assert len(worlds) >= 100
    return float(np.mean([each.covered for each in worlds]))


def test_intervals_fail_below_the_fewest_effective_rounds_and_hold_above_few(worlds: list[World]) -> None:
    refused = coverage([each for each in worlds if each.effective < FEWEST_EFFECTIVE])
    warned = coverage([each for each in worlds if FEWEST_EFFECTIVE <= each.effective < FEW_EFFECTIVE])
    trusted = coverage([each for each in worlds if each.effective >= FEW_EFFECTIVE])
    print(f"\ncoverage: refused {refused:.3f}, warned {warned:.3f}, trusted {trusted:.3f}")
    assert refused < 0.85
    assert refused < warned < trusted
    assert trusted > 0.92


def test_intervals_fail_where_the_tail_has_no_mean(worlds: list[World]) -> None:
    refused = coverage([each for each in worlds if each.k > NO_MEAN])
    warned = coverage([each for each in worlds if 0.7 < each.k <= NO_MEAN])
    light = coverage([each for each in worlds if each.k <= 0.5])
    print(f"\ncoverage: k over 1 {refused:.3f}, over .7 {warned:.3f}, up to .5 {light:.3f}")
    assert refused < warned < light
    assert warned < 0.9
