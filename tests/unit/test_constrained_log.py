"""100,000 decisions of a trained model under constraints: shares are met, and the log tells the truth."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import cel
import msgspec
import numpy as np
import pytest

from bandit.catalogue import checked
from bandit.decide import choose
from bandit.policy import FixedPolicy, Policy, UniformPolicy
from bandit.sampling import uniform
from bandit.shares import shaped
from bandit.steering import Boost, Constraint
from bandit.types import Action, Bandit, BanditConfig, Decision, DecisionInput, Features, SquareCB
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Running
from simulations.estimators.named import estimator
from tests.unit.test_policies import ACTIONS, trained

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
DRAWS, ROUNDS = 100_000, 2_000
CONTEXTS: list[Features] = [
    {"x": x, "half": "low" if x < 0.5 else "high"} for x in np.linspace(0.05, 0.95, 10).tolist()
]
CONFIG = checked(
    BanditConfig(
        actions=ACTIONS,
        constraints=[
            Constraint(name="a floor", actions=["a0"], floor=0.1),
            Constraint(name="a ceiling", actions=["a1"], ceiling=0.4),
            Constraint(name="a segment's floor", segments=["s1"], floor=0.3),
            Constraint(name="a segment's ceiling", segments=["s0"], ceiling=0.65),
        ],
        boosts=[Boost(name="more of it", actions=["a4"], multiplier=3.0, if_="context.half == 'high'")],
        exploration_floor=0.05,
    )
)
BANDIT = Bandit(
    bandit_key="hero", config_version=1, config=CONFIG, salt="salt", archived=False, created_at=NOW
)


class Served(NamedTuple):
    bandit: Bandit
    policy: Policy | None
    model_version: int


@pytest.fixture(scope="module")
def learned() -> Policy:
    return trained(SquareCB()).policy


@pytest.fixture(scope="module")
def log(learned: Policy) -> list[Decision]:
    served = Served(BANDIT, learned, 1)
    return [
        choose(served, DecisionInput(context=CONTEXTS[i % len(CONTEXTS)]), f"d-{i}", NOW)
        for i in range(DRAWS)
    ]


def pays(context: Features, action: Action) -> float:
    """The probability of a reward, which is not what the model was trained on."""
    return 0.1 + 0.6 * float(abs(context["x"] - action.features["price"]))


def reward(decision: Decision) -> float:
    return float(uniform("reward", decision.decision_id) < pays(decision.asked.context, decision.action))


def within(count: int, low: float, high: float) -> bool:
    """Up to four standard errors."""
    return (
        low - 4 * math.sqrt(low * (1 - low) / DRAWS)
        <= count / DRAWS
        <= high + 4 * math.sqrt(high * (1 - high) / DRAWS)
    )


def test_the_model_would_not_keep_the_constraints_by_itself(learned: Policy) -> None:
    pmfs = [learned.distribution(context, ACTIONS) for context in CONTEXTS]
    assert min(pmf[0] for pmf in pmfs) < 0.05
    assert max(pmf[1] for pmf in pmfs) > 0.5


def test_shares_over_all_draws_meet_floors_and_ceilings(log: list[Decision]) -> None:
    actions = Counter(decision.action.action_id for decision in log)
    segments = Counter(decision.action.segment for decision in log)
    assert within(actions["a0"], 0.1, 1.0)
    assert within(actions["a1"], 0.0, 0.4)
    assert within(segments["s1"], 0.3, 1.0)
    assert within(segments["s0"], 0.0, 0.65)
    assert all(within(actions[action.action_id], 0.05 / len(ACTIONS), 1.0) for action in ACTIONS)


def test_each_action_is_drawn_as_often_as_its_logged_probability_says(log: list[Decision]) -> None:
    for index, action in enumerate(ACTIONS):
        pmf = np.array([decision.pmf[index] for decision in log])
        drawn = sum(decision.action.action_id == action.action_id for decision in log)
        assert abs(drawn - pmf.sum()) < 4 * math.sqrt((pmf * (1 - pmf)).sum())


def test_a_context_is_handed_over_once_for_constraints_and_boosts(monkeypatch: pytest.MonkeyPatch) -> None:
    handed_over = []

    handing_over = cel.Context

    def counting(variables: dict[str, Any]) -> Any:
        handed_over.append(variables)
        return handing_over(variables=variables)

    monkeypatch.setattr(cel, "Context", counting)
    adults = Constraint(name="adults", actions=["a1"], eligible_if="context.half == 'high'")
    config = msgspec.structs.replace(CONFIG, constraints=[adults])
    served = Served(msgspec.structs.replace(BANDIT, config=config), UniformPolicy(), 1)
    decision = choose(served, DecisionInput(context=CONTEXTS[-1]), "d", NOW)
    assert len(decision.offered) == len(ACTIONS)
    assert decision.unboosted is not None
    assert len(handed_over) == 1


def test_the_log_says_what_a_boost_moved(log: list[Decision]) -> None:
    for decision in log[: len(CONTEXTS)]:
        boosted = decision.asked.context["half"] == "high"
        assert (decision.unboosted is not None) is boosted
        if decision.unboosted is not None:
            assert decision.unboosted[4] <= decision.pmf[4]


class Unboosted:
    """What the constraints alone would have made of the model."""

    def __init__(self, learned: Policy) -> None:
        self._learned = learned

    def distribution(self, context: Features, actions: Sequence[Action]) -> list[float]:
        found = shaped(CONFIG, actions, self._learned.distribution(context, actions), context, NOW, None)
        return found.unboosted or found.pmf


@pytest.mark.parametrize("target", ["the model itself", "without boosts", "uniform", "held down", "held up"])
def test_snips_on_the_constrained_log_is_unbiased(log: list[Decision], learned: Policy, target: str) -> None:
    policies: dict[str, Policy] = {
        "the model itself": learned,
        "without boosts": Unboosted(learned),
        "uniform": UniformPolicy(),
        "held down": FixedPolicy("a1"),
        "held up": FixedPolicy("a0"),
    }
    pmfs = [policies[target].distribution(context, ACTIONS) for context in CONTEXTS]
    truth = np.mean(
        [
            sum(p * pays(context, action) for p, action in zip(pmf, ACTIONS, strict=True))
            for context, pmf in zip(CONTEXTS, pmfs, strict=True)
        ]
    )
    estimates = []
    for begin in range(0, DRAWS, ROUNDS):
        part = log[begin : begin + ROUNDS]
        rounds = Rounds(
            reward=np.array([reward(decision) for decision in part]),
            probability=np.array([decision.probability for decision in part]),
            target_probability=np.array(
                [pmfs[i % len(CONTEXTS)][decision.chosen] for i, decision in enumerate(part, begin)]
            ),
        )
        estimates.append(Running.of(estimator("snips"), rounds).value)
    standard_error = np.std(estimates, ddof=1) / math.sqrt(len(estimates))
    assert abs(np.mean(estimates) - truth) < 4 * standard_error
    assert standard_error < 0.01, "or the test could not fail"
