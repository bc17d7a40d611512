"""Worlds fitted to a real log: its contexts and offers come again, and a model of its rewards is the truth.

The model is linear with two levels of shrinkage: what the context says of the reward of any action, and what
it says of each action beyond that, both by ridge regression. It is as good as such a model can be, and in the
world that it makes it is exactly true; conclusions hold for the log's world as far as the two are alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import msgspec
import numpy as np

from bandit.errors import InvalidInputError
from bandit.types import MAX_ACTIONS, BanditConfig, Features, RewardDefinition
from simulations.columns.exact import Floats
from simulations.environments.contract import PER_SECOND, Outcome, Round, configured, randomness
from simulations.logs.rows import Log, Logged
from simulations.logs.scan import Scan, usable
from simulations.logs.total import total

#: Ridge penalties, in rows: so many rows' worth of evidence speak for "no effect".
_SHARED_PENALTY, _ACTION_PENALTY = 10.0, 50.0
_MOST_COLUMNS = 500


@dataclass(frozen=True, eq=False)
class Fitted:
    """A world fitted to rows of a log; see `fit`."""

    limit: ClassVar[None] = None
    name: str
    config: BanditConfig
    #: Contexts and offers that come again, each as likely as any other.
    rows: Sequence[Logged]
    #: For each row, the expected reward of each action it offered.
    expected: Sequence[tuple[float, ...]]

    def rounds(self, count: int, seed: int) -> Iterator[Round]:
        """See `Environment`; a reward is the highest or the lowest possible, so that its mean is exact."""
        random = randomness("fitted", seed)
        low, high = self.config.reward.clip
        for index in range(count):
            row = int(random.random_sample() * len(self.rows))
            bar = low + (high - low) * random.random_sample()
            expected = self.expected[row]
            earned = [high if bar < each else low for each in expected]
            yield Round(
                at=index / PER_SECOND,
                subject=f"subject-{seed}-{index + 1}",
                context=self.rows[row].context,
                actions=self.rows[row].actions,
                expected=expected,
                settled=expected,
                outcomes=tuple([Outcome(each, each) for each in earned]),
            )


def fit(log: Log, *, name: str | None = None, sample: int = 20_000, seed: int = 1) -> Fitted:
    """A world like this log, by a random sample of its rows, read in one pass.

    Raises:
        InvalidInputError: the log has no rows, or more different actions than a bandit can have.
    """
    usable(total(log, Scan.of, Scan()), exclude=False)
    rows = _sampled(chain.from_iterable(chunk.rows for chunk in log.chunks()), sample, seed)
    catalogue = list({action.action_id: action for row in rows for action in row.actions}.values())
    if len(catalogue) > MAX_ACTIONS:
        raise InvalidInputError(
            f"{log.name}: expected at most {MAX_ACTIONS} different actions, got {len(catalogue)}."
        )
    rewards = [row.reward for row in rows]
    low, high = log.reward_range or (min(rewards), max(rewards))
    if not low < high:
        raise InvalidInputError(f"{log.name}: expected rewards that differ, got {low} in every row.")
    predicted = _model(rows).clip(low, high)
    column = {action.action_id: index for index, action in enumerate(catalogue)}
    expected = [
        tuple([float(means[column[action.action_id]]) for action in row.actions])
        for row, means in zip(rows, predicted, strict=True)
    ]
    config = msgspec.structs.replace(configured(catalogue), reward=RewardDefinition(clip=(low, high)))
    return Fitted(name or log.name, config, rows, expected)


def _sampled(rows: Iterator[Logged], size: int, seed: int) -> list[Logged]:
    """Each subset of `size` rows is as likely as any other. (Vitter 1985, algorithm R.)"""
    random = randomness("sample", seed)
    kept: list[Logged] = []
    for count, row in enumerate(rows, start=1):
        if count <= size:
            kept.append(row)
        elif (place := int(random.random_sample() * count)) < size:
            kept[place] = row
    return kept


def _model(rows: Sequence[Logged]) -> Floats:
    """Expected reward by row and action, in the order in which actions occur."""
    design = _design([row.context for row in rows])
    rewards = np.array([row.reward for row in rows])
    chosen = np.array([row.actions[row.chosen].action_id for row in rows])
    shared = _ridge(design, rewards, _SHARED_PENALTY)
    names = list({action.action_id: None for row in rows for action in row.actions})
    columns = []
    for action_id in names:
        mine = chosen == action_id
        columns.append(shared + _ridge(design, rewards - shared, _ACTION_PENALTY, mine))
    return np.stack(columns, axis=1)


def _ridge(design: Floats, target: Floats, penalty: float, fitted: Floats | None = None) -> Floats:
    """Predictions for all rows (n,) of a regression on those `fitted`."""
    x, y = (design, target) if fitted is None else (design[fitted], target[fitted])
    if not len(y):
        return np.zeros(len(design))
    strength = np.full(design.shape[1], penalty)
    strength[0] = 1.0  # of the intercept
    found: Floats = design @ np.linalg.solve(x.T @ x + np.diag(strength), x.T @ y)
    return found


def _design(contexts: Sequence[Features]) -> Floats:
    """A column of ones, then one per field and value, numbers standardized; the most frequent ones."""
    tokens = [dict(_tokens("", context)) for context in contexts]
    counts: dict[str, int] = {}
    for name in chain.from_iterable(tokens):
        counts[name] = counts.get(name, 0) + 1
    names = sorted(counts, key=lambda name: (-counts[name], name))[:_MOST_COLUMNS]
    place = {name: index for index, name in enumerate(names)}
    design = np.zeros((len(contexts), len(names)))
    for row, found in enumerate(tokens):
        for name, number in found.items():
            if name in place:
                design[row, place[name]] = number
    deviation = design.std(axis=0)
    standard = (design - design.mean(axis=0)) / np.where(deviation > 0.0, deviation, 1.0)
    return np.column_stack([np.ones(len(contexts)), standard])


def _tokens(prefix: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _tokens(f"{prefix}/{key}", inner)
    elif isinstance(value, list):
        for item in value:
            yield f"{prefix}={item}", 1.0
    elif isinstance(value, str):
        yield f"{prefix}={value}", 1.0
    elif isinstance(value, int | float):
        yield prefix, float(value)
