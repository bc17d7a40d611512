"""What estimators look at: rounds of a log as columns, beside what a target policy would have done."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bandit.errors import InvalidInputError
from simulations.exact import Floats

#: A target's probability may exceed 1 by rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a reward model, fitted without these rounds, says of them; each (n,), in units of the reward."""

    #: Of the logged action.
    logged: Floats
    #: The mean over the target's distribution: sum of target probability times prediction.
    target: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Rounds:
    """Logged rounds and a target policy; every column has n entries, in the order of the log.

    >>> rounds = Rounds(reward=np.array([1.0, 0.0]), probability=np.array([0.5, 0.25]),
    ...                 target_probability=np.array([1.0, 0.0]))
    >>> rounds.weight
    array([2., 0.])
    """

    #: Finite.
    reward: Floats
    #: With which the logged action was chosen, in (0, 1].
    probability: Floats
    #: With which the target policy would have chosen it, in [0, 1].
    target_probability: Floats
    #: Of a reward model fitted by least squares.
    predictions: Predictions | None = None
    #: Of one fitted to make the doubly robust estimate vary least.
    robust_predictions: Predictions | None = None
    #: Ratio of the probabilities with which target and logging policy choose any action with the embedding of
    #: the logged one, >= 0.
    embedding_weight: Floats | None = None
    #: With which the logged action is chosen by the mixture of all policies that logged, in (0, 1].
    mixture_probability: Floats | None = None
    #: The largest weight that any offered action would have had, at least that of the logged one.
    largest_weight: Floats | None = None
    #: A hash of the subject; the same number for all rounds of one subject.
    subject: npt.NDArray[np.uint64] | None = None
    #: Uniform in [0, 1), a hash of the decision_id: what the rejection sampler draws.
    draw: Floats | None = None

    def __post_init__(self) -> None:
        """Refuse what no estimate could stand on.

        Raises:
            InvalidInputError: naming the column and the first bad entry.
        """
        count = len(self.reward)
        for field in fields(self):
            column = getattr(self, field.name)
            if isinstance(column, np.ndarray) and column.shape != (count,):
                raise InvalidInputError(
                    f"{field.name}: expected {count} numbers, one for each round, got shape {column.shape}.",
                    target=field.name,
                )
        _within("reward", self.reward, -np.finfo(float).max, np.finfo(float).max)
        _within("probability", self.probability, np.nextafter(0.0, 1.0), 1.0)
        _within("target_probability", self.target_probability, 0.0, 1.0 + _ROUNDING)

    def __len__(self) -> int:
        """How many rounds."""
        return len(self.reward)

    @cached_property
    def weight(self) -> Floats:
        """Importance weight (n,): target probability / probability of the logged action."""
        return self.target_probability / self.probability

    @classmethod
    def from_matrices(
        cls,
        *,
        reward: Floats,
        action: npt.NDArray[np.int64],
        probability: Floats,
        target_probabilities: Floats,
        predicted_rewards: Floats | None = None,
    ) -> Rounds:
        """From a target distribution (n, K) and, if there is one, a reward model's predictions (n, K).

        `action` (n,) is the column of the logged action, from 0.

        >>> Rounds.from_matrices(reward=np.array([1.0]), action=np.array([1]), probability=np.array([0.5]),
        ...                      target_probabilities=np.array([[0.75, 0.25]])).weight
        array([0.5])
        """
        rows = np.arange(len(reward))
        predictions = None
        if predicted_rewards is not None:
            predictions = Predictions(
                logged=predicted_rewards[rows, action],
                target=np.einsum("nk,nk->n", target_probabilities, predicted_rewards),
            )
        return cls(
            reward=reward,
            probability=probability,
            target_probability=target_probabilities[rows, action],
            predictions=predictions,
        )


def _within(name: str, column: Floats, low: float, high: float) -> None:
    if len(column) and not (low <= column.min() and column.max() <= high):  # false for NaN too
        bad = int(np.flatnonzero(~((column >= low) & (column <= high)))[0])
        raise InvalidInputError(
            f"{name}: expected numbers from {low:g} to {high:g}, got {column[bad]} at index {bad}.",
            target=name,
        )
