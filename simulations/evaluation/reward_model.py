"""A reward model for doubly robust estimates: cross-fitted ridge regression on hashed features.

All that it needs of a log are sums of products. Features and rewards are rounded to a fixed grid for it, so
these sums are whole numbers and merge exactly, however the log was cut into parts. The rounds of one subject
lie in one fold, and no fold's predictions come from a model that has seen its rewards. (Chernozhukov et al.
2018, "Double/debiased machine learning", Econometrics Journal 21.)
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from bandit import features
from simulations.columns.exact import Floats
from simulations.columns.rounds import Predictions
from simulations.logs.rows import Logged

Whole = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint32]

FOLDS = 3
#: Columns: the constant, then hashed actions, hashed context fields, and their hashed products.
_ACTIONS, _CONTEXT, _PRODUCTS = 96, 64, 256
SIZE = 1 + _ACTIONS + _CONTEXT + _PRODUCTS
#: Features are multiples of 2**-8, rewards (as shares of their range) of 2**-12, weights of 2**-6.
_FEATURE, _REWARD, _WEIGHT = 2.0**8, 2.0**12, 2.0**6
_LARGEST_WEIGHT = 2.0**9
#: The sums of so many products are exact in a double.
_BLOCK = 2_048
#: Actions whose rewards are predicted together: 8 MB.
_TOGETHER = 2**20
#: Ridge penalties to choose from, in rounds.
_PENALTIES = tuple(10.0**power for power in range(5))
_MIXED = np.uint32(2_654_435_761)


class Encoded(NamedTuple):
    """Rounds as hashes."""

    #: Of each action (n, most actions of a round); 0 where there is none.
    actions: Hashes
    #: Of each context field (n, most fields of a round), and its value, 0 where there is none.
    fields: Hashes
    values: Floats
    #: Index of the logged action (n,).
    chosen: npt.NDArray[np.int64]
    fold: npt.NDArray[np.int64]


def encode(rows: Sequence[Logged]) -> Encoded:
    """Rounds as hashes; n >= 1."""
    contexts = [_context(features.encode_context(row.context)) for row in rows]
    offers = {id(row.actions): row.actions for row in rows}  # mostly the same catalogue again and again
    hashes = {key: [_hash(action.action_id) for action in actions] for key, actions in offers.items()}
    values = _padded([values for _, values in contexts])
    # A context is of length 1 at most.
    scale = _FEATURE / np.sqrt([[max(1, len(values))] for _, values in contexts])
    return Encoded(
        actions=_padded([hashes[id(row.actions)] for row in rows]).astype(np.uint32),
        fields=_padded([fields for fields, _ in contexts]).astype(np.uint32),
        values=np.rint(values * scale) / _FEATURE,
        chosen=np.array([row.chosen for row in rows]),
        fold=np.array([_hash(row.subject or row.decision_id) % FOLDS for row in rows]),
    )


class RewardSums(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a reward model is fitted from; `a + b` equals the sums over all rounds at once, exactly."""

    #: For each fold: sums of weight x feature x feature (FOLDS, SIZE, SIZE) and weight x feature x reward
    #: (FOLDS, SIZE), as whole numbers of the grid's units. They hold 10**11 rounds of weight 1.
    products: Whole
    rewarded: Whole

    @classmethod
    def none(cls) -> RewardSums:
        """Of no rounds."""
        return cls(
            products=np.zeros((FOLDS, SIZE, SIZE), np.int64), rewarded=np.zeros((FOLDS, SIZE), np.int64)
        )

    @classmethod
    def of(cls, encoded: Encoded, scaled_reward: Floats, weight: Floats | None = None) -> RewardSums:
        """Of these rounds: rewards in [0, 1] (n,), and how much each counts (n,), from 2**-6 to 2**9."""
        total = cls.none()
        reward = np.rint(scaled_reward * _REWARD)
        if weight is None:
            counts = np.full(len(reward), _WEIGHT)
        else:
            counts = np.clip(np.rint(weight * _WEIGHT), 1.0, _LARGEST_WEIGHT * _WEIGHT)
        for fold in range(FOLDS):
            own = np.flatnonzero(encoded.fold == fold)
            for start in range(0, len(own), _BLOCK):
                rows = own[start : start + _BLOCK]
                columns = np.rint(_logged(encoded, rows) * _FEATURE)
                if weight is None:  # such a product is symmetric, which takes half the time
                    total.products[fold] += (columns.T @ columns * _WEIGHT).astype(np.int64)
                    total.rewarded[fold] += (reward[rows] @ columns * _WEIGHT).astype(np.int64)
                    continue
                weighted = columns * counts[rows, None]
                total.products[fold] += (weighted.T @ columns).astype(np.int64)
                total.rewarded[fold] += (weighted.T @ reward[rows]).astype(np.int64)
        return total

    def __add__(self, other: RewardSums) -> RewardSums:
        """Of the rounds of both."""
        return RewardSums(products=self.products + other.products, rewarded=self.rewarded + other.rewarded)


