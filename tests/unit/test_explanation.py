"""The sentence for the person concerned, in every case, and fields left out one by one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit import features
from bandit.explanation import Explanation, Moved, Reshaped, sentence
from bandit.fields import fields

OS = Moved(feature="device.os", value="ios", moved_by=0.3)
RETURNING = Moved(feature="returning", value=True, moved_by=0.2)
VISITS = Moved(feature="visits_so_far", value=3.0, moved_by=0.1)
TOPIC = Moved(feature="action.features.topic", side="action", value="shoes", moved_by=0.9)
PROMOTED = Reshaped(kind="boost", name="summer sale", moved_by=0.3)
FLOOR = Reshaped(kind="constraint", name="contract", moved_by=0.3)
EXPLORATION = Reshaped(kind="exploration_floor", moved_by=0.3)
WANT = "those who run this service want it to be shown more at the moment"


def said(**fields: Any) -> str:
    usual: dict[str, Any] = {
        "decision_id": "d", "bandit_key": "hero", "action_id": "a", "segment": None, "mode": "online",
        "model_version": 1, "config_version": 1, "probability": 0.9, "explored": False,
        "chosen_by_caller": False, "offered": 3, "actions": 3, "favoured": True,
        "context_moved_by": 0.1,
    }  # fmt: skip
    return sentence(Explanation(**usual | fields))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"features": [TOPIC, OS]},
            "This was chosen because it best suits what is known here: device os: ios.",
        ),
        (
            {"features": [OS, RETURNING, VISITS, Moved(feature="x", value="y", moved_by=0.09)]},
            "This was chosen because it best suits what is known here: device os: ios; returning: yes and "
            "visits so far: 3.",
        ),
        (
            {"features": [OS, Moved(feature="age", value=30, moved_by=0.01)], "reshaped_by": [PROMOTED]},
            f"This was chosen because it best suits what is known here: device os: ios, and because {WANT}.",
        ),
        (
            {"features": [Moved(feature="device.os", value="ios", moved_by=-0.2), TOPIC]},
            "This was chosen because it is expected to do best in general, whoever it is for.",
        ),
        (
            {"features": [OS], "context_moved_by": -0.1},  # the rest of the context speaks against it
            "This was chosen because it is expected to do best in general, whoever it is for.",
        ),
        (
            {"offered": 2},
            "This was chosen because, of what could be shown here, it is expected to do best.",
        ),
        (
            {"offered": 2, "features": [OS]},
            "This was chosen because, of what could be shown here, it best suits what is known here: device "
            "os: ios.",
        ),
        (
            {"offered": 2, "probability": 0.36, "probability_by_policy": 0.36},
            "This was chosen by chance among several that could be shown here, of which it is expected to do "
            "best.",
        ),
        (  # an exploration floor of 1: whatever the policy wanted, all are drawn alike
            {"favoured": False, "probability": 1 / 3, "reshaped_by": [EXPLORATION]},
            "This was chosen by chance, to learn how well it does.",
        ),
        (
            {
                "probability": 1 / 3,
                "probability_by_policy": 0.9,
                "reshaped_by": [Reshaped(kind="exploration_floor", moved_by=1 / 3 - 0.9)],
            },
            "This was chosen by chance among several, of which it is expected to do best in general, whoever "
            "it is for.",
        ),
        ({"favoured": False, "reshaped_by": [PROMOTED]}, f"This was chosen because {WANT}."),
        (
            {"favoured": False, "reshaped_by": [FLOOR]},
            "This was chosen because those who run this service have set how often it is shown.",
        ),
        (
            {"favoured": False, "reshaped_by": [Reshaped(kind="novelty", moved_by=0.5)]},
            "This was chosen because it was not shown here lately.",
        ),
        (
            {"favoured": False, "reshaped_by": [Reshaped(kind="newcomers", moved_by=0.5)]},
            "This was chosen because it is new and is being tried.",
        ),
        (
            {"favoured": False, "reshaped_by": [Reshaped(kind="boost", name="b", moved_by=-0.5)]},
            "This was chosen because those who run this service have set rules for what is shown.",
        ),
        ({"explored": True, "favoured": False}, "This was chosen by chance, to learn how well it does."),
        (
            {
                "explored": True,
                "favoured": False,
                "probability": 0.1,
                "reshaped_by": [Reshaped(kind="boost", moved_by=0.08)],
            },
            f"This was chosen by chance; it comes up more often because {WANT}.",
        ),
        (
            {
                "explored": True,
                "favoured": False,
                "probability": 0.1,
                "reshaped_by": [Reshaped(kind="boost", moved_by=0.02)],
            },
            "This was chosen by chance, to learn how well it does.",
        ),
        (
            {"alike": True, "explored": True, "probability": 1 / 3},  # by rounding
            "This was chosen by chance, because nothing speaks for one choice more than for another now.",
        ),
        (  # the best one, which a ceiling holds below the others
            {
                "explored": True,
                "probability": 0.4,
                "probability_by_policy": 0.9,
                "features": [OS],
                "reshaped_by": [Reshaped(kind="constraint", name="ceiling", moved_by=-0.5)],
            },
            "This was chosen because it best suits what is known here: device os: ios.",
        ),
        (
            {"probability": 0.36, "probability_by_policy": 0.36, "features": [OS]},
            "This was chosen by chance among several, of which it best suits what is known here: device os: "
            "ios.",
        ),
        (
            {"probability": 0.36, "probability_by_policy": 0.36},
            "This was chosen by chance among several, of which it is expected to do best in general, whoever "
            "it is for.",
        ),
        (
            {"favoured": False, "probability": 0.4, "reshaped_by": [PROMOTED]},
            f"This was chosen by chance; it comes up more often because {WANT}.",
        ),
        (
            {
                "alike": True,
                "explored": True,
                "probability": 0.3,
                "reshaped_by": [Reshaped(kind="newcomers", moved_by=0.2)],
            },
            "This was chosen by chance; it comes up more often because it is new and is being tried.",
        ),
        ({"alike": True, "reshaped_by": [PROMOTED]}, f"This was chosen because {WANT}."),
        ({"offered": 1}, "This was the only one that could be shown."),
        ({"offered": 1, "mode": "apprentice"}, "This was the only one that could be shown."),
        (
            {"mode": "apprentice"},
            "This is the standard choice, because nothing is chosen for each person yet.",
        ),
        (
            {"mode": "paused"},
            "This is the standard choice, because choosing for each person is paused at the moment.",
        ),
        (
            {"mode": "fallback"},
            "This is the standard choice, because choosing for each person did not work at that moment.",
        ),
        (
            {"mode": "logging_only", "chosen_by_caller": True},
            "This was chosen elsewhere, and is only recorded here.",
        ),
        (
            {"mode": "logging_only"},
            "This is the standard choice, because choices are made elsewhere and only recorded here.",
        ),
    ],
)
def test_every_case_has_its_sentence(fields: dict[str, Any], expected: str) -> None:
    assert said(**fields) == expected


@pytest.mark.parametrize(
    ("nameable", "named"),
    [
        (None, ": device os: ios; returning: yes and visits so far: 3"), (["device"], ": device os: ios"),
        (["returning", "device.os"], ": device os: ios and returning: yes"), (["device.o", "visits"], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_only_what_may_be_named_is_named(nameable: list[str] | None, named: str) -> None:
    found = msgspec.convert(
        {"decision_id": "d", "bandit_key": "hero", "action_id": "a", "segment": None, "mode": "online",
         "model_version": 1, "config_version": 1, "probability": 0.9, "explored": False,
         "chosen_by_caller": False, "offered": 3, "actions": 3, "favoured": True, "context_moved_by": 0.1},
        Explanation,
    )  # fmt: skip
    found = msgspec.structs.replace(found, features=[OS, RETURNING, VISITS])
    assert sentence(found, nameable) == f"This was chosen because it best suits what is known here{named}."


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("two\n words", "tag: two words"), ("", "tag"), ("x" * 61, "tag"), (False, "tag: no"), (7, "tag: 7"),
        (-2.0, "tag: -2"), (0.2837, "tag"),
    ],
)  # fmt: skip
def test_values_are_readable_or_left_out(value: Any, shown: str) -> None:
    assert said(features=[Moved(feature="tag", value=value, moved_by=0.1)]).endswith(f"here: {shown}.")


TEXTS = st.text("abc", min_size=1, max_size=3)
FEATURES = st.dictionaries(
    TEXTS,
    st.recursive(
        TEXTS | st.booleans() | st.integers(-9, 9) | st.lists(TEXTS, max_size=3),
        lambda inner: st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(FEATURES)
def test_each_field_is_left_out_once_and_nothing_else_changes(context: dict[str, Any]) -> None:
    before = features.encode_context(context)
    found = list(fields(context))
    assert len(found) == features.size(context)
    for field in found:
        assert features.size(field.rest) == len(found) - 1
        at: Any = context
        for key in field.name.split("."):
            at = at[key]
        assert field.value == at or field.value in at
    assert features.encode_context(context) == before


def test_what_is_left_is_encoded_as_if_the_field_had_never_been_sent() -> None:
    context = {"a": 1, "device": {"os": "ios"}, "tags": ["new", "big"]}
    sent: list[dict[str, Any]] = [
        {"device": {"os": "ios"}, "tags": ["new", "big"]},
        {"a": 1, "tags": ["new", "big"]},
        {"a": 1, "device": {"os": "ios"}, "tags": ["big"]},
        {"a": 1, "device": {"os": "ios"}, "tags": ["new"]},
    ]
    assert [features.encode_context(field.rest) for field in fields(context)] == [
        features.encode_context(each) for each in sent
    ]
