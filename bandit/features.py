"""Context and actions -> Vowpal Wabbit text. The only place that builds it; every byte is escaped.

Names follow the structure: `{"tier": "a", "device": {"os": "ios"}}` becomes `|c tier=a |c/device os=ios`.
All context namespaces begin with `c` and all action namespaces with `a`, which is what interactions go by; a
context of very many features goes under `w`, which is not multiplied by itself.
`=`, `/`, `#`, `@`, `:`, `|` and white space never occur in an escaped name, so no name can imitate another.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from bandit.errors import InvalidInputError
from bandit.types import Action, Features

MAX_DEPTH = 8
MAX_FEATURES = 500
MAX_NUMBER = 1e6

#: Longer texts are rarely repeated, and would fill the memory.
_LONGEST_CACHED = 64
_LONGEST_KEPT, _MOST_LINES = 512, 32_768
_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
#: First letters of the namespaces.
CONTEXT, WIDE_CONTEXT, ACTION = "c", "w", "a"
#: A context of more fields is not multiplied by itself: cost grows with the square, times the actions.
MAX_CROSSED = 64
#: A context's features are scaled so that its length is about this, whatever its number of fields: what an
#: action earns by itself is then learned faster than how it depends on each field, and on pairs of them.
_CONTEXT_NORM = 0.85
_SMALLEST_SCALE = 0.3
#: Smaller weights count as 0: VW's number parser makes NaN of some (5.794042763063725e-128), which would
#: ruin the model, and a float32 of that size moves nothing. 9 digits hold any float32.
_SMALLEST = 1e-9
#: Fewer than any number of fields makes up for.
_UNUSUAL = -(10**9)
_UNSAFE = re.compile(rb"[^A-Za-z0-9_.-]")


def check(features: Features, target: str) -> None:
    """Refuse features that the encoder, the model or the database could not hold.

    Raises:
        InvalidInputError: naming the offending field below `target`.

    >>> check({"age": 3, "tags": ["new"]}, "context")
    >>> check({"age": float("nan")}, "context")
    Traceback (most recent call last):
    bandit.errors.InvalidInputError: context.age: expected a finite number up to 1e6 in size, got nan.
    """
    if 0 <= _plain_fields(features) <= MAX_FEATURES:
        return
    count = 0
    for path, value in _leaves(features, target, 1):
        count += 1
        if count > MAX_FEATURES:
            raise InvalidInputError(
                f"{target}: expected at most {MAX_FEATURES} features, got more; send fewer.", target=target
            )
        if isinstance(value, str | bool):
            continue
        if not isinstance(value, int | float):
            raise InvalidInputError(
                f"{path}: expected a string, a number, a boolean, a list of strings or an object, "
                f"got {_json_name(value)}; leave the field out if there is no value.",
                target=path,
            )
        if not abs(value) <= MAX_NUMBER:  # also catches NaN, for which every comparison is false
            shown = value if isinstance(value, float) else f"an integer of {value.bit_length()} bits"
            raise InvalidInputError(
                f"{path}: expected a finite number up to 1e6 in size, got {shown}.", target=path
            )


def _plain_fields(features: Features, depth: int = 1) -> int:
    """How many fields there are, if all of them are as they should be; negative if some may not be."""
    fields = len(features)
    for key, value in features.items():
        kind = type(value)
        if kind is float or kind is int:
            fits = -MAX_NUMBER <= value <= MAX_NUMBER
        elif kind is list:
            fits = all(type(item) is str for item in value)
            fields += len(value) - 1
        elif kind is dict:
            fits = depth < MAX_DEPTH
            fields += _plain_fields(value, depth + 1) - 1 if fits else 0
        else:
            fits = kind is str or kind is bool
        if not fits or not key:
            return _UNUSUAL
    return fields


def check_actions(actions: Sequence[Action]) -> None:
    """Refuse duplicate ids and features that cannot be encoded.

    Raises:
        InvalidInputError: naming the action and the field.
    """
    ids = [action.action_id for action in actions]
    if len(set(ids)) < len(ids):
        twice = [action_id for action_id, count in Counter(ids).items() if count > 1]
        raise InvalidInputError(
            f"actions: expected each action_id once, got {twice[0]!r} more than once.",
            target="actions",
            details=[f"duplicate action_id {action_id!r}" for action_id in twice],
        )
    for index, action in enumerate(actions):
        if not _is_known(action):
            check(action.features, f"actions[{index}].features")


def _leaves(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        if depth > MAX_DEPTH:
            raise InvalidInputError(
                f"{path}: expected at most {MAX_DEPTH} levels of nesting; flatten it.", target=path
            )
        for key, inner in value.items():
            if not key:
                raise InvalidInputError(
                    f"{path}: expected every key to have at least one character, got an empty one.",
                    target=path,
                )
            yield from _leaves(inner, f"{path}.{key}", depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if not isinstance(item, str):
                raise InvalidInputError(
                    f"{path}[{index}]: expected a list of strings, got {_json_name(item)} in it.",
                    target=f"{path}[{index}]",
                )
            yield f"{path}[{index}]", item
    else:
        yield path, value


def _json_name(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "a string")


def encode(context: Features, actions: Sequence[Action]) -> list[str]:
    """The lines of one decision: the shared line, then one per action, in order and without labels.

    >>> encode({"age": 30, "device": {"os": "i|os"}}, [Action(action_id="a b", segment="new")])
    ['shared |c:0.601040764 age@5:0.598802618 age@6:0.401197382 |c/device:0.601040764 os=i%7Cos',
     '|a #id=a%20b #segment=new']
    """
    return [encode_context(context), *map(encode_action, actions)]


def encode_action(action: Action) -> str:
    """The line of one action: who it is, its segment and its features.

    Those of a catalogue come again and again, as the same objects, so each remembers its line. Those that
    requests bring are new objects, but mostly with the same content.
    """
    line: str | None = action.__dict__.get("line")
    if line is None:
        content = _content(action)
        line = _lines.get(content)
        if line is None:
            line = _action_line(content)
            if len(_lines) >= _MOST_LINES:
                _lines.clear()
            if len(content) <= _LONGEST_KEPT:
                _lines[content] = line
        action.__dict__["line"] = line
    return line


def _is_known(action: Action) -> bool:
    """Whether one like it was encoded before; then it gets that one's line."""
    line = _lines.get(_content(action))
    if line is not None:
        action.__dict__["line"] = line
    return line is not None


