"""Tasks side by side in processes, with their progress told, and stopped together."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from itertools import count
from typing import Any, Protocol, TypeVar

_POLL_SECONDS = 0.2
Task = TypeVar("Task", contravariant=True)
Result = TypeVar("Result", covariant=True)


class Work(Protocol[Task, Result]):
    """What is the same for all tasks; it is sent to each process once."""

    def run(self, task: Task, tick: Callable[[], None]) -> Result:
        """Do one of them; `tick` is called after each of its steps."""
        ...


def run_all(
    work: Work[Task, Result], tasks: Sequence[Task], workers: int | None, told: Callable[[int], None]
) -> list[Result]:
    """The tasks' results, in their order; `told` hears how many steps all of them have done.

    `workers`: processes, default one per core; 1: none but this one. What a task raises is raised here, once
    the others have stopped.

    >>> class Double:
    ...     def run(self, task, tick): return 2 * task
    >>> run_all(Double(), [1, 2], 1, told=lambda steps: None)
    [2, 4]
    """
    processes = min(workers or len(os.sched_getaffinity(0)), len(tasks))
    if processes > 1:
        return _in_processes(processes, work, tasks, told)
    steps = count(1)
    return [work.run(task, lambda: told(next(steps))) for task in tasks]


def _in_processes(
    processes: int, work: Work[Task, Result], tasks: Sequence[Task], told: Callable[[int], None]
) -> list[Result]:
    # Spawned, not forked: a fork would copy the state of whatever threads the caller has.
    context = multiprocessing.get_context("spawn")
    done, stopped = context.Value("q", 0), context.RawValue("b", 0)
    with ProcessPoolExecutor(processes, context, _begin, (work, done, stopped)) as pool:
        running: list[Future[Result]] = [pool.submit(_work_on, task) for task in tasks]
        left: Collection[Future[Result]] = running
        try:
            while left:
                finished, left = wait(left, _POLL_SECONDS, FIRST_EXCEPTION)
                told(done.value)
                for each in finished:
                    each.result()  # raises what the task raised
        finally:
            stopped.value = 1
            pool.shutdown(cancel_futures=True)
        return [each.result() for each in running]


#: Of a process that runs tasks: its work, how many steps all of them have done, and whether to stop.
_mine: tuple[Any, Any, Any]


def _begin(work: Any, done: Any, stopped: Any) -> None:
    global _mine
    _mine = work, done, stopped
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us hears of it, and stops us


def _work_on(task: Any) -> Any:
    work, done, stopped = _mine

    def tick() -> None:
        if stopped.value:
            raise InterruptedError("the run was stopped")
        with done.get_lock():
            done.value += 1

    return work.run(task, tick)
