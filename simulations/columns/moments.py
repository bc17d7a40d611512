"""The first two moments of some columns, mergeable without rounding: what estimates and variances need."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, combinations_with_replacement

import msgspec
import numpy as np

from simulations.columns.exact import BLOCK, UNIT_BITS, Floats, exact_sum, folded


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """Count, sums and sums of products of some columns; `a + b` equals the moments of all rows at once.

    >>> one = Moments.of([np.array([1.0, 2.0]), np.array([1.0, 0.0])])
    >>> two = Moments.of([np.array([0.1]), np.array([3.0])])
    >>> whole = Moments.of([np.array([0.1, 1.0, 2.0]), np.array([3.0, 1.0, 0.0])])
    >>> one + two == two + one == whole
    True
    """

    #: Rows.
    count: int
    #: One exact sum per column, in units of 2**-1074.
    sums: tuple[int, ...]
    #: Sums of products of columns i <= j, (0, 0), (0, 1), ..., (1, 1), ...; each product is rounded once.
    products: tuple[int, ...]

    @classmethod
    def of(cls, columns: Sequence[Floats]) -> Moments:
        """The moments of columns of equal length (n,)."""
        return cls.of_each([columns])[0]

    @classmethod
    def of_each(cls, groups: Sequence[Sequence[Floats]]) -> list[Moments]:
        """The moments of each group of columns, all of equal length; a column in several is summed once."""
        count = len(groups[0][0])
        terms = {_key(term): term for columns in groups for term in _terms(columns)}
        parts = {key: [np.zeros(1)] for key in terms}
        for at in range(0, count, BLOCK):
            for key, term in terms.items():
                parts[key] += folded(_product(term, slice(at, at + BLOCK)))
        sums = {key: exact_sum(np.concatenate(found)) for key, found in parts.items()}
        found = [[sums[_key(term)] for term in _terms(columns)] for columns in groups]
        return [
            cls(count=count, sums=tuple(of[: len(columns)]), products=tuple(of[len(columns) :]))
            for columns, of in zip(groups, found, strict=True)
        ]

    @classmethod
    def none(cls, columns: int) -> Moments:
        """The moments of no rows."""
        return cls(count=0, sums=(0,) * columns, products=(0,) * (columns * (columns + 1) // 2))

    def __add__(self, other: Moments) -> Moments:
        """Of the rows of both."""
        return Moments(
            count=self.count + other.count,
            sums=tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            products=tuple(a + b for a, b in zip(self.products, other.products, strict=True)),
        )

    @property
    def means(self) -> Floats:
        """The mean of each column (c,); not a number without rows."""
        if not self.count:
            return np.full(len(self.sums), np.nan)
        return np.array([total / (self.count << UNIT_BITS) for total in self.sums])

    @property
    def covariance(self) -> Floats:
        """Sample covariance of the columns (c, c), divided by n - 1; not numbers with fewer than two rows."""
        size = len(self.sums)
        found = np.full((size, size), np.nan)
        if self.count < 2:
            return found
        scale = self.count * (self.count - 1) << 2 * UNIT_BITS
        products = iter(self.products)
        for i in range(size):
            for j in range(i, size):
                centred = (self.count * next(products) << UNIT_BITS) - self.sums[i] * self.sums[j]
                found[i, j] = found[j, i] = centred / scale
        return found


def _terms(columns: Sequence[Floats]) -> list[tuple[Floats, ...]]:
    """What is summed: each column, then each pair of columns i <= j."""
    return [*combinations(columns, 1), *combinations_with_replacement(columns, 2)]


def _key(term: tuple[Floats, ...]) -> tuple[int, ...]:
    return tuple(map(id, term))


def _product(term: tuple[Floats, ...], rows: slice) -> Floats:
    return term[0][rows] if len(term) == 1 else term[0][rows] * term[1][rows]