def _content(action: Action) -> bytes:
    return _encode((action.action_id, action.segment, action.features))


def _action_line(content: bytes) -> str:
    action_id, segment, features = _decode(content)
    identity = [f"#id={_escape(action_id)}"]
    if segment is not None:
        identity.append(f"#segment={_escape(segment)}")
    (_, top), *inner = _namespaces(features)
    return _line(ACTION, [("", identity + top), *inner])


def size(features: Features) -> int:
    """The number of fields: each string, number and boolean, and each item of a list.

    >>> size({"age": 30, "device": {"os": "ios", "tags": ["a", "b"]}})
    4
    """
    fields = 0
    for value in features.values():
        if isinstance(value, dict):
            fields += size(value)
        else:
            fields += len(value) if isinstance(value, list) else 1
    return fields


def encode_context(context: Features) -> str:
    """The shared line of a decision."""
    spaces = _namespaces(context)
    fields = sum([len(tokens) for _, tokens in spaces])
    scale = min(max(_CONTEXT_NORM / math.sqrt(fields), _SMALLEST_SCALE), 1.0) if fields else 1.0
    root = CONTEXT if fields <= MAX_CROSSED else WIDE_CONTEXT
    return "shared " + _line(root, spaces, f":{scale:.9g}")


def _line(root: str, spaces: Sequence[tuple[str, list[str]]], scale: str = "") -> str:
    return " ".join([" ".join([f"|{root}{name}{scale}", *tokens]) for name, tokens in spaces])


def _namespaces(features: Features) -> list[tuple[str, list[str]]]:
    """Tokens by namespace, one for each field: first what stands at the top, then "/name" for each object."""
    top: list[str] = []
    spaces = [("", top)]
    _add(top, "", features, spaces)
    return spaces


def _add(
    tokens: list[str], prefix: str, features: Features, spaces: list[tuple[str, list[str]]] | None = None
) -> None:
    """Append a token for each field; objects at the top open a namespace each in `spaces`."""
    for key, value in features.items():
        name = prefix + _escape(key)
        kind = type(value)
        if kind is str:
            tokens.append(f"{name}={_escape(value)}")
        elif kind is bool:
            tokens.append(f"{name}=true" if value else f"{name}=false")
        elif kind is list:
            tokens += [f"{name}={_escape(item)}" for item in value]
        elif kind is not dict:
            tokens.append(_number(name, value))
        elif spaces is None:
            _add(tokens, name + "/", value)
        else:
            inner: list[str] = []
            _add(inner, "", value)
            if inner:
                spaces.append(("/" + name, inner))


def _number(name: str, number: float) -> str:
    low, high = _knots(number)
    return f"{name}{low} {name}{high}" if high else f"{name}{low}"


@lru_cache(maxsize=16_384)
def _knots(number: float) -> tuple[str, str]:
    """What follows the name at the lower and the upper knot; the latter may be empty."""
    texts = [f"@{knot}" if weight == 1.0 else f"@{knot}:{weight:.9g}" for knot, weight in hats(number)]
    return texts[0], texts[1] if len(texts) == 2 else ""


def hats(number: float) -> list[tuple[int, float]]:
    """A number as weights of its two neighbouring knots, which sum to 1: a piecewise linear basis.

    Knots lie at 0, 0.5 and 1, then at e, e**2, ..., and alike below zero. So a model can bend where it needs
    to, nothing depends on where a scale has its zero, and raw amounts up to 1e6 cannot ruin it.

    >>> hats(0.25), hats(-1.0), hats(1_000_000)
    ([(0, 0.5), (1, 0.5)], [(-2, 1.0)], [(15, 0.184...), (16, 0.815...)])
    """
    size = abs(number)
    at = math.copysign(2.0 * size if size <= 1.0 else 2.0 + math.log(size), number)
    knot = math.floor(at)
    upper = at - knot
    if upper < _SMALLEST:
        return [(knot, 1.0 - upper)]
    if upper > 1.0 - _SMALLEST:
        return [(knot + 1, upper)]
    return [(knot, 1.0 - upper), (knot + 1, upper)]


def _escape(text: str) -> str:
    return _escaped(text) if len(text) > _LONGEST_CACHED else _cached(text)


def _escaped(text: str) -> str:
    return _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], text.encode()).decode("ascii")


_cached = lru_cache(maxsize=16_384)(_escaped)
#: Lines of actions by their content, of which each was checked before it was encoded.
_lines: dict[bytes, str] = {}
