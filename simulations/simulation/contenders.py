"""Policies that are simulated, by name."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from bandit import vw
from bandit.errors import InvalidInputError
from bandit.policy import FixedPolicy, Policy, UniformPolicy
from bandit.types import PolicySettings

FIXED = "fixed:"


class Contender(NamedTuple):
    """A policy with the name that stands in reports."""

    name: str
    #: Settings of one that learns, or any that does not.
    policy: PolicySettings | Policy


def contender(text: str) -> Contender:
    """`uniform`, `default`, `fixed:ACTION_ID`, or the path of a JSON file with a policy.

    The file holds the policy of a bandit's configuration, or a whole configuration, of which the policy is
    taken: everything else is the environment's.

    Raises:
        InvalidInputError: it is none of these, or not a policy.

    >>> contender("fixed:b").name
    'fixed:b'
    """
    if text == "uniform":
        return Contender(text, UniformPolicy())
    if text == "default":
        return Contender(text, PolicySettings())
    if text.startswith(FIXED):
        return Contender(text, FixedPolicy(text.removeprefix(FIXED)))
    if not text.endswith(".json"):
        raise InvalidInputError(
            f"policy: expected uniform, default, fixed:ACTION_ID or a .json file, got {text!r}.",
            target="policy",
        )
    return Contender(Path(text).stem, _settings(Path(text)))


def _settings(path: Path) -> PolicySettings:
    try:
        read = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
        if "policy" in read or "actions" in read:
            settings = msgspec.json.decode(read.get("policy", b"{}"), type=PolicySettings)
        else:
            settings = msgspec.json.decode(path.read_bytes(), type=PolicySettings)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise InvalidInputError(
            f"{path}: expected a JSON object with the policy of a bandit's configuration, got {error}.",
            target="policy",
        ) from error
    vw.check(settings)
    return settings
