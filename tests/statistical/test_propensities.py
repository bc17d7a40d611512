"""Whether the logged probabilities are those with which actions are really drawn, whatever was learned."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from bandit.decide import choose
from bandit.fold import Fold
from bandit.serving import Serving
from bandit.types import Action, Bandit, BanditConfig, DecisionInput, Exploration, PolicySettings, SquareCB
from tests.unit.test_policies import ACTIONS, EXPLORATIONS, trained

N = 6_000
#: Two-sided 1e-5 for one comparison: some hundreds of comparisons with fixed seeds hardly ever exceed it.
SIGMAS = 4.4
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def serving(fold: Fold, actions: list[Action], settings: PolicySettings) -> Serving:
    config = BanditConfig(actions=actions, policy=settings)
    bandit = Bandit(
        bandit_key="b", config_version=1, config=config, salt="some-salt", archived=False, created_at=NOW
    )
    return Serving(bandit, fold.policy, 1)


@pytest.mark.parametrize("exploration", EXPLORATIONS, ids=lambda e: type(e).__name__)
def test_actions_are_drawn_as_often_as_logged(exploration: Exploration) -> None:
    fold = trained(exploration, 40)
    served = serving(fold, ACTIONS, PolicySettings(exploration=exploration))
    drawn, expected, variance = ([0.0] * len(ACTIONS) for _ in range(3))
    rng = random.Random(3)
    for i in range(N):
        decision = choose(served, DecisionInput(context={"x": rng.random()}), f"decision-{i}", NOW)
        drawn[decision.chosen] += 1
        for index, probability in enumerate(decision.pmf):
            expected[index] += probability
            variance[index] += probability * (1 - probability)
    for index in range(len(ACTIONS)):
        assert abs(drawn[index] - expected[index]) <= SIGMAS * variance[index] ** 0.5 + 1e-6
    fold.close()


def test_inverse_propensity_weights_give_back_the_value_of_another_policy() -> None:
    """With rewards that depend on context and action, and a policy that learned to prefer some."""
    fold = trained(SquareCB(), 60)
    served = serving(fold, ACTIONS, PolicySettings())
    rng = random.Random(4)
    total, square, truth = 0.0, 0.0, 0.0
    for i in range(N):
        x = rng.random()
        decision = choose(served, DecisionInput(context={"x": x}), f"other-{i}", NOW)
        value = [x, 1 - x, 0.5, x * x, 0.2]
        truth += sum(value) / 5  # the uniform policy's value at this context, known exactly
        estimate = 0.2 / decision.probability * value[decision.chosen]
        total += estimate
        square += estimate * estimate
    error = (square / N - (total / N) ** 2) ** 0.5 / N**0.5
    assert abs(total / N - truth / N) <= SIGMAS * error
    fold.close()
