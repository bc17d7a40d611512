"""The check list that every policy and every exploration passes."""

from __future__ import annotations

import hashlib
import random

import msgspec
import pytest

from bandit import features, vw, vw_arguments
from bandit.errors import ModelRefusedError
from bandit.fold import Fold, relearn_count
from bandit.policy import FixedPolicy, Policy, UniformPolicy
from bandit.types import (
    Action,
    Bag,
    Cover,
    EpsilonGreedy,
    Exploration,
    PolicySettings,
    RegCB,
    Softmax,
    SquareCB,
    TrainingEvent,
)
from bandit.vw import Model

EXPLORATIONS: list[Exploration] = [EpsilonGreedy(), SquareCB(), RegCB(), Bag(), Cover(), Softmax()]
#: One value for each raw option of the allowlist.
ALLOWED = {
    "--bit_precision": "12", "--coin": None, "--ftrl": None, "--noconstant": None,
    "--power_t": "0.3", "--random_seed": "3",
}  # fmt: skip
ACTIONS = [Action(action_id=f"a{i}", segment=f"s{i % 2}", features={"price": i / 4}) for i in range(5)]
_names = [type(exploration).__name__ for exploration in EXPLORATIONS]


def events(n: int, seed: int = 1, more_fields: int = 0) -> list[TrainingEvent]:
    """Action 1 pays when x is small, action 3 when it is large; `more_fields` say nothing."""
    rng = random.Random(seed)
    made = []
    for seq in range(1, n + 1):
        x = rng.random()
        chosen = rng.randrange(5)
        reward = float(rng.random() < (0.9 if chosen == (1 if x < 0.5 else 3) else 0.1))
        made.append(
            TrainingEvent(
                seq=seq,
                context={"x": x, "half": "low" if x < 0.5 else "high"}
                | {f"more{i}": rng.random() for i in range(more_fields)},
                actions=ACTIONS,
                chosen=chosen, probability=0.2, scaled_reward=reward,
            )
        )  # fmt: skip
    return made


def trained(exploration: Exploration, n: int = 300) -> Fold:
    fold = Fold.start(PolicySettings(exploration=exploration), "salt")
    for event in events(n):
        fold.learn(event)
    return fold


def check_policy(policy: Policy) -> None:
    """What anything that calls itself a policy must do."""
    rng = random.Random(2)
    for n in (1, 2, 5):
        for _ in range(5):
            context = {"x": rng.random(), "half": "low"}
            pmf = policy.distribution(context, ACTIONS[:n])
            assert len(pmf) == n
            assert sum(pmf) == pytest.approx(1.0, abs=1e-9)
            assert all(0.0 <= p <= 1.0 for p in pmf)
            assert policy.distribution(context, ACTIONS[:n]) == pmf, "asking must not change it"


@pytest.mark.parametrize("policy", [UniformPolicy(), FixedPolicy("a3"), FixedPolicy(None)])
def test_simple_policies_keep_the_contract(policy: Policy) -> None:
    check_policy(policy)


@pytest.mark.parametrize("exploration", EXPLORATIONS, ids=_names)
def test_every_exploration_keeps_the_contract_before_and_after_learning(exploration: Exploration) -> None:
    untrained, fold = Fold.start(PolicySettings(exploration=exploration), "salt"), trained(exploration)
    check_policy(untrained.policy)
    check_policy(fold.policy)
    untrained.close()
    fold.close()


@pytest.mark.parametrize("exploration", EXPLORATIONS, ids=_names)
def test_every_exploration_learns_to_personalize(exploration: Exploration) -> None:
    fold = trained(exploration, 1_500)
    low = fold.policy.distribution({"x": 0.1, "half": "low"}, ACTIONS)
    high = fold.policy.distribution({"x": 0.9, "half": "high"}, ACTIONS)
    assert max(range(5), key=low.__getitem__) == 1
    assert max(range(5), key=high.__getitem__) == 3
    fold.close()


