"""What an estimator is: some columns of the rounds, and a smooth function of their means.

So every estimator streams, takes constant memory and merges; and its delta-method interval, its bootstrap and
its difference to another one need nothing else of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np

from bandit.errors import InvalidInputError
from simulations.columns.exact import Floats
from simulations.columns.moments import Moments
from simulations.columns.parallel import by_blocks
from simulations.columns.rounds import Predictions, Rounds


class Estimator(Protocol):
    """The value of a target policy from rounds that another policy logged."""

    @property
    def name(self) -> str:
        """In lower case, as it stands in reports."""
        ...

    @property
    def size(self) -> int:
        """The number of columns."""
        ...

    def columns(self, rounds: Rounds) -> tuple[Floats, ...]:
        """One or more columns (n,).

        Raises:
            InvalidInputError: the rounds lack a column that this estimator needs.
        """
        ...

    def value(self, means: Floats) -> float:
        """The estimate from the columns' means (c,); not a number where it is undefined."""
        ...

    def gradient(self, means: Floats) -> Floats:
        """Derivative of `value` by each mean (c,)."""
        ...


class Mean(msgspec.Struct, frozen=True, kw_only=True):
    """Base of estimators that are the mean of one column."""

    @property
    def size(self) -> int:
        """See `Estimator`."""
        return 1

    def value(self, means: Floats) -> float:
        """See `Estimator`."""
        return float(means[0])

    def gradient(self, means: Floats) -> Floats:  # noqa: ARG002 the contract
        """See `Estimator`."""
        return np.ones(1)


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """Base of estimators that are the mean of one column divided by that of another."""

    @property
    def size(self) -> int:
        """See `Estimator`."""
        return 2

    def value(self, means: Floats) -> float:
        """See `Estimator`."""
        return float(means[0] / means[1]) if means[1] else math.nan

    def gradient(self, means: Floats) -> Floats:
        """See `Estimator`."""
        if not means[1]:
            return np.full(2, np.nan)
        return np.array([1.0 / means[1], -means[0] / means[1] ** 2])


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """An estimator and what it has seen so far; `a + b` has seen the rounds of both.

    >>> from simulations.estimators.ips import IPS
    >>> rounds = Rounds(reward=np.array([1.0, 0.0]), probability=np.array([0.5, 0.25]),
    ...                 target_probability=np.array([1.0, 0.0]))
    >>> Running.of(IPS(), rounds).value
    1.0
    """

    estimator: Estimator
    moments: Moments

    @classmethod
    def start(cls, estimator: Estimator) -> Running:
        """Nothing seen yet."""
        return cls(estimator=estimator, moments=Moments.none(estimator.size))

    @classmethod
    def of(cls, estimator: Estimator, rounds: Rounds) -> Running:
        """These rounds seen."""
        return cls(estimator=estimator, moments=Moments.of(estimator.columns(rounds)))

    def __add__(self, other: Running) -> Running:
        """Both seen.

        Raises:
            ValueError: the estimators differ.
        """
        if self.estimator != other.estimator:
            raise ValueError(f"expected two states of {self.estimator}, got one of {other.estimator}")
        return Running(estimator=self.estimator, moments=self.moments + other.moments)

    @property
    def count(self) -> int:
        """Rounds seen."""
        return self.moments.count

    @property
    def value(self) -> float:
        """The estimate; not a number where it is undefined, as without rounds."""
        return self.estimator.value(self.moments.means)

    @property
    def standard_error(self) -> float:
        """By the delta method; not a number where it is undefined, as with fewer than two rounds."""
        gradient = self.estimator.gradient(self.moments.means)
        variance = float(gradient @ self.moments.covariance @ gradient)
        return math.sqrt(max(variance, 0.0) / self.count) if variance == variance else math.nan


def run(estimators: Sequence[Estimator], rounds: Rounds) -> tuple[Running, ...]:
    """One state for each estimator, the rounds seen: `Running.of` in blocks, on all processors.

    >>> from simulations.estimators.ips import IPS
    >>> rounds = Rounds(reward=np.ones(2), probability=np.ones(2), target_probability=np.ones(2))
    >>> run([IPS()], rounds) == (Running.of(IPS(), rounds),)
    True
    """

    def see(rows: slice) -> list[Moments]:
        part = rounds[rows]
        return Moments.of_each([estimator.columns(part) for estimator in estimators])

    parts = by_blocks(see, len(rounds))
    return tuple(
        sum((Running(estimator=estimator, moments=part[index]) for part in parts), Running.start(estimator))
        for index, estimator in enumerate(estimators)
    )


def predictions(rounds: Rounds, estimator: str) -> Predictions:
    """The reward model's predictions.

    Raises:
        InvalidInputError: there are none.
    """
    if rounds.predictions is None:
        raise InvalidInputError(
            f"{estimator}: expected rounds with a reward model's predictions, got none; fit a reward model, "
            "or use an estimator that needs none (ips, snips).",
            target="predictions",
        )
    return rounds.predictions


def corrected(rounds: Rounds, weight: Floats, estimator: str) -> Floats:
    """The reward model's value of the target, corrected by what was seen as `weight` (n,) counts it.

    Raises:
        InvalidInputError: there are no predictions.
    """
    model = predictions(rounds, estimator)
    return model.target + weight * (rounds.reward - model.logged)


def column(values: Floats | None, name: str, estimator: str) -> Floats:
    """A column of the rounds that not all have.

    Raises:
        InvalidInputError: these do not.
    """
    if values is None:
        raise InvalidInputError(
            f"{estimator}: expected rounds with {name}, got none; add that column, or use an estimator that "
            "needs none (ips, snips).",
            target=name,
        )
    return values


def above_zero(name: str, setting: float) -> None:
    """Refuse a setting that is not above zero, or not a number.

    Raises:
        InvalidInputError: it is not.
    """
    if not setting > 0.0:
        raise InvalidInputError(f"{name}: expected a number above 0, got {setting}.", target=name)


def fraction(name: str, setting: float) -> None:
    """Refuse a setting outside [0, 1].

    Raises:
        InvalidInputError: it is outside.
    """
    if not 0.0 <= setting <= 1.0:
        raise InvalidInputError(f"{name}: expected a number from 0 to 1, got {setting}.", target=name)
