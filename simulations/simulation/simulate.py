"""Policies in an environment, for several seeds: what they earned, and what they missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

from bandit.errors import InvalidInputError
from simulations.environments.catalogue import environment as by_name
from simulations.environments.contract import Environment
from simulations.processes import run_all
from simulations.simulation.contenders import FIXED, Contender, contender
from simulations.simulation.runs import Run, run
from simulations.simulation.summaries import Simulation, summarized

#: Rounds done, and rounds in all.
Progress = Callable[[int, int], None]
_Task = tuple[Contender, int]


def simulate(
    environment: Environment | str = "personas",
    policies: Sequence[Contender | str] = ("uniform", "default"),
    *,
    rounds: int = 10_000,
    seeds: int = 10,
    workers: int | None = None,
    publish_seconds: float | None = None,
    progress: Progress = lambda *_: None,
) -> Simulation:
    """Run each policy in the environment for seeds 1, 2, ..., `seeds`, through the production code.

    `workers`: processes, default one per core; 1: none but this one, as policies and environments need that a
    notebook defines. `publish_seconds` of simulated time, ten rounds a second, lie between two model versions
    at least; default: as in the service.

    Raises:
        InvalidInputError: an environment or a policy is not known.
        SetupError: the environment's data cannot be read.

    >>> found = simulate("personas", ["uniform", "default"], rounds=300, seeds=2, workers=1)
    >>> [summary.policy for summary in found.summaries]
    ['uniform', 'default']
    """
    world = by_name(environment) if isinstance(environment, str) else environment
    contenders = [contender(each) if isinstance(each, str) else each for each in policies]
    _check(contenders, rounds, seeds)
    tasks = list(product(contenders, range(1, seeds + 1)))
    work = _Work(world, min(rounds, world.limit or rounds), publish_seconds)
    _check_fixed(work, [each.name for each in contenders])
    runs = run_all(work, tasks, workers, lambda done: progress(done, len(tasks) * work.rounds))
    return summarized(world.name, [each.name for each in contenders], runs)


class _Work(NamedTuple):
    """What is the same for all runs."""

    environment: Environment
    rounds: int
    publish_seconds: float | None

    def run(self, task: _Task, tick: Callable[[], None]) -> Run:
        policy, seed = task
        return run(
            self.environment, policy, rounds=self.rounds, seed=seed, tick=tick,
            publish_seconds=self.publish_seconds,
        )  # fmt: skip


def _check(contenders: Sequence[Contender], rounds: int, seeds: int) -> None:
    names = [each.name for each in contenders]
    if not names or len(set(names)) < len(names):
        raise InvalidInputError(
            f"policies: expected one or more with different names, got {', '.join(names) or 'none'}.",
            target="policies",
        )
    for name, number in (("rounds", rounds), ("seeds", seeds)):
        if number < 1:
            raise InvalidInputError(f"{name}: expected at least 1, got {number}.", target=name)


def _check_fixed(work: _Work, names: Sequence[str]) -> None:
    """Before anything runs: an action that is never offered would silently be another one."""
    sought = {name.removeprefix(FIXED) for name in names if name.startswith(FIXED)}
    seen: dict[str, None] = {}
    for one in work.environment.rounds(work.rounds, 1):
        if sought <= seen.keys():
            return
        seen.update(dict.fromkeys([action.action_id for action in one.actions]))
    if missing := sorted(sought - seen.keys()):
        raise InvalidInputError(
            f"policy: expected one of the actions {', '.join(seen)} after {FIXED!r}, got {missing[0]!r}, "
            "which is never offered.",
            target="policy",
        )