@pytest.mark.parametrize(
    "settings",
    [
        PolicySettings(exploration=exploration, vw_arguments=arguments)
        for exploration in EXPLORATIONS
        for arguments in [[], *([a if v is None else f"{a}={v}"] for a, v in ALLOWED.items())]
    ],
    ids=lambda settings: type(settings.exploration).__name__ + " ".join(settings.vw_arguments),
)
def test_a_resumed_fold_equals_an_uninterrupted_one(settings: PolicySettings) -> None:
    settings = msgspec.structs.replace(settings, relearn=3, relearn_window=40)
    log = events(150, more_fields=22)
    assert relearn_count(settings, features.size(log[0].context)) == 3
    whole = Fold.start(settings, "salt")
    for event in log:
        whole.learn(event)
    parts = Fold.start(settings, "salt")
    for event in log:
        parts.policy.distribution(event.context, ACTIONS)  # asking changes nothing
        parts.learn(event)
        if event.seq % 37 == 0:  # as if killed here: bytes from the database, past from the log
            data = parts.to_bytes()
            parts.close()
            learned = parts.policy.learned
            model = Model.from_bytes(data, hashlib.sha256(data).hexdigest(), settings)
            past = log[parts.resumes_after : event.seq]
            detector = parts.detector
            parts = Fold.resume(settings, "salt", model, event.seq, learned, past, detector=detector)
    for event in events(30, seed=9, more_fields=22):
        expected = whole.policy.distribution(event.context, ACTIONS)
        assert parts.policy.distribution(event.context, ACTIONS) == expected
    fingerprints = [vw.weights_sha256(fold.to_bytes(), settings) for fold in (whole, parts)]
    assert fingerprints[0] == fingerprints[1]
    whole.learn(msgspec.structs.replace(log[0], seq=151, scaled_reward=0.25))
    assert vw.weights_sha256(whole.to_bytes(), settings) != fingerprints[0]
    whole.close()
    parts.close()


def test_every_listed_option_is_resumed_in_a_test() -> None:
    assert {name.removeprefix("--") for name in ALLOWED} == vw_arguments.ALLOWED_ARGUMENTS.keys()


def test_a_fold_takes_the_log_in_order_and_whole() -> None:
    fold = trained(SquareCB(), 10)
    with pytest.raises(ValueError, match="expected event 11"):
        fold.learn(events(12)[-1])
    with pytest.raises(ValueError, match="expected the 5 events"):
        Fold.resume(PolicySettings(), "salt", Model.untrained(PolicySettings()), 5, 5, [])
    fold.close()


def _settings() -> list[PolicySettings]:
    raw = [[name if value is None else f"{name}={value}"] for name, value in ALLOWED.items()]
    return [PolicySettings(exploration=one) for one in EXPLORATIONS] + [
        PolicySettings(vw_arguments=arguments) for arguments in raw
    ]


@pytest.mark.parametrize(
    "settings", _settings(), ids=lambda s: f"{type(s.exploration).__name__} {s.vw_arguments}"
)
def test_a_model_that_only_predicts_predicts_the_same_bit_for_bit(settings: PolicySettings) -> None:
    fold = Fold.start(settings, "salt")
    for event in events(300):
        fold.learn(event)
    data = fold.to_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    whole, read_only = Model.from_bytes(data, sha256, settings), Model.read_only(data, sha256, settings)
    another = Model.read_only(data, sha256, settings)  # they share a parser
    for event in events(100, seed=2):
        lines = features.encode(event.context, event.actions)
        ask = [m.expected_rewards if m.scores else m.predict for m in (whole, read_only, another)]
        expected = ask[0](lines)
        assert [one(lines) for one in ask[1:]] == [expected, expected]
        assert len(set(expected)) > 1
    for model in (whole, read_only, another):
        model.close()
    fold.close()


@pytest.mark.parametrize("exploration", EXPLORATIONS, ids=_names)
def test_models_that_learned_nothing_may_be_one_and_are_freed_alone(exploration: Exploration) -> None:
    settings = PolicySettings(exploration=exploration)
    one, other, own = (f(settings) for f in (Model.read_only_untrained,) * 2 + (Model.untrained,))
    lines = features.encode({"x": 0.3}, ACTIONS)
    expected = own.expected_rewards(lines) if own.scores else own.predict(lines)
    for model in (one, other):
        assert (model.expected_rewards(lines) if model.scores else model.predict(lines)) == expected
        model.close()
    own.close()


def test_bytes_that_were_changed_are_not_read_either() -> None:
    fold = trained(SquareCB())
    data = fold.to_bytes()
    with pytest.raises(ModelRefusedError, match="sha256"):
        Model.read_only(data + b"\0", hashlib.sha256(data).hexdigest(), PolicySettings())
    fold.close()
