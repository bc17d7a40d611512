"""Policies that are simulated, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from bandit import vw
from bandit.errors import InvalidInputError
from bandit.policy import FixedPolicy, Policy, UniformPolicy
from bandit.types import Action, Features, PolicySettings
from simulations.logs.rows import Logged
from simulations.policies import named
from simulations.policies.targets import Target

FIXED = "fixed:"


class Contender(NamedTuple):
    """A policy with the name that stands in reports."""

    name: str
    #: Settings of one that learns, or any that does not.
    policy: PolicySettings | Policy


def contender(text: str) -> Contender:
    """`uniform`, `default`, `fixed:ACTION_ID`, a JSON file with a policy, a segment table, MODULE:FUNCTION.

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
    if text.endswith(".json"):
        return Contender(Path(text).stem, _settings(Path(text)))
    module, _, function = text.partition(":")
    if not text.endswith(".csv") and (not function or module == "model"):
        raise InvalidInputError(
            "policy: expected uniform, default, fixed:ACTION_ID, a .json or .csv file or MODULE:FUNCTION, "
            f"got {text!r}.",
            target="policy",
        )
    found = named.target(text, (0.0, 1.0))
    return Contender(found.name, _Asked(found))


class _Asked:
    """A policy of those that are evaluated, which does not learn, as one that decides."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def distribution(self, context: Features, actions: Sequence[Action]) -> list[float]:
        """See `bandit.policy.Policy`."""
        row = Logged(
            row=0,
            decision_id="",
            context=context,
            actions=list(actions),
            chosen=0,
            probability=1.0,
            reward=0.0,
        )
        return list(self._target.distribution(row))


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
