"""The head of a Vowpal Wabbit model file, read without Vowpal Wabbit, which obeys the options in it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from bandit.errors import ModelRefusedError


class Head(NamedTuple):
    """What a model file says before its weights."""

    #: Version and id of Vowpal Wabbit, the kind of file, bits of an index: all but labels and options.
    form: tuple[bytes, ...]
    options: list[str]
    #: Where the options end; the state of the learners follows, and then the weights.
    end: int


def read_head(data: bytes) -> Head:
    """Read the head.

    Version and id, each with its length; the letter m; the lowest and the highest label; four numbers (bits
    of an index, and three that are 0 for us); the options with their length.

    Raises:
        ModelRefusedError: the bytes end before that.

    >>> read_head(b"no model")
    Traceback (most recent call last):
    bandit.errors.ModelRefusedError: expected a Vowpal Wabbit model, got 8 other bytes.
    """
    parts, at = [], 0
    try:
        for _ in range(2):
            (length,) = struct.unpack_from("<I", data, at)
            parts.append(data[at : at + 4 + length])
            at += 4 + length
        parts += [data[at : at + 1], data[at + 9 : at + 25]]
        (length,) = struct.unpack_from("<I", data, at + 25)
    except struct.error as error:
        raise ModelRefusedError(f"expected a Vowpal Wabbit model, got {len(data)} other bytes.") from error
    at += 29
    options = data[at : at + length].rstrip(b"\0").decode("ascii", "replace").split()
    return Head(tuple(parts), options, at + length)


def fixed_options(options: Sequence[str]) -> list[str]:
    """The options without the one that may differ: bagging saves where its generator stands.

    >>> fixed_options(["--bag", "5", "--random_seed", "7"])
    ['--bag', '5']
    """
    at = [i for i in range(len(options) - 1) if options[i] == "--random_seed" and options[i + 1].isdigit()]
    if "--bag" not in options or len(at) != 1:
        return list(options)
    return [*options[: at[0]], *options[at[0] + 2 :]]
