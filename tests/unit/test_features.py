from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit import features
from bandit.errors import InvalidInputError
from bandit.policy import VwPolicy
from bandit.types import Action, PolicySettings, SquareCB
from bandit.vw import Model

_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_keys = _texts.filter(bool)
_leaves = st.one_of(
    _texts,
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(-1e6, 1e6, allow_nan=False),
    st.lists(_texts, max_size=3),
    st.sampled_from(
        ["shared", "|", ":", "\n", " ", "0:1:0.5", "|c x:1", "\r\n|a b", "%7C", "é:|", "日本 語"]
    ),
)
contexts = st.dictionaries(
    _keys,
    st.recursive(_leaves, lambda inner: st.dictionaries(_keys, inner, max_size=3), max_leaves=6),
    max_size=4,
)


@pytest.fixture(scope="module")
def model() -> Any:
    model = Model.untrained(PolicySettings())
    yield model
    model.close()


@given(contexts, st.lists(contexts, min_size=1, max_size=4), _keys)
def test_whatever_the_values_vw_sees_exactly_our_actions(
    model: Model, context: dict[str, Any], actions: list[dict[str, Any]], name: str
) -> None:
    offered = [
        Action(action_id=f"{name}{i}"[:256], segment=name, features=each) for i, each in enumerate(actions)
    ]
    features.check(context, "context")
    pmf = VwPolicy(model, SquareCB(), 0).distribution(context, offered)
    assert len(pmf) == len(actions)
    assert sum(pmf) == pytest.approx(1.0, abs=1e-9)


@given(contexts)
def test_only_safe_bytes_leave_the_encoder(context: dict[str, Any]) -> None:
    (shared,) = features.encode(context, [])
    assert set(shared) <= set(string.ascii_letters + string.digits + "_.-%=/@:| ")
    assert shared.startswith(("shared |c", "shared |w"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a.b": "x"}, {"a": {"b": "x"}}),
        ({"a/b": "x"}, {"a": {"b": "x"}}),
        ({"a": {"b/c": "x"}}, {"a": {"b": {"c": "x"}}}),
        ({"a=b": "c"}, {"a": "b=c"}),
        ({"a": "true"}, {"a": "True"}),
        ({"a": "1"}, {"a": 1}),
        ({"a": "%7C"}, {"a": "|"}),
    ],
)
def test_different_contexts_have_different_names(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert features.encode(one, []) != features.encode(other, [])


def test_a_tiny_number_with_many_digits_is_no_nan(model: Model) -> None:
    tiny = {"x": 5.794042763063725e-128, "y": 1e-9, "z": -2.2250738585072014e-308}
    assert (
        len(model.expected_rewards(features.encode(tiny, [Action(action_id=i, features=tiny) for i in "ab"])))
        == 2
    )


def test_long_texts_do_not_fill_the_memory() -> None:
    before = features._cached.cache_info().currsize
    features.encode({"text": "x" * 100_000, "url": "y" * 65}, [])
    assert features._cached.cache_info().currsize <= before + 2


def test_an_action_feature_cannot_pass_for_an_action() -> None:
    imitating = features.encode_action(Action(action_id="a", features={"#id": "b", "id": "b"}))
    assert "#id=b" not in imitating.split()


@pytest.mark.parametrize(
    ("given_features", "target"),
    [
        ({"x": float("nan")}, "context.x"),
        ({"x": float("inf")}, "context.x"),
        ({"x": 1_000_001}, "context.x"),
        ({"x": {"y": -1e7}}, "context.x.y"),
        ({"x": 10**400}, "context.x"),
        ({"x": None}, "context.x"),
        ({"x": [1]}, "context.x[0]"),
        ({"x": [["a"]]}, "context.x[0]"),
        ({"": 1}, "context"),
        ({f"x{i}": 1 for i in range(501)}, "context"),
        ({"x": ["t"] * 501}, "context"),
    ],
)
def test_what_cannot_be_encoded_is_refused_by_name(given_features: dict[str, Any], target: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        features.check(given_features, "context")
    assert refused.value.target == target


def test_eight_levels_pass_and_nine_do_not() -> None:
    def nested(levels: int) -> dict[str, Any]:
        return {"x": 1} if levels == 1 else {"x": nested(levels - 1)}

    features.check(nested(8), "context")
    with pytest.raises(InvalidInputError, match="8 levels"):
        features.check(nested(9), "context")


@given(st.floats(-1e6, 1e6))
def test_a_number_is_shared_between_neighbouring_knots(number: float) -> None:
    weights = features.hats(number)
    assert 1 <= len(weights) <= 2
    assert sum(weight for _, weight in weights) == pytest.approx(1.0, abs=1e-8)
    assert all(abs(knot) <= 16 and 0.0 < weight <= 1.0 for knot, weight in weights)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_hats_keep_order(one: float, other: float) -> None:
    def place(number: float) -> float:
        return sum(knot * weight for knot, weight in features.hats(number))

    assert (one < other) >= (place(one) < place(other) - 1e-6)


def test_a_context_of_very_many_features_is_not_multiplied_by_itself() -> None:
    assert features.encode({f"x{i}": "v" for i in range(64)}, [])[0].startswith("shared |c:")
    assert features.encode({f"x{i}": "v" for i in range(65)}, [])[0].startswith("shared |w:")


_anything = st.one_of(
    _leaves,
    st.none(),
    st.floats(),
    st.integers(),
    st.lists(st.one_of(_texts, st.none(), st.integers()), max_size=2),
)
_wild = st.dictionaries(
    st.one_of(_keys, st.just("")),
    st.recursive(
        _anything, lambda inner: st.dictionaries(st.text(max_size=1), inner, max_size=2), max_leaves=9
    ),
    max_size=4,
)


def _refusal(check: Any) -> str | None:
    try:
        check()
    except InvalidInputError as error:
        return error.message
    return None


@given(_wild)
def test_the_quick_check_lets_through_what_the_full_one_does(wild: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "_plain_fields", lambda *_: -1)
        full = _refusal(lambda: features.check(wild, "context"))
    assert _refusal(lambda: features.check(wild, "context")) == full
    plain = features._plain_fields(wild)
    assert plain < 0 or plain == features.size(wild)


def test_an_action_like_a_known_one_is_still_told_from_others() -> None:
    def lines(*values: Any) -> set[str]:
        return {features.encode_action(Action(action_id="a", features={"x": value})) for value in values}

    assert lines(1, 1.0) == lines(1)
    assert len(lines(1, True, "1", 0.5)) == 4
    known = Action(action_id="a", features={"x": 1})
    features.check_actions([known])
    for wrong in (float("nan"), float("inf"), None, {"y": None}):
        with pytest.raises(InvalidInputError):
            features.check_actions([Action(action_id="a", features={"x": wrong})])
