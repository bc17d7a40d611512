"""Sums of floating-point numbers without rounding: in whatever order they are added, the result is the same.

A sum is kept as an integer number of units of 2**-1074, of which every finite double is a whole number. So
statistics of a log merge exactly, however it was cut into parts and in whatever order these come.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: The smallest positive double is 2**-1074.
UNIT_BITS = 1074
_MANTISSA_BITS = 53
#: So many numbers, and what is left of them, stay in a processor's cache.
BLOCK = 32_768
#: So many are added up at once; the fewer, the more of their bits are.
_FOLD = 64
#: Larger numbers could overflow while they are cut up, as what is left of them is again.
_LARGEST = 2.0**1000
#: So few are summed as integers at once.
_FEW = 32


def exact_sum(values: Floats) -> int:
    """The sum of `values` (n,), each at most 2**900 in size, in units of 2**-1074.

    Raises:
        ValueError: one is much larger, or not a number.

    >>> exact_sum(np.array([1e100, 1.0, -1e100])) == exact_sum(np.array([1.0]))
    True
    """
    if len(values) > _FEW:
        blocks = (values[at : at + BLOCK] for at in range(0, len(values), BLOCK))
        parts = np.concatenate([part for block in blocks for part in folded(block)])
        if len(parts) < len(values):  # not where few numbers span all that doubles can
            return exact_sum(parts)
    return sum(map(units, values.tolist()))


def exact_sums_by(group: npt.NDArray[np.int64], groups: int, values: Floats) -> list[int]:
    """The exact sum of those of `values` (n,) that are in each group, from 0; `group` (n,) says which.

    >>> sums = exact_sums_by(np.array([0, 2, 0]), 3, np.array([1.0, 5.0, 2.0]))
    >>> [number(total) for total in sums]
    [3.0, 0.0, 5.0]
    """
    totals = [0] * groups
    for part in cut_up(values, len(values)) if len(values) else ():
        sums = np.bincount(group, weights=part, minlength=groups)
        totals = [total + units(more) for total, more in zip(totals, sums.tolist(), strict=True)]
    return totals


def folded(values: Floats) -> list[Floats]:
    """Far fewer numbers that together have exactly the sum of `values` (n,), n > 0."""
    even = len(values) // _FOLD * _FOLD
    parts = []
    for part in cut_up(values, _FOLD):
        parts += [part[:even].reshape(_FOLD, -1).sum(axis=0), part[even:].sum(keepdims=True)]
    return parts


def cut_up(values: Floats, count: int) -> Iterator[Floats]:
    """Parts (n,) that add up to `values` (n,), n > 0; any `count` numbers of one add up without rounding.

    Each part is gone when the next one is taken. Numbers are cut at a power of two so high that their upper
    parts have few bits, then the rest again, until nothing remains. (Rump, Ogita & Oishi 2008, "Accurate
    floating-point summation part I", SIAM J. Sci. Comput. 31, algorithm 3.2.)
    """
    largest = max(float(values.max()), -float(values.min()))
    if not largest <= _LARGEST:
        raise _too_large(largest)
    bits = count.bit_length()
    cut = math.ldexp(1.0, math.frexp(largest)[1] + bits)
    upper, rest = np.empty_like(values), values
    while True:
        np.add(rest, cut, out=upper)
        np.subtract(upper, cut, out=upper)
        yield upper
        if np.array_equal(upper, rest):
            return
        rest = rest - upper
        cut *= 2.0 ** (bits - _MANTISSA_BITS)


def units(number: float) -> int:
    """A finite number in units of 2**-1074.

    >>> units(1.0) == 2**1074
    True
    """
    if not abs(number) <= _LARGEST:
        raise _too_large(number)
    mantissa, exponent = math.frexp(number)
    whole, shift = int(math.ldexp(mantissa, _MANTISSA_BITS)), exponent + UNIT_BITS - _MANTISSA_BITS
    return whole << shift if shift >= 0 else whole >> -shift


def number(total: int) -> float:
    """The double nearest to so many units of 2**-1074.

    >>> number(exact_sum(np.array([0.1] * 10)))
    1.0
    """
    return total / (1 << UNIT_BITS)


def _too_large(number: float) -> ValueError:
    return ValueError(f"expected numbers of at most 2**900 in size, got {number}")
