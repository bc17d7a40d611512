"""What estimators look at: rounds of a log as columns, beside what a target policy would have done."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bandit.errors import InvalidInputError
from simulations.columns.exact import Floats
from simulations.columns.parallel import by_blocks

#: A target's probability may exceed 1 by rounding.
_ROUNDING = 1e-9
#: Of larger numbers, and weights above it, squares of products could overflow.
_LARGEST = 1e60


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a reward model, fitted without these rounds, says of them; each (n,), in units of the reward."""

    #: Of the logged action.
    logged: Floats
    #: The mean over the target's distribution: sum of target probability times prediction.
    target: Floats

    def __getitem__(self, rows: slice | npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Predictions:
        """Of some of the rounds."""
        return Predictions(logged=self.logged[rows], target=self.target[rows])


@dataclass(frozen=True, kw_only=True, eq=False)
class Rounds:
    """Logged rounds and a target policy; every column has n entries, in the order of the log.

    >>> rounds = Rounds(reward=np.array([1.0, 0.0]), probability=np.array([0.5, 0.25]),
    ...                 target_probability=np.array([1.0, 0.0]))
    >>> rounds.weight
    array([2., 0.])
    """

    #: Finite, at most 1e60 in size.
    reward: Floats
    #: With which the logged action was chosen, in (0, 1], at least 1e-60.
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
            parts = (column.logged, column.target) if isinstance(column, Predictions) else (column,)
            for part in parts:
                if part is not None and part.shape != (count,):
                    raise InvalidInputError(
                        f"{field.name}: expected {count} numbers, one for each round, got shape "
                        f"{part.shape}.",
                        target=field.name,
                    )
        _within("reward", self.reward, -_LARGEST, _LARGEST)
        _within("probability", self.probability, 1.0 / _LARGEST, 1.0)
        _within("target_probability", self.target_probability, 0.0, 1.0 + _ROUNDING)
        for name in ("predictions", "robust_predictions"):
            model: Predictions | None = getattr(self, name)
            if model is not None:
                _within(f"{name}.logged", model.logged, -_LARGEST, _LARGEST)
                _within(f"{name}.target", model.target, -_LARGEST, _LARGEST)
        if self.embedding_weight is not None:
            _within("embedding_weight", self.embedding_weight, 0.0, _LARGEST)
        if self.mixture_probability is not None:
            _within("mixture_probability", self.mixture_probability, 1.0 / _LARGEST, 1.0 + _ROUNDING)

    def __len__(self) -> int:
        """How many rounds."""
        return len(self.reward)

    def __getitem__(self, rows: slice | npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Rounds:
        """Some of the rounds: a slice, those of a mask (n,), or those of some indices.

        >>> len(Rounds(reward=np.ones(3), probability=np.ones(3), target_probability=np.ones(3))[1:])
        2
        """
        part = object.__new__(Rounds)  # its columns were checked already
        for name, column in vars(self).items():
            part.__dict__[name] = None if column is None else column[rows]
        return part

    @cached_property
    def weight(self) -> Floats:
        """Importance weight (n,): target probability / probability of the logged action."""
        return self.target_probability / self.probability

    @cached_property
    def weighted_reward(self) -> Floats:
        """Weight times reward (n,)."""
        return self.weight * self.reward

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

        Raises:
            InvalidInputError: as for any rounds, or there is no such column.

        >>> Rounds.from_matrices(reward=np.array([1.0]), action=np.array([1]), probability=np.array([0.5]),
        ...                      target_probabilities=np.array([[0.75, 0.25]])).weight
        array([0.5])
        """
        count, actions = target_probabilities.shape
        _within("action", action, 0, actions - 1)
        target_probability, logged, target = np.empty((3, count))

        def look_up(rows: slice) -> None:
            chosen = np.arange(0, (rows.stop - rows.start) * actions, actions) + action[rows]
            np.take(target_probabilities[rows], chosen, out=target_probability[rows], mode="clip")
            if predicted_rewards is not None:
                np.take(predicted_rewards[rows], chosen, out=logged[rows], mode="clip")
                np.einsum("nk,nk->n", target_probabilities[rows], predicted_rewards[rows], out=target[rows])

        by_blocks(look_up, count)
        return cls(
            reward=reward,
            probability=probability,
            target_probability=target_probability,
            predictions=None if predicted_rewards is None else Predictions(logged=logged, target=target),
        )


def _within(name: str, column: Floats | npt.NDArray[np.int64], low: float, high: float) -> None:
    if len(column) and not (low <= column.min() and column.max() <= high):  # false for NaN too
        bad = int(np.flatnonzero(~((column >= low) & (column <= high)))[0])
        raise InvalidInputError(
            f"{name}: expected numbers from {low:g} to {high:g}, got {column[bad]} at index {bad}.",
            target=name,
        )
