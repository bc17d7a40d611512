"""Policies in an environment, for several seeds: what they earned, and what they missed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from functools import partial
from itertools import count, product
from typing import Any, NamedTuple

from bandit.errors import InvalidInputError
from simulations.contenders import FIXED, Contender, contender
from simulations.environments.catalogue import environment as by_name
from simulations.environments.contract import Environment
from simulations.runs import Run, run
from simulations.summaries import Simulation, summarized

_POLL_SECONDS = 0.2
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
    processes = min(workers or os.cpu_count() or 1, len(tasks))
    runs = (_here if processes == 1 else partial(_in_processes, processes))(work, tasks, progress)
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


def _here(work: _Work, tasks: Sequence[_Task], progress: Progress) -> list[Run]:
    done = count(1)
    return [work.run(task, lambda: progress(next(done), len(tasks) * work.rounds)) for task in tasks]


def _in_processes(processes: int, work: _Work, tasks: Sequence[_Task], progress: Progress) -> list[Run]:
    # Spawned, not forked: a fork would copy the state of whatever threads the caller has.
    context = multiprocessing.get_context("spawn")
    done, stopped = context.Value("q", 0), context.RawValue("b", 0)
    with ProcessPoolExecutor(processes, context, _begin, (work, done, stopped)) as pool:
        running = [pool.submit(_work_on, task) for task in tasks]
        left: Collection[Future[Run]] = running
        try:
            while left:
                finished, left = wait(left, _POLL_SECONDS, FIRST_EXCEPTION)
                progress(done.value, len(tasks) * work.rounds)
                for each in finished:
                    each.result()  # raises what the run raised
        finally:
            stopped.value = 1
            pool.shutdown(cancel_futures=True)
        return [each.result() for each in running]


#: Of a process that runs tasks: its work, how many rounds all of them have done, and whether to stop.
_mine: tuple[_Work, Any, Any]


def _begin(work: _Work, done: Any, stopped: Any) -> None:
    global _mine
    _mine = work, done, stopped
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us hears of it, and stops us


def _work_on(task: _Task) -> Run:
    work, done, stopped = _mine

    def tick() -> None:
        if stopped.value:
            raise InterruptedError("the simulation was stopped")
        with done.get_lock():
            done.value += 1

    return work.run(task, tick)


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
