from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit import rules
from bandit.errors import InvalidInputError

TARGET = "constraints[3].eligible_if"


@pytest.mark.parametrize(
    ("rule", "context", "expected"),
    [
        ("context.age >= 18", {"age": 18}, True),
        ("context.age >= 18", {"age": 17.9}, False),
        ("context.age in [18, 30]", {"age": 30.0}, True),
        ("context.age > -5", {"age": 0}, True),
        ("context.country in ['DE', 'AT'] && !context.member", {"country": "AT", "member": False}, True),
        ("size(context.name) == 5", {"name": "Jörg"}, True),
        ("'new' in context.tags || size(context.tags) == 0", {"tags": ["old", "new"]}, True),
        ("context.device.os.startsWith('i')", {"device": {"os": "ios"}}, True),
        ("has(context.age) ? context.age > 3 : true", {}, True),
        ("context['first name'] == 'Ann'", {"first name": "Ann"}, True),
        ("context.member", {"member": True}, True),
        ("context.plan == 'all' || context.plan == 'map'", {"plan": "all"}, True),
        ("true", {}, True),
    ],
)  # fmt: skip
def test_conditions_hold_as_they_read(rule: str, context: dict[str, Any], expected: bool) -> None:
    rules.check(rule, TARGET)
    assert rules.holds(rule, context) is expected


@pytest.mark.parametrize(
    ("rule", "context"),
    [
        ("context.age >= 18", {}),
        ("context.age >= 18", {"age": "thirty"}),
        ("context.member", {"member": "yes"}),
        ("context.device.os == 'ios'", {"device": "ios"}),
        ("context.tags[7] == 'a'", {"tags": ["a"]}),
        ("!(context.age < 18)", {"age": "thirty"}),
    ],
)
def test_what_cannot_be_said_does_not_hold(rule: str, context: dict[str, Any]) -> None:
    rules.check(rule, TARGET)
    assert rules.holds(rule, context) is False


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("context.age >=", "Syntax error"),
        ("subject == 'x'", "it names subject"),
        ("context.a == 1 || user.b == 2", "it names user"),
        ("now() > 3", "it uses now"),
        ("context.a.matches('(x+x+)+y')", "it uses matches"),
        ("context.a + 1 > 2", "it uses _+_"),
        ("[1, 2].map(a, [1, 2].map(b, 1)) == []", "it uses _+_"),
        ("context.tags.all(t, t == 'a')", "it uses @not_strictly_false"),
        ("[1].exists_one(x, true)", "it uses _+_"),
        ("1", "neither true nor false"),
        ("'true'", "neither true nor false"),
        ("context", "neither true nor false"),
        ("size(context.tags)", "neither true nor false"),
        ("'\ud800' == context.a", "surrogates not allowed"),
        ("context.a == 99999999999999999999999999", ""),
        ("(" * 400 + "true" + ")" * 400, ""),
        ("[" * 490 + "]" * 490 + " == 1", ""),
        (" ", ""),
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused_with_the_reason(rule: str, fault: str) -> None:
    with pytest.raises(InvalidInputError, match="expected a condition such as") as refused:
        rules.check(rule, TARGET)
    assert refused.value.target == TARGET
    assert fault in refused.value.message
    assert len(refused.value.message) < 1_500
    refused.value.message.encode()


#: Pieces that make rules which are often nearly right.
PIECES = st.lists(
    st.sampled_from(
        "context .a ( ) [ ] { } true false ! - 1 2.5 'x' \" == < && || in ? : size has , r' // 9e999".split()
    ),
    max_size=60,
)


@given(st.one_of(st.text(min_size=1, max_size=200), PIECES.map(" ".join), PIECES.map("".join)))
def test_any_text_is_a_condition_or_refused(rule: str) -> None:
    with suppress(InvalidInputError):
        rules.check(rule, TARGET)
    assert rules.holds(rule, {"a": {"b": 1}}) in (True, False)


@pytest.mark.parametrize("rule", ["!" * 999 + "true", "-" * 990 + "1 == 1", "true&&" * 166 + "true"])
def test_long_rules_neither_crash_nor_hang(rule: str) -> None:
    rules.check(rule, TARGET)
    rules.holds(rule, {})
