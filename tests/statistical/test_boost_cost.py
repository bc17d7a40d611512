"""The interval of what boosts cost holds the truth as often as it says."""

from __future__ import annotations

import pytest

from simulations.evaluation.boosts import boost_cost
from simulations.logs.scan import Scan
from simulations.logs.total import total
from tests.unit.simulations.boosted_log import boosted_log, cost

REPEATS = 400


@pytest.mark.parametrize(("rounds", "share"), [(1_000, 0.5), (1_000, 0.1)])
def test_the_cost_is_covered_at_the_nominal_rate(rounds: int, share: float) -> None:
    covered = 0
    for seed in range(REPEATS):
        log = boosted_log(seed, rounds, 8.0, share)
        found = boost_cost(log, total(log, Scan.of, Scan()), 0.95)
        assert found is not None
        assert found.cost is not None
        assert found.cost.low is not None
        assert found.cost.high is not None
        covered += found.cost.low <= cost(8.0, share) <= found.cost.high
    # Of 400 intervals that hold in 95 % of all cases, 92 to 98 % do but once in a hundred times.
    assert 0.92 <= covered / REPEATS <= 0.98, covered / REPEATS
