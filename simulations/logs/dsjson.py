"""dsjson: one decision a line, as Vowpal Wabbit reads it; ours, and those of others."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from bandit import dsjson, features
from bandit.errors import InvalidInputError
from bandit.types import Action, Features
from simulations.logs import check, values
from simulations.logs.rows import Chunk, Logged, Problem

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class DsjsonLog:
    """A file, gzipped or not.

    A line of ours is read from its `_segbandit`, another from Vowpal Wabbit's keys: the reward is
    -`_label_cost`; the chosen action is `_labelIndex` (from 0) or `_label_Action` (from 1), drawn with
    `_label_probability`; `a` and `p` give the whole pmf; `c` is the context with the actions under `_multi`,
    each of them named by its `id`, `_tag` or place. Lines marked `_skipLearn` are problems: what they decided
    was never shown.

    Raises:
        SetupError: it cannot be read.
    """

    def __init__(
        self, path: Path, *, reward_range: tuple[float, float] | None = None, chunk: int = 10_000
    ) -> None:
        self.name = path.name
        self._path = path
        self._chunk = chunk
        self.reward_range = reward_range or _range_of(path)

    def chunks(self) -> Iterator[Chunk]:
        """See `Log`."""
        return check.chunked(self._found(), self._chunk, self.reward_range)

    def _found(self) -> Iterator[Logged | Problem]:
        for row, line in enumerate(dsjson.lines(self._path), start=1):
            if line is None:
                yield Problem(row, "line too long", (
                    f"row {row}: expected a line of at most {dsjson.MAX_LINE:,} bytes, got more. Is it JSON "
                    "with one decision a line?"
                ))  # fmt: skip
            elif line.strip():
                yield _of_line(row, line)


def _range_of(path: Path) -> tuple[float, float] | None:
    try:
        own = dsjson.own(next(dsjson.lines(path), None) or b"{}")
    except InvalidInputError:
        return None  # its row says so when it is read
    return own.header.reward_range if own and own.header else None


def _of_line(row: int, line: bytes) -> Logged | Problem:
    try:
        if b'"_segbandit"' in line and (own := dsjson.own(line)) is not None:
            features.check_actions(own.record.actions)
            return check.checked(values.logged(row, own.record))
        fields = _decode(line)
    except (InvalidInputError, msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        return Problem(
            row, "broken JSON", f"row {row}: expected one JSON object a line, got: {error}. Mend it."
        )
    try:
        return _of_others(row, fields)
    except _Unusable as error:
        return Problem(row, error.cause, f"row {row}: {error}")
    except RecursionError:
        deep = f"expected at most {features.MAX_DEPTH} levels of nesting, got hundreds. Flatten it."
        return Problem(row, "broken JSON", f"row {row}: {deep}")


class _Unusable(Exception):  # noqa: N818 it never leaves this module
    """Why a line cannot be used."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def _of_others(row: int, fields: dict[str, Any]) -> Logged | Problem:
    if fields.get("_skipLearn"):
        raise _Unusable("never shown", "expected a decision that was shown, got _skipLearn. Exclude it.")
    c = fields.get("c")
    if not isinstance(c, dict) or not isinstance(c.get("_multi"), list):
        raise _Unusable("no actions", "expected actions in c._multi, got none. Mend the line.")
    actions, chosen = _actions(_encode(c["_multi"])), _chosen(fields)
    cost = values.number(fields.get("_label_cost"))
    state = fields.get("VWState")
    return check.checked(
        Logged(
            row=row,
            decision_id=str(fields.get("EventId") or row),
            decided_at=values.moment(fields.get("Timestamp")),
            context=_features(c),
            actions=actions,
            chosen=chosen,
            probability=values.number(fields.get("_label_probability")),
            pmf=_pmf(fields, chosen, len(actions)),
            reward=-cost if isinstance(cost, float) else cost,
            logger=f"model {state['m']}" if isinstance(state, dict) and state.get("m") else "",
        )
    )


def _chosen(fields: dict[str, Any]) -> Any:
    index, place = fields.get("_labelIndex"), fields.get("_label_Action")
    from_place = place - 1 if isinstance(place, int) else None
    if index is not None and from_place is not None and index != from_place:
        raise _Unusable(
            "labels disagree",
            f"expected _labelIndex to be _label_Action - 1, got {index} and {place}. Mend the line.",
        )
    return from_place if index is None else index


def _pmf(fields: dict[str, Any], chosen: Any, count: int) -> list[float] | None:
    """`p` goes by the order of `a`, which counts from 1; one alone is the chosen action's."""
    ranked, p = fields.get("a"), fields.get("p")
    alone = isinstance(chosen, int) and count > 1 and ranked == [chosen + 1]
    if not ranked or not p or alone:
        return None
    numbers = isinstance(ranked, list) and isinstance(p, list) and len(ranked) == len(p)
    if not numbers or sorted(map(str, ranked)) != sorted(map(str, range(1, count + 1))):
        raise _Unusable(
            "a and p do not fit the actions",
            f"expected in a the numbers 1 to {count}, each with its probability in p, got {ranked!r:.80} and "
            f"{p!r:.80}. Mend the line.",
        )
    pmf = [0.0] * count
    for place, probability in zip(ranked, p, strict=True):
        pmf[int(place) - 1] = probability
    return pmf


@lru_cache(maxsize=1_024)  # mostly the same ones again and again
def _actions(text: bytes) -> list[Action]:
    multi, found = msgspec.json.decode(text), []
    names = [_name(one, place) for place, one in enumerate(multi, start=1)]
    unique = len(set(names)) == len(names)
    for place, (name, one) in enumerate(zip(names, multi, strict=True), start=1):
        if not isinstance(one, dict):
            raise _Unusable("no actions", f"expected objects in c._multi, got {one!r:.80}. Mend the line.")
        found.append(Action(action_id=name if unique else str(place), features=_features(one)))
    try:
        features.check_actions(found)
    except InvalidInputError as error:
        raise _Unusable("invalid action", f"{error} Mend the line.") from error
    return found


def _name(action: Any, place: int) -> str:
    """Its `id` at the top or in one of its namespaces, else its `_tag`, else its place."""
    if isinstance(action, dict):
        for holder in (action, *(inner for inner in action.values() if isinstance(inner, dict))):
            if isinstance(holder.get("id"), str | int) and str(holder["id"]):
                return str(holder["id"])[:256]
        if isinstance(action.get("_tag"), str) and action["_tag"]:
            return str(action["_tag"])[:256]
    return str(place)


def _features(value: dict[str, Any]) -> Features:
    """As Vowpal Wabbit takes them: no keys with a leading underscore, no nulls, items of a list by place."""
    found: Features = {}
    for key, inner in value.items():
        if key.startswith("_") or inner is None or not key:
            continue
        if isinstance(inner, list) and not all(isinstance(item, str) for item in inner):
            inner = {str(place): item for place, item in enumerate(inner)}
        found[key] = _features(inner) if isinstance(inner, dict) else inner
    return found
