"""Sums of floating-point numbers without rounding: in whatever order they are added, the result is the same.

A sum is kept as an integer number of units of 2**-1074, of which every finite double is a whole number. So
statistics of a log merge exactly, however it was cut into parts and in whatever order these come.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: The smallest positive double is 2**-1074.
UNIT_BITS = 1074
_MANTISSA_BITS = 53
#: Partial sums of so many numbers stay in a processor's cache.
_BLOCK = 16_384
#: Larger numbers could overflow while they are cut up.
LARGEST = 2.0**900


def exact_sum(values: Floats) -> int:
    """The sum of `values` (n,), each at most 2**900 in size, in units of 2**-1074.

    Numbers are cut at a power of two so high that all of their upper parts sum without rounding, then the
    rest again, until nothing remains. (Rump, Ogita & Oishi 2008, "Accurate floating-point summation part I",
    SIAM J. Sci. Comput. 31, algorithm 3.2.)

    >>> exact_sum(np.array([1e100, 1.0, -1e100])) == exact_sum(np.array([1.0]))
    True
    """
    total = 0
    for start in range(0, len(values), _BLOCK):
        rest = values[start : start + _BLOCK]
        while True:
            largest = max(float(rest.max()), -float(rest.min()))
            if largest == 0.0:
                break
            if not largest <= LARGEST:
                raise ValueError(f"expected numbers of at most 2**900 in size, got {largest}")
            cut = math.ldexp(1.0, math.frexp(largest)[1] + len(rest).bit_length())
            upper = (rest + cut) - cut
            total += units(float(upper.sum()))
            rest = rest - upper
    return total


def exact_sums(values: Floats, group: npt.NDArray[np.intp], groups: int) -> list[int]:
    """The sum of the `values` (n,) of each group 0 ... groups - 1 (n,), like `exact_sum` of it.

    >>> [number(total) for total in exact_sums(np.array([0.5, 1.0, 2.0]), np.array([1, 0, 1]), 3)]
    [1.0, 2.5, 0.0]
    """
    totals = [0] * groups
    rest = values
    while len(rest) and (largest := float(np.abs(rest).max())) != 0.0:
        if not largest <= LARGEST:
            raise ValueError(f"expected numbers of at most 2**900 in size, got {largest}")
        cut = math.ldexp(1.0, math.frexp(largest)[1] + len(rest).bit_length())
        upper = (rest + cut) - cut
        sums = np.bincount(group, weights=upper, minlength=groups)
        for index in np.flatnonzero(sums):
            totals[index] += units(float(sums[index]))
        rest = rest - upper
    return totals


def units(number: float) -> int:
    """A finite number in units of 2**-1074.

    >>> units(1.0) == 2**1074
    True
    """
    mantissa, exponent = math.frexp(number)
    whole, shift = int(math.ldexp(mantissa, _MANTISSA_BITS)), exponent + UNIT_BITS - _MANTISSA_BITS
    return whole << shift if shift >= 0 else whole >> -shift


def number(total: int) -> float:
    """The double nearest to so many units of 2**-1074.

    >>> number(exact_sum(np.array([0.1] * 10)))
    1.0
    """
    return total / (1 << UNIT_BITS)
