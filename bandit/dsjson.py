"""Settled decisions as dsjson, Vowpal Wabbit's line-by-line JSON: labels for it, and all of ours beside them.

Vowpal Wabbit passes over the key `_segbandit`, in which each line carries its whole record, and the first
line the bandit too; what stands outside it is made of that.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from bandit import rewards
from bandit.errors import InvalidInputError, SetupError
from bandit.records import Header, Record
from bandit.types import Action, BanditConfig, Features, Value
from bandit.vw import Model

#: A line of more bytes is not read.
MAX_LINE = 16 * 2**20
#: What a gzipped file raises that is cut off or damaged.
DAMAGED = (OSError, EOFError, zlib.error)
_encode = msgspec.json.Encoder().encode


class Own(Value, frozen=True, kw_only=True):
    """What `_segbandit` holds."""

    #: In the first line of a file.
    header: Header | None = None
    record: Record


class _Line(msgspec.Struct):
    own: Own | None = msgspec.field(default=None, name="_segbandit")


_decode = msgspec.json.Decoder(_Line).decode


class Writer:
    """Makes the lines of one bandit.

    With `encoded`, what Vowpal Wabbit reads is what the bandit's model learns: features as they are encoded,
    the cost counted from the neutral reward, the probability bounded, and, because the other lines would
    only divide each update by their number, the chosen action alone. Else features stand as they were given,
    with all actions, the true probability, and the cost -reward.
    """

    def __init__(self, header: Header, *, encoded: bool) -> None:
        self._header: Header | None = header
        self._learns: BanditConfig = header.configs[header.learns_under - 1]
        self._without = set(header.without_subjects)
        self._model = Model.untrained(self._learns.policy) if encoded else None

    def line(self, record: Record) -> bytes:
        """One line, with its end."""
        pmf = {record.chosen: record.probability} | dict(enumerate(record.pmf or ()))  # the chosen one first
        shown = self._encoded(record) if self._model else _as_given(record)
        if record.subject is not None and record.subject in self._without:
            shown["_skipLearn"] = True
        shown |= {
            "o": [{"EventId": record.decision_id, "v": event.value} for event in record.events],
            "Timestamp": record.decided_at,
            "Version": "1",
            "EventId": record.decision_id,
            "a": [index + 1 for index in pmf],
            "p": list(pmf.values()),
            "VWState": {"m": str(record.model_version)},
            "_segbandit": Own(header=self._header, record=record),
        }
        self._header = None
        return _encode(shown) + b"\n"

    def close(self) -> None:
        """Free what it took to encode."""
        if self._model:
            self._model.close()

    def _encoded(self, record: Record) -> dict[str, Any]:
        model, policy = cast(Model, self._model), self._learns.policy
        scaled = rewards.scale(self._learns.reward, record.settled_reward)
        probability = max(record.probability, policy.importance_bound)
        shared, *actions = model.labelled(record.context, record.actions, record.chosen, scaled, probability)
        at = next(index for index, line in enumerate(actions) if not line.startswith("|"))
        _, cost, bounded = actions[at].split(" ", 1)[0].split(":")
        multi = b",".join(namespaces(line) for line in actions)
        return {
            "_label_cost": float(cost),
            "_label_probability": float(bounded),
            "_label_Action": at + 1,
            "_labelIndex": at,
            "c": msgspec.Raw(b'%b,"_multi":[%b]}' % (namespaces(shared)[:-1], multi)),
        }


def _as_given(record: Record) -> dict[str, Any]:
    return {
        "_label_cost": -record.reward,
        "_label_probability": record.probability,
        "_label_Action": record.chosen + 1,
        "_labelIndex": record.chosen,
        "c": {
            "context": _plain(record.context),
            "_multi": [{"action": {"id": a.action_id} | _described(a)} for a in record.actions],
        },
    }


def _described(action: Action) -> dict[str, Any]:
    segment = {} if action.segment is None else {"segment": action.segment}
    return segment | {"features": _plain(action.features)}


def _plain(given: Features) -> Features:
    """As Vowpal Wabbit reads JSON: it takes no lists of strings, and keys with an underscore in front are
    commands."""
    plain: Features = {}
    for key, value in given.items():
        if isinstance(value, dict):
            value = _plain(value)
        elif isinstance(value, list):
            value = dict.fromkeys(value, True)
        plain["%5F" + key[1:] if key.startswith("_") else key] = value
    return plain


def namespaces(line: str) -> bytes:
    """A line of Vowpal Wabbit's text as its JSON: by namespace, each feature's value with the scale in it.

    Values are rounded as Vowpal Wabbit rounds them, to 32 bits before and after they are multiplied. A name
    may stand there twice, which an object in Python could not hold; none needs escaping.

    >>> namespaces("shared |c:0.5 age@5:0.25 tag=a tag=a |c/device:0.5 os=ios")
    b'{"c":{"age@5":0.125,"tag=a":0.5,"tag=a":0.5},"c/device":{"os=ios":0.5}}'
    """
    spaces = []
    for space in line.split("|")[1:]:
        head, *tokens = space.split()
        name, _, scale = head.partition(":")
        parts = [token.partition(":") for token in tokens]
        values = [
            (feature, _single(_single(scale or 1) * _single(value or 1))) for feature, _, value in parts
        ]
        spaces.append(f'"{name}":{{' + ",".join(f'"{f}":{v!r}' for f, v in values) + "}")
    return ("{" + ",".join(spaces) + "}").encode()


def _single(value: float | str) -> float:
    number: float = struct.unpack("f", struct.pack("f", float(value)))[0]
    return number


def opened(path: Path) -> IO[bytes]:
    """A file to read, gzipped or not.

    Raises:
        SetupError: it is not there.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> SetupError:
    """The error that says that a file cannot be read."""
    return SetupError(f"expected a file that can be read at {path}, got {error}. Put an intact one there.")


def lines(path: Path) -> Iterator[bytes | None]:
    """The lines of a file, gzipped or not, one at a time; None: one of more than `MAX_LINE` bytes.

    Raises:
        SetupError: it cannot be read.
    """
    with opened(path) as file:
        try:
            while line := file.readline(MAX_LINE):
                if len(line) < MAX_LINE or line.endswith(b"\n"):
                    yield line
                else:
                    while (more := file.readline(MAX_LINE)) and not more.endswith(b"\n"):
                        pass
                    yield None
        except DAMAGED as error:
            raise unreadable(path, error) from error


def own(line: bytes) -> Own | None:
    """What a line carries of ours; None: nothing.

    Raises:
        InvalidInputError: it is broken.
    """
    try:
        return _decode(line).own
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidInputError(f"expected a line as `segbandit export` writes it, got: {error}.") from error
