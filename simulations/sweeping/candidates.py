"""What a sweep tries: settings by a grid, built in or from a file, and policies by name."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bandit.errors import InvalidInputError, SetupError
from bandit.types import (
    Bag,
    Cover,
    EpsilonGreedy,
    Exploration,
    PolicySettings,
    RegCB,
    Side,
    Softmax,
    SquareCB,
)
from bandit.vw import check
from simulations.policies import named
from simulations.policies.targets import Learning, Target

#: More are to be sampled.
MOST = 1_000
DEFAULT = "default"
_PLAIN: list[list[Side]] = [["context", "action"]]


class Candidate(NamedTuple):
    """A policy with the name that stands in reports.

    >>> candidate(PolicySettings(learning_rate=0.1)).name
    'learning_rate 0.1'
    """

    name: str
    #: Settings of one that learns along the log, a name as `evaluate` takes, or any other.
    policy: PolicySettings | str | Target

    def target(self, reward_range: tuple[float, float]) -> Target:
        """The policy before the log's first round."""
        if isinstance(self.policy, PolicySettings):
            # Past events are relearned by the name: the same ones for all, so that luck makes no difference.
            return Learning(DEFAULT, self.policy, reward_range)
        return named.target(self.policy, reward_range) if isinstance(self.policy, str) else self.policy


def candidate(given: Candidate | PolicySettings | str | Target) -> Candidate:
    """With the name that it gives itself; settings are named by what differs from the default."""
    if isinstance(given, Candidate):
        return given
    if isinstance(given, PolicySettings):
        return Candidate(described(given), given)
    return Candidate(given if isinstance(given, str) else given.name, given)


def built_in() -> list[Candidate]:
    """The default, what changes one thing of it, and some that change two.

    >>> candidates = built_in()
    >>> len(candidates), candidates[0].name, candidates[-1].name
    (22, 'default', 'epsilon_greedy epsilon 0.1, interactions context*action')
    """
    explorations: list[Exploration] = [
        SquareCB(gamma_scale=1.0),
        SquareCB(gamma_scale=10.0),
        SquareCB(gamma_scale=30.0),
        EpsilonGreedy(epsilon=0.02),
        EpsilonGreedy(epsilon=0.1),
        Softmax(),
        RegCB(),
        Bag(),
        Cover(),
    ]
    settings = [
        PolicySettings(),
        *(PolicySettings(exploration=each) for each in explorations),
        *(PolicySettings(learning_rate=rate) for rate in (0.01, 0.02, 0.08, 0.16)),
        *(PolicySettings(relearn=count) for count in (0, 2)),
        *(PolicySettings(importance_bound=bound) for bound in (0.2, 0.05)),
        PolicySettings(interactions=_PLAIN),
        PolicySettings(interactions=_PLAIN, learning_rate=0.08),
        PolicySettings(interactions=_PLAIN, exploration=SquareCB(gamma_scale=10.0)),
        PolicySettings(interactions=_PLAIN, exploration=EpsilonGreedy(epsilon=0.1)),
    ]
    return [candidate(each) for each in settings]


class Grid:
    """All combinations of some values of some settings; the others are as in the default.

    Raises:
        InvalidInputError: a field is none of `PolicySettings`, or has no list of values.

    >>> grid = Grid({"learning_rate": [0.02, 0.04], "relearn": [0, 4, 8]})
    >>> len(grid), [each.name for each in grid.candidates(sample=2, seed=1)]
    (6, ['learning_rate 0.02, relearn 4', 'relearn 4'])
    """

    def __init__(self, values: Mapping[str, Sequence[Any]]) -> None:
        unknown = [name for name in values if name not in PolicySettings.__struct_fields__]
        if unknown or not values:
            raise InvalidInputError(
                f"grid: expected fields among {', '.join(PolicySettings.__struct_fields__)}, got "
                f"{', '.join(unknown) or 'none'}.",
                target="grid",
            )
        for name, choices in values.items():
            if not isinstance(choices, list) or not choices:
                raise InvalidInputError(
                    f"grid: expected a list of values of {name}, such as [0.02, 0.04], got {choices!r}.",
                    target="grid",
                )
        self._values = values

    def __len__(self) -> int:
        """How many combinations."""
        return math.prod(len(choices) for choices in self._values.values())

    def candidates(self, *, sample: int | None = None, seed: int = 1) -> list[Candidate]:
        """All of them, or a random sample of so many; each is one that Vowpal Wabbit takes.

        Raises:
            InvalidInputError: a value is none that its field can have, or there are too many.
        """
        if sample is None and len(self) > MOST:
            raise InvalidInputError(
                f"grid: expected at most {MOST:,} combinations, got {len(self):,}; try a random sample of "
                "them (--sample, sample=).",
                target="grid",
            )
        chosen: Sequence[int] = range(len(self))
        if sample is not None and sample < len(self):
            chosen = sorted(random.Random(seed).sample(chosen, sample))  # noqa: S311 no secret
        found = {each.name: each for each in (candidate(self._settings(index)) for index in chosen)}
        return list(found.values())

    def _settings(self, index: int) -> PolicySettings:
        fields = {}
        for name, choices in reversed(list(self._values.items())):
            index, at = divmod(index, len(choices))
            fields[name] = choices[at]
        try:
            settings = msgspec.convert(fields, PolicySettings)
        except msgspec.ValidationError as error:
            raise InvalidInputError(
                f"grid: expected values that their fields can have, got {fields} ({error}).", target="grid"
            ) from error
        check(settings)
        return settings


def grid_at(path: Path) -> Grid:
    """The grid of a JSON file: an object of lists, such as {"learning_rate": [0.02, 0.04]}.

    Raises:
        SetupError: it cannot be read.
        InvalidInputError: it is no grid.
    """
    try:
        values = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise SetupError(
            f'{path}: expected lists of values as JSON, such as {{"learning_rate": [0.02, 0.04]}}, got '
            f"{error}."
        ) from error
    return Grid(values)


def sampled(candidates: Sequence[Candidate], sample: int | None, seed: int) -> list[Candidate]:
    """A random part of them; the first one, such as the default, is always among it."""
    if sample is None or sample >= len(candidates):
        return list(candidates)
    others = range(1, len(candidates))
    chosen = sorted(random.Random(seed).sample(others, max(sample - 1, 0)))  # noqa: S311 no secret
    return [candidates[index] for index in (0, *chosen)]


def described(settings: PolicySettings) -> str:
    """By what differs from the default.

    >>> described(PolicySettings(exploration=EpsilonGreedy(epsilon=0.1), interactions=[]))
    'epsilon_greedy epsilon 0.1, interactions none'
    """
    default = PolicySettings()
    changed = [
        _said(name, getattr(settings, name))
        for name in PolicySettings.__struct_fields__
        if getattr(settings, name) != getattr(default, name)
    ]
    return ", ".join(changed) or DEFAULT


def _said(name: str, value: Any) -> str:
    if isinstance(value, Exploration):
        fields = msgspec.to_builtins(value)
        usual = msgspec.to_builtins(type(value)())
        differing = [f"{field} {fields[field]:g}" for field in fields if fields[field] != usual[field]]
        return " ".join([fields["algorithm"], *differing])
    if name == "interactions":
        return f"{name} {' + '.join('*'.join(sides) for sides in value) or 'none'}"
    if isinstance(value, list):
        return " ".join(value) or f"{name} none"
    return f"{name} {value:g}"
