"""Worlds that move: what the detector of falling rewards does, and what a fold forgets."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit import vw
from bandit.drift import Detector
from bandit.errors import InvalidInputError
from bandit.fold import Fold, held
from bandit.types import Action, Bag, Drift, HalfLife, PolicySettings, TrainingEvent, Window
from bandit.vw import Model

ACTIONS = [Action(action_id=name) for name in "ab"]
#: Small, so that begin anew, fade and look back happen within a short log.
SETTINGS = {
    "restart": PolicySettings(relearn_window=100),
    "signal": PolicySettings(relearn_window=100, on_drift="signal"),
    "window": PolicySettings(relearn_window=30, forgetting=Window(events=100)),
    "half-life": PolicySettings(relearn_window=100, forgetting=HalfLife(events=100)),
    "bag": PolicySettings(exploration=Bag(size=2), relearn_window=20, forgetting=Window(events=100)),
}


def alarms(rewards: Sequence[float]) -> list[int]:
    """After how many rewards the detector gave an alarm; what was expected does not matter to it."""
    detector = Detector()
    return [count for count, reward in enumerate(rewards, start=1) if detector.add(reward, 0.5)]


def clicks(rng: random.Random, rate: float, count: int) -> list[float]:
    return [float(rng.random() < rate) for _ in range(count)]


@pytest.mark.parametrize("rate", [0.002, 0.01, 0.05, 0.2, 0.5, 0.95, 0.99])
def test_false_alarms_are_rare(rate: float) -> None:
    """Not one in 50,000 events."""
    assert sum(len(alarms(clicks(random.Random(seed), rate, 40_000))) for seed in range(5)) < 4


@pytest.mark.parametrize(
    ("rate", "fallen", "within"), [(0.95, 0.6, 60), (0.6, 0.3, 150), (0.3, 0.1, 250), (0.05, 0.015, 3_000)]
)
def test_a_fall_is_found_soon(rate: float, fallen: float, within: int) -> None:
    for seed in range(10):
        rng = random.Random(seed)
        found = alarms(clicks(rng, rate, 5_000) + clicks(rng, fallen, within))
        assert any(after > 5_000 for after in found)


def test_a_rise_is_no_alarm() -> None:
    for seed in range(10):
        rng = random.Random(seed)
        assert not alarms(clicks(rng, 0.1, 2_000) + clicks(rng, 0.4, 2_000) + clicks(rng, 0.6, 2_000))


def flipping(count: int, flip: int, seed: int = 1) -> list[TrainingEvent]:
    """Action a pays .9 and is mostly chosen; after `flip` events it pays .2."""
    rng = random.Random(seed)
    found = []
    for seq in range(1, count + 1):
        chosen = int(rng.random() < 0.1)
        rate = (0.9, 0.2)[chosen ^ (seq > flip)]
        found.append(
            TrainingEvent(
                seq=seq, context={"x": rng.random(), "more": {f"f{i}": i % 3 for i in range(18)}},
                actions=ACTIONS, chosen=chosen, probability=0.1 if chosen else 0.9,
                scaled_reward=float(rng.random() < rate),
            )
        )  # fmt: skip
    return found


def learned(fold: Fold, log: Sequence[TrainingEvent]) -> list[Drift]:
    """The alarms on the way."""
    for event in log:
        if event.seq % 41 == 0:
            fold.pass_over(event.seq)
        else:
            fold.learn(event)
    return fold.take_drifts()


def resumed(fold: Fold, log: Sequence[TrainingEvent]) -> Fold:
    """As if its process had been killed here: what there is are its snapshot and the log."""
    data, chosen = fold.to_bytes(), fold.settings
    fold.close()
    model = Model.from_bytes(data, hashlib.sha256(data).hexdigest(), chosen)
    past = [None if one.seq % 41 == 0 else one for one in log[fold.resumes_after : fold.seq]]
    detector = msgspec.json.decode(msgspec.json.encode(fold.detector), type=Detector)
    return Fold.resume(
        chosen, "salt", model, fold.seq, fold.policy.learned, past, fold.begins_after, detector
    )


def fingerprint(fold: Fold) -> tuple[object, ...]:
    weights = vw.weights_sha256(fold.to_bytes(), fold.settings)
    return weights, fold.policy.learned, fold.begins_after, fold.resumes_after, fold.detector


@pytest.mark.parametrize("name", SETTINGS)
@given(cuts=st.sets(st.integers(1, 330), max_size=4))
@settings(max_examples=6, deadline=None)
def test_a_fold_that_forgets_is_resumed_at_any_event(name: str, cuts: set[int]) -> None:
    log = flipping(330, flip=180)
    whole, parts = Fold.start(SETTINGS[name], "salt"), Fold.start(SETTINGS[name], "salt")
    drifts, begin = [], 0
    for cut in [*sorted(cuts), len(log)]:
        drifts += learned(parts, log[begin:cut])
        parts, begin = resumed(parts, log), cut
    assert drifts == learned(whole, log)
    assert fingerprint(parts) == fingerprint(whole)
    whole.close()
    parts.close()


def test_after_an_alarm_the_model_is_the_fold_since_the_fall() -> None:
    log = flipping(400, flip=250)
    fold = Fold.start(PolicySettings(), "salt")
    (drift,) = learned(fold, log)
    assert 250 < drift.seq < 330
    assert abs(drift.since - 250) < 20
    assert drift.reward_before > 0.6 > 0.4 > drift.reward_after
    assert fold.begins_after == fold.resumes_after == drift.since
    anew = Fold.start(PolicySettings(), "salt", begins_after=drift.since)
    assert not learned(anew, log[drift.since :])
    assert fingerprint(anew) == fingerprint(fold)
    fold.close()
    anew.close()


def test_a_sudden_fall_is_no_less_a_drift() -> None:
    """What always paid never pays any more: fewer than twenty events prove it."""
    fold = Fold.start(PolicySettings(), "salt")
    for seq in range(1, 281):
        event = TrainingEvent(
            seq=seq, context={"x": 0.5}, actions=ACTIONS, chosen=0, probability=0.98,
            scaled_reward=float(seq <= 250),
        )  # fmt: skip
        fold.learn(event)
    (drift,) = fold.take_drifts()
    assert drift.since == 250
    assert drift.seq < 270
    fold.close()


def test_a_signal_alone_changes_nothing_of_what_is_learned() -> None:
    log = flipping(400, flip=250)
    found = []
    for on_drift, alarms_expected in (("signal", 1), ("restart", 0)):
        chosen = msgspec.convert({"on_drift": on_drift}, PolicySettings)
        fold = Fold.start(chosen, "salt")
        assert len(learned(fold, log[:250])) == 0
        found.append(vw.weights_sha256(fold.to_bytes(), chosen))
        if alarms_expected:
            assert len(learned(fold, log[250:])) == alarms_expected
            assert fold.begins_after == 0
        fold.close()
    assert found[0] == found[1]


def test_a_fall_that_the_model_knows_of_is_no_alarm() -> None:
    """Rewards fall because other contexts come, in which little was ever earned."""
    rng = random.Random(1)
    fold = Fold.start(PolicySettings(), "salt")
    for seq in range(1, 3_001):
        good = rng.random() < (0.5 if seq <= 2_000 else 0.0)
        event = TrainingEvent(
            seq=seq, context={"good": good}, actions=ACTIONS, chosen=int(rng.random() < 0.5),
            probability=0.5, scaled_reward=float(rng.random() < (0.8 if good else 0.2)),
        )  # fmt: skip
        fold.learn(event)
    assert fold.take_drifts() == []
    fold.close()


@pytest.mark.parametrize("events", [100, 130])
def test_a_window_is_the_fold_over_the_last_events(events: int) -> None:
    chosen = PolicySettings(forgetting=Window(events=events), on_drift="signal")
    log = flipping(500, flip=250)
    fold = Fold.start(chosen, "salt")
    for event in log:
        learned(fold, [event])
        covered = fold.seq - fold.begins_after
        assert covered == fold.seq or 3 * (events // 4) <= covered < 4 * (events // 4)
    alone = Fold.start(chosen, "salt", begins_after=fold.begins_after)
    learned(alone, log[fold.begins_after :])
    assert fingerprint(alone)[:4] == fingerprint(fold)[:4]
    fold.close()
    alone.close()


def test_with_a_half_life_a_model_stays_ready_to_change() -> None:
    """After two thousand events of one world it still explores, and turns to the other one sooner."""
    log = flipping(2_300, flip=2_000)
    turned, explored = [], []
    for forgetting in (None, HalfLife(events=100)):
        chosen = PolicySettings(forgetting=forgetting, on_drift="signal", relearn=0)
        fold = Fold.start(chosen, "salt")
        learned(fold, log[:2_000])
        explored.append(fold.policy.distribution(log[0].context, ACTIONS)[1])
        for event in log[2_000:]:
            learned(fold, [event])
            if fold.policy.distribution(event.context, ACTIONS)[1] > 0.5:
                turned.append(fold.seq - 2_000)
                break
        assert (fold.policy.learned < 200) == (forgetting is not None)
        fold.close()
    assert explored[1] > 4.0 * explored[0]
    assert turned[1] < turned[0]


def test_a_half_life_needs_rates_that_adapt() -> None:
    forgetting = HalfLife(events=500)
    vw.check(PolicySettings(forgetting=forgetting))
    for refused in (
        PolicySettings(forgetting=forgetting, vw_arguments=["--coin"]),
        PolicySettings(forgetting=forgetting, exploration=Bag()),
    ):
        with pytest.raises(InvalidInputError, match=r"policy\.forgetting: expected") as caught:
            vw.check(refused)
        assert caught.value.target == "policy.forgetting"


@pytest.mark.parametrize(
    "given_settings",
    [
        {"forgetting": {"by": "window", "events": 99}},
        {"forgetting": {"by": "window", "events": 50_001}},
        {"forgetting": {"by": "half_life", "events": 0}},
        {"forgetting": {"by": "age", "events": 500}},
        {"on_drift": "panic"},
    ],
)
def test_settings_out_of_bounds_are_refused(given_settings: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given_settings, PolicySettings)


def test_what_is_held_covers_what_is_looked_at() -> None:
    assert held(PolicySettings(forgetting=Window(events=50_000))) == 50_000
    assert held(PolicySettings(exploration=Bag(), relearn=0)) == 0
    assert held(PolicySettings(on_drift="ignore")) == 1_000
