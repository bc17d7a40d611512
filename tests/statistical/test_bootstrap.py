"""How often intervals of the bootstrap hold the policy's value, at rare and at common rewards."""

from __future__ import annotations

import numpy as np
import pytest

from simulations.estimators.named import estimator
from simulations.intervals.bootstrap import Buckets, bootstrap
from tests.statistical.small_worlds import logged

pytestmark = pytest.mark.slow

REPEATS = 200
#: With 200 repeats, an interval that covers .95 is found below this once in 500 times.
LEAST = 0.905


@pytest.mark.parametrize("rate", [0.01, 0.5])
@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_the_studentized_bootstrap_covers(name: str, rate: float) -> None:
    covered = 0
    for repeat in range(REPEATS):
        rounds, value = logged(np.random.default_rng(repeat), rate)
        found = bootstrap(Buckets.of(estimator(name), rounds), resamples=500)
        covered += found.low <= value <= found.high
    assert covered / REPEATS >= LEAST