class RewardModel(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Predicts the reward of any action in any context, for each fold by a model fitted without it."""

    #: (FOLDS, SIZE), for rewards as shares of their range.
    coefficients: Floats
    #: The lowest reward, and how far the highest is above it.
    low: float
    span: float

    @classmethod
    def fit(cls, sums: RewardSums, reward_range: tuple[float, float]) -> RewardModel:
        """From the sums over the whole log."""
        low, high = reward_range
        coefficients = np.stack([_fitted_without(sums, fold) for fold in range(FOLDS)])
        return cls(coefficients=coefficients, low=low, span=high - low)

    def predict(self, encoded: Encoded) -> Floats:
        """The expected reward of each action (n, most actions); any number where there is none."""
        return np.asarray(self.low + self.span * self._shares(encoded))

    def _shares(self, encoded: Encoded) -> Floats:
        count, most = encoded.actions.shape
        rows = max(1, _TOGETHER // most)
        parts = [self._block(encoded, slice(at, at + rows)) for at in range(0, count, rows)]
        return np.clip(np.concatenate(parts), 0.0, 1.0)

    def predictions(self, encoded: Encoded, targets: Sequence[Sequence[float]]) -> Predictions:
        """Of the logged action, and their mean over each round's target distribution."""
        # Of shares, so that where all rewards are equal no rounding makes a difference of them.
        shares = self._shares(encoded)
        pmf = _padded(targets)
        mean: Floats = np.zeros(len(shares))
        for action in range(pmf.shape[1]):
            mean += shares[:, action] * pmf[:, action]
        logged = np.take_along_axis(shares, encoded.chosen[:, None], axis=1)[:, 0]
        return Predictions(logged=self.low + self.span * logged, target=self.low + self.span * mean)

    def _block(self, encoded: Encoded, rows: slice) -> Floats:
        # One field after the other: a sum over an axis would be rounded by how far that was filled up.
        coefficients = self.coefficients.ravel()
        own = encoded.fold[rows, None] * SIZE
        actions = encoded.actions[rows]
        found = coefficients[own] + coefficients[own + 1 + actions % _ACTIONS]
        for fields, values in zip(encoded.fields[rows].T, encoded.values[rows].T, strict=True):
            fields, value = fields[:, None], values[:, None]
            found += coefficients[own + 1 + _ACTIONS + fields % _CONTEXT] * value
            found += coefficients[own + _product_columns(actions, fields)] * value
        return np.asarray(found)


def _logged(encoded: Encoded, rows: npt.NDArray[np.int64]) -> Floats:
    """Features of the logged actions (rows, SIZE)."""
    actions = np.take_along_axis(encoded.actions[rows], encoded.chosen[rows, None], axis=1)
    fields, values = encoded.fields[rows], encoded.values[rows]
    at = np.broadcast_to(np.arange(len(rows))[:, None] * SIZE, fields.shape)
    context = at + 1 + _ACTIONS + fields % _CONTEXT
    products = at + _product_columns(actions, fields)
    cells = np.concatenate([context.ravel(), products.ravel()]).astype(np.int64)
    weights = np.concatenate([values.ravel(), values.ravel()])
    found = np.bincount(cells, weights, minlength=len(rows) * SIZE).astype(float).reshape(-1, SIZE)
    found[:, 0] = 1.0
    found[np.arange(len(rows)), 1 + actions[:, 0] % _ACTIONS] = 1.0
    return found


def _product_columns(actions: Hashes, fields: Hashes) -> npt.NDArray[np.int64]:
    mixed = (actions ^ (fields * _MIXED)) * _MIXED
    columns = 1 + _ACTIONS + _CONTEXT + (mixed >> np.uint32(16)) % np.uint32(_PRODUCTS)
    return columns.astype(np.int64)


def _fitted_without(sums: RewardSums, fold: int) -> Floats:
    others = [other for other in range(FOLDS) if other != fold]
    errors = [
        sum(
            _error(sums, held_out, _solved(sums, [o for o in others if o != held_out], penalty))
            for held_out in others
        )
        for penalty in _PENALTIES
    ]
    return _solved(sums, others, _PENALTIES[int(np.argmin(errors))])


def _solved(sums: RewardSums, folds: Sequence[int], penalty: float) -> Floats:
    products = sums.products[list(folds)].sum(axis=0) / (_FEATURE * _FEATURE * _WEIGHT)
    rewarded = sums.rewarded[list(folds)].sum(axis=0) / (_FEATURE * _REWARD * _WEIGHT)
    ridge = np.full(SIZE, penalty)
    ridge[0] = 1e-6  # the constant is not drawn to 0, only determined where there are no rounds
    return np.asarray(np.linalg.solve(products + np.diag(ridge), rewarded))


def _error(sums: RewardSums, fold: int, coefficients: Floats) -> float:
    """The sum of squared errors of such a model on a fold, up to what is the same for all models."""
    products = sums.products[fold] / (_FEATURE * _FEATURE * _WEIGHT)
    rewarded = sums.rewarded[fold] / (_FEATURE * _REWARD * _WEIGHT)
    return float(coefficients @ products @ coefficients - 2.0 * coefficients @ rewarded)


def _context(line: str) -> tuple[Sequence[int], Sequence[float]]:
    """Hashes and values of a context's fields, from its line as the models get it."""
    found: list[tuple[int, float]] = []
    for part in line.split(" |")[1:]:
        name, *tokens = part.split(" ")
        space = "|" + name.partition(":")[0]
        found += [_field(space + token) for token in tokens]
    hashes, values = zip(*found, strict=True) if found else ((), ())
    return hashes, values


@lru_cache(maxsize=65_536)
def _field(token: str) -> tuple[int, float]:
    name, _, value = token.partition(":")
    return _hash(name), float(value) if value else 1.0


@lru_cache(maxsize=65_536)
def _hash(text: str) -> int:
    return zlib.crc32(text.encode())


def _padded(lists: Sequence[Sequence[float]]) -> Floats:
    """Lists of several lengths as rows of one array, filled up with zeros; one column at least."""
    lengths = np.fromiter(map(len, lists), np.intp, len(lists))
    found: Floats = np.zeros((len(lists), max(1, lengths.max())))
    there = np.arange(found.shape[1]) < lengths[:, None]
    found[there] = np.fromiter(chain.from_iterable(lists), float, int(lengths.sum()))
    return found
