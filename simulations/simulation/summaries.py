"""What several runs say together: means over seeds, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from bandit.types import Value
from simulations.intervals import Interval
from simulations.report.notebook import framed
from simulations.simulation.runs import Run, checkpoints

#: Confidence of the intervals over seeds.
LEVEL = 0.95


class Figure(Value, frozen=True, kw_only=True):
    """A mean over seeds."""

    mean: float
    #: Student's t over seeds; None with a single seed.
    interval: Interval | None


class Summary(Value, frozen=True, kw_only=True):
    """One policy over all seeds."""

    policy: str
    #: Mean expected reward per round.
    value: Figure
    #: Over the whole run, in units of reward: against the best action of each round, and against the best
    #: fixed one, which a policy that knows its context may beat.
    regret: Figure
    regret_best_fixed: Figure
    #: Value / value of the optimum.
    share: Figure
    fallbacks: int


class Simulation(Value, frozen=True, kw_only=True):
    """What came out; `msgspec.json.encode` makes JSON of it, and a notebook shows figures and plot."""

    environment: str
    rounds: int
    seeds: list[int]
    #: Rounds after which regret is noted.
    checkpoints: list[int]
    optimum: Figure
    best_fixed: Figure
    summaries: list[Summary]
    runs: list[Run]

    def to_html(self) -> str:
        """A page that needs nothing else: figures and plot."""
        from simulations.simulation.page import page

        return page(self)

    def _repr_html_(self) -> str:
        return framed(self.to_html(), f"{self.environment}: simulation", "57rem")


def summarized(environment: str, names: Sequence[str], runs: Sequence[Run]) -> Simulation:
    """Runs of these policies, by the same seeds."""
    same_streams = [one for one in runs if one.policy == names[0]]
    return Simulation(
        environment=environment,
        rounds=runs[0].rounds,
        seeds=[one.seed for one in same_streams],
        checkpoints=checkpoints(runs[0].rounds),
        optimum=figure([one.optimum for one in same_streams]),
        best_fixed=figure([one.fixed[one.best_fixed] for one in same_streams]),
        summaries=[_summary(name, [one for one in runs if one.policy == name]) for name in names],
        runs=list(runs),
    )


def _summary(name: str, runs: Sequence[Run]) -> Summary:
    return Summary(
        policy=name,
        value=figure([one.value for one in runs]),
        regret=figure([one.regret[-1] for one in runs]),
        regret_best_fixed=figure([one.regret[-1] - one.best_fixed_regret[-1] for one in runs]),
        share=figure([one.value / one.optimum for one in runs]),
        fallbacks=sum(one.fallbacks for one in runs),
    )


def figure(values: Sequence[float]) -> Figure:
    """The mean of one number per seed, with Student's interval.

    >>> figure([1.0, 2.0, 3.0])
    Figure(mean=2.0, interval=Interval(low=-0.48..., high=4.48..., level=0.95, method=''))
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Figure(mean=mean, interval=None)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, len(values) - 1) * stats.sem(values))
    return Figure(mean=mean, interval=Interval(low=mean - half, high=mean + half, level=LEVEL))
