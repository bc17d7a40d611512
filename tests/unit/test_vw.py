from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Callable

import pytest
import vowpalwabbit

from bandit import features, vw, vw_arguments
from bandit.errors import InvalidInputError, ModelRefusedError
from bandit.types import Action, Bag, PolicySettings


@pytest.mark.parametrize(
    "argument",
    [
        "--final_regressor=/tmp/x", "-f", "--daemon", "--port=1",
        "--power_t", "--l2=1e-6", "--l1=1e-6", "--power_t=0 --daemon", "--power_t=x;y",
        "--bit_precision=30", "power_t=1", "--cache_file=/tmp/x", "", "--coin=1", "--predictions=/tmp/x",
    ],
)  # fmt: skip
def test_only_listed_arguments_pass(argument: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        vw.check(PolicySettings(vw_arguments=[argument]))
    assert refused.value.target == "policy.vw_arguments[0]"


def test_listed_arguments_reach_vw() -> None:
    settings = PolicySettings(vw_arguments=["--power_t=0.4", "--bit_precision=12"])
    model = vw.Model.untrained(settings)
    assert "--power_t=0.4" in vw_arguments.arguments(settings)
    model.close()


@pytest.mark.parametrize("arguments", [["--coin", "--ftrl"], ["--power_t=."]])
def test_what_vw_itself_refuses_is_refused_at_once(arguments: list[str]) -> None:
    with pytest.raises(InvalidInputError, match="refusal") as refused:
        vw.check(PolicySettings(vw_arguments=arguments))
    assert refused.value.target == "policy"


def trained() -> bytes:
    model = vw.Model.untrained(PolicySettings())
    actions = [Action(action_id="a"), Action(action_id="b")]
    for i in range(50):
        model.learn(model.labelled({"x": i / 50}, actions, i % 2, float(i % 2), 0.5))
    data = model.to_bytes()
    model.close()
    return data


def mutated(rng: random.Random, data: bytes) -> bytes:
    """One change: a bit, a byte, a piece cut out, doubled, moved or put in, or the end cut off."""
    at, size = rng.randrange(len(data)), rng.randrange(1, 40)
    kind = rng.randrange(6)
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + bytes([(data[at] + rng.randrange(1, 256)) % 256]) + data[at + 1 :]
    if kind == 2:
        return data[:at] + data[at + size :]
    if kind == 3:
        return data[:at] + data[at : at + size] + data[at:]
    if kind == 4:
        return data[:at] + rng.randbytes(size) + data[at:]
    return data[:at]


#: What a model file may not ask for: files, sockets, other learners, other settings of the same learner.
INJECTED = [
    "--final_regressor /tmp/written", "-f /tmp/written", "--predictions /tmp/p", "-p /tmp/p", "--daemon",
    "--port 26542", "--cache", "--cache_file /tmp/c", "--readable_model /tmp/r", "--invert_hash /tmp/i",
    "--audit", "--initial_regressor /tmp/x", "-i /tmp/x", "--data /etc/passwd", "-d /etc/passwd",
    "--raw_predictions /tmp/r", "--testonly", "--learning_rate 0", "--bit_precision 30", "--epsilon 1",
    "--interactions ::", "--ignore c", "--redefine a:=c", "--dictionary x:/etc/x", "--dictionary_path /tmp",
    "--feature_mask /tmp/x", "--extra_metrics /tmp/m", "--pid_file /tmp/p", "--onethread", "--bfgs",
    "--random_seed 3", "--random_seed x", "--squarecb", "--coin", "--l1 1", "--boosting 3",
]  # fmt: skip


def with_options(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The same model file with other options, and its length field set right."""
    start = data.index(b" --adaptive")
    end = data.index(b"\0", start)
    options = change(data[start:end])
    return data[: start - 4] + struct.pack("<I", len(options) + 1) + options + data[end:]


def test_a_thousand_changed_models_are_refused_before_vw_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    data = trained()
    sha256 = hashlib.sha256(data).hexdigest()
    vw.Model.from_bytes(data, sha256, PolicySettings()).close()
    settled = PolicySettings()
    vw.Model.untrained(settled).close()
    monkeypatch.setattr(vowpalwabbit, "Workspace", None)  # whoever opens one now fails otherwise
    rng = random.Random(1)
    refused = 0
    while refused < 500:  # the hash is that of the bytes as they were written
        changed = mutated(rng, data)
        if changed != data:
            with pytest.raises(ModelRefusedError, match="expected model bytes with sha256"):
                vw.Model.from_bytes(changed, sha256, settled)
            refused += 1
    for number in range(500):  # somebody who can write the hash too
        option = INJECTED[number % len(INJECTED)].encode()

        def inject(options: bytes, option: bytes = option) -> bytes:
            words = options.split(b" ")
            at = rng.randrange(1, len(words) + 1)
            return b" ".join([*words[:at], option, *words[at:]])

        changed = with_options(data, inject)
        with pytest.raises(ModelRefusedError, match="with the options"):
            vw.Model.from_bytes(changed, hashlib.sha256(changed).hexdigest(), settled)
        refused += 1
    assert refused == 1_000


@pytest.mark.parametrize("data", [b"", b"\0" * 50, b"no model", trained()[:30]])
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(ModelRefusedError):
        vw.Model.from_bytes(data, hashlib.sha256(data).hexdigest(), PolicySettings())


def test_only_the_seed_that_bagging_saves_may_differ() -> None:
    settings = PolicySettings(exploration=Bag())
    model = vw.Model.untrained(settings)
    model.learn(model.labelled({"x": 1}, [Action(action_id="a"), Action(action_id="b")], 0, 1.0, 0.5))
    data = model.to_bytes()
    model.close()
    assert b"--random_seed" in data
    vw.Model.from_bytes(data, hashlib.sha256(data).hexdigest(), settings).close()
    changed = with_options(data, lambda options: options + b" --daemon")
    with pytest.raises(ModelRefusedError, match="with the options"):
        vw.Model.from_bytes(changed, hashlib.sha256(changed).hexdigest(), settings)


def test_a_model_of_other_settings_is_refused() -> None:
    data = trained()
    with pytest.raises(ModelRefusedError, match="with the options"):
        vw.Model.from_bytes(data, hashlib.sha256(data).hexdigest(), PolicySettings(learning_rate=0.5))


def test_a_prediction_that_is_no_distribution_is_refused() -> None:
    model = vw.Model.untrained(PolicySettings())
    with pytest.raises(ModelRefusedError, match="expected 2 finite expected rewards"):
        model.expected_rewards(["shared |c x:1", "|a a\n|a b", "|a c"])
    model.close()


def test_prepared_lines_give_the_same_numbers_and_are_given_back() -> None:
    """Each prediction of a catalogue that was prepared equals that of its text, bit for bit."""
    rng = random.Random(1)
    actions = [
        Action(action_id=f"a{i}", segment="s", features={"price": i / 7, "new": i % 2 == 0}) for i in range(9)
    ]
    lines = [features.encode_action(action) for action in actions]
    data = trained()
    text, one, other = (
        vw.Model.read_only(data, hashlib.sha256(data).hexdigest(), PolicySettings()) for _ in range(3)
    )
    for model in (one, other):
        model.prepare(lines)
    for _ in range(200):
        context = features.encode_context({"x": rng.random(), "kind": rng.choice("ab")})
        offered = rng.sample(lines, rng.randint(1, 9))
        expected = text._run(vw._native.predict_multi, [context, *offered])
        assert one._ask([context, *offered]) == other._ask([context, *offered]) == expected
        unknown = [context, *offered, "|a #id=unknown"]
        assert one.expected_rewards(unknown) == text.expected_rewards(unknown)
    parser = one._parser
    assert parser.prepared.keys() == set(lines)
    one.close()
    assert parser.prepared.keys() == set(lines), "the other model needs them still"
    other.close()
    assert not parser.prepared
    assert not parser._held
    text.close()


def test_more_lines_than_there_is_room_for_are_parsed_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vw, "_MOST_PREPARED", 2)
    model = vw.Model.untrained(PolicySettings())
    lines = [f"|a #id={i}" for i in range(3)]
    model.prepare(lines)
    assert len(model._parser.prepared) == 2
    assert model.expected_rewards(["shared |c x", *lines]) == [0.5, 0.5, 0.5]
    model.close()


def test_a_policy_that_gives_distributions_can_be_prepared_too() -> None:
    settings = PolicySettings(exploration=Bag())
    plain, prepared = vw.Model.untrained(settings), vw.Model.untrained(settings)
    lines = ["|a #id=1", "|a #id=2"]
    prepared.prepare(lines)
    for model in (plain, prepared):
        model.learn(["shared |c x", "0:-1:0.5 |a #id=1"])
    assert prepared.predict(["shared |c x", *lines]) == plain.predict(["shared |c x", *lines])
    plain.close()
    prepared.close()
