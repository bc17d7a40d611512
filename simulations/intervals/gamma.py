"""A weighted sum of counts, such as weights times clicks: gamma intervals, in mid-p form and in Jeffreys'.

M. P. Fay & E. J. Feuer, "Confidence intervals for directly standardized rates", Statistics in Medicine 16
(1997), 791-801; M. P. Fay & S. Kim, "Confidence intervals for directly standardized rates using mid-p gamma
intervals", Biometrical Journal 59 (2017), 377-387. With equal weights these are the mid-p intervals of a
Poisson mean; they keep their level with three clicks as with three thousand. Jeffreys' form, one gamma
distribution with half an event added, is narrower (Brown, Cai & DasGupta 2003, Statistica Sinica 13, 19-49).
"""

from __future__ import annotations

from scipy.optimize import brentq
from scipy.special import gammainc, gammaincinv

from simulations.intervals import check_level


def mid_p(total: float, squares: float, step: float, *, level: float = 0.95) -> tuple[float, float]:
    """The lowest and highest credible expectation of a sum of positive parts, each of a rare event.

    `total` is the sum of the parts, `squares` that of their squares; `step` > 0 is how much one event more
    would add. (Fay & Feuer take the largest weight for it, so that the level holds for any weights; a typical
    one keeps the level on average over what may be seen, and is what `choose` hands over.)

    Raises:
        InvalidInputError: `level` not in (0, 1).

    >>> low, high = mid_p(10.0, 10.0, 1.0)  # ten events: Poisson, exact mid-p 5.08 to 17.8
    >>> round(low, 2), round(high, 2)
    (5.08, 17.82)
    >>> round(mid_p(0.0, 0.0, 1.0)[1], 2)  # none: -log(.05), Hanley's rule of three
    3.0
    """
    check_level(level)
    tail = (1.0 - level) / 2.0
    more, more_squares = total + step, squares + step * step

    def below(mean: float) -> float:
        lower = _cumulative(mean, total, squares) if total > 0.0 else 1.0
        return 0.5 * (lower + _cumulative(mean, more, more_squares))

    def quantile(share: float) -> float:
        if below(0.0) >= share:
            return 0.0
        highest = _quantile(1.0 - (1.0 - share) / 2.0, more, more_squares) * 2.0 + step
        return float(brentq(lambda mean: below(mean) - share, 0.0, highest, xtol=1e-13 * highest))

    return quantile(tail), quantile(1.0 - tail)


def jeffreys(total: float, squares: float, step: float, *, level: float = 0.95) -> tuple[float, float]:
    """The same from one gamma distribution; for sums of which a difference is made, see `choose`.

    Raises:
        InvalidInputError: `level` not in (0, 1).

    >>> low, high = jeffreys(10.0, 10.0, 1.0)
    >>> round(low, 2), round(high, 2)
    (5.14, 17.74)
    """
    check_level(level)
    tail, more, more_squares = (1.0 - level) / 2.0, total + step / 2.0, squares + step * step / 2.0
    return _quantile(tail, more, more_squares), _quantile(1.0 - tail, more, more_squares)


def effective_count(total: float, squares: float) -> float:
    """How many equal parts would vary like these, as a share of their sum (Kish): no more than there are.

    >>> effective_count(6.0, 12.0)
    3.0
    """
    return total * total / squares if squares > 0.0 else 0.0


def _cumulative(mean: float, total: float, squares: float) -> float:
    # Gamma with this mean and variance.
    return float(gammainc(total * total / squares, mean * total / squares))


def _quantile(share: float, total: float, squares: float) -> float:
    return float(gammaincinv(total * total / squares, share)) * squares / total
