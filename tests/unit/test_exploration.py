"""Our explorations against Vowpal Wabbit's own, on the same learned weights."""

from __future__ import annotations

import random

import pytest
import vowpalwabbit
from hypothesis import given
from hypothesis import strategies as st

from bandit import exploration, features, vw_arguments
from bandit.exploration import Rule
from bandit.fold import Fold
from bandit.types import Action, EpsilonGreedy, PolicySettings, Softmax, SquareCB, TrainingEvent

ACTIONS = [Action(action_id=f"a{i}", features={"price": i / 4}) for i in range(5)]
THEIRS: list[tuple[Rule, list[str]]] = [
    (EpsilonGreedy(epsilon=0.1), ["--epsilon=0.1"]),
    (
        SquareCB(gamma_scale=3.0, gamma_exponent=0.7),
        ["--squarecb", "--gamma_scale=3", "--gamma_exponent=0.7"],
    ),
    (Softmax(lambda_=7.0, epsilon=0.0), ["--softmax", "--lambda=7", "--epsilon=0"]),
]


@pytest.mark.parametrize(("rule", "options"), THEIRS, ids=lambda each: type(each).__name__)
def test_it_equals_vowpal_wabbits_own(rule: Rule, options: list[str]) -> None:
    settings = PolicySettings(exploration=rule, relearn=0)
    ours = Fold.start(settings, "salt")
    model = ours.policy.model
    common = [a for a in vw_arguments.arguments(settings) if a not in ("--cb_adf", "--rank_all")]
    theirs = vowpalwabbit.Workspace(arg_list=["--cb_explore_adf", *options, *common, "--quiet"])
    rng = random.Random(1)
    for seq in range(1, 400):
        context = {"x": rng.random(), "half": rng.choice("ab")}
        expected = theirs.predict(features.encode(context, ACTIONS))
        assert ours.policy.distribution(context, ACTIONS) == pytest.approx(expected, abs=2e-6)
        chosen = rng.randrange(5)
        event = TrainingEvent(
            seq=seq, context=context, actions=ACTIONS, chosen=chosen, probability=0.2,
            scaled_reward=float(rng.random() < 0.2 + chosen / 8),
        )  # fmt: skip
        labelled = model.labelled(context, ACTIONS, chosen, event.scaled_reward, 1.0)
        ours.learn(event)
        theirs.learn(labelled)
    theirs.finish()
    ours.close()


@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=50),
    st.integers(0, 10**9),
    st.sampled_from([rule for rule, _ in THEIRS] + [EpsilonGreedy(epsilon=0.0), SquareCB(gamma_scale=1e6)]),
)
def test_it_is_a_distribution_that_prefers_what_is_expected_to_earn_most(
    expected: list[float], learned: int, rule: Rule
) -> None:
    pmf = exploration.distribution(rule, expected, learned)
    assert len(pmf) == len(expected)
    assert sum(pmf) == pytest.approx(1.0, abs=1e-9)
    assert all(0.0 <= p <= 1.0 for p in pmf)
    assert pmf[expected.index(max(expected))] == pytest.approx(max(pmf), abs=1e-12)
