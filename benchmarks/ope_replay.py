"""Progressive replay of the default policy, beside a bare loop of Vowpal Wabbit over text made before."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

import vowpalwabbit
from rich.progress import track

from bandit import features
from bandit.types import Action, PolicySettings
from bandit.vw_arguments import NEUTRAL, arguments
from simulations.logs.memory import MemoryLog
from simulations.logs.rows import Logged
from simulations.policies.targets import Learning

ROWS, TURNS = 5_000, 5
SETTINGS = PolicySettings()
ACTIONS = [
    Action(action_id=f"action-{n}", features={"kind": f"k{n % 3}", "price": float(n), "new": n % 2 == 0})
    for n in range(10)
]


def rows() -> list[Logged]:
    drawn = Random(1)
    found = []
    for row in range(1, ROWS + 1):
        context = {f"number-{n}": drawn.random() for n in range(5)}
        names = {f"name-{n}": drawn.choice("abcde") for n in range(5)}
        found.append(
            Logged(
                row=row, decision_id=str(row), context=context | names, actions=ACTIONS,
                chosen=drawn.randrange(10), probability=0.1, pmf=[0.1] * 10,
                reward=float(drawn.random() < 0.1),
            )
        )  # fmt: skip
    return found


def replay(log: MemoryLog) -> None:
    """As an evaluation does it: rows are checked, predicted, and then learned."""
    policy = Learning("default", SETTINGS, (0.0, 1.0))
    for chunk in log.chunks():
        for row in chunk.rows:
            policy.distribution(row)


def bare(examples: list[tuple[list[str], list[str]]]) -> None:
    """Predict, then learn."""
    workspace = vowpalwabbit.Workspace(arg_list=[*arguments(SETTINGS), "--quiet"])
    for lines, labelled in examples:
        workspace.predict(lines)
        workspace.learn(labelled)
    workspace.finish()


def text(row: Logged, *, whole: bool) -> tuple[list[str], list[str]]:
    """What is predicted, and what is learned: the whole example, or the chosen action's line alone."""
    lines = features.encode(row.context, row.actions)
    labelled = f"0:{NEUTRAL - row.reward}:1.0 {lines[row.chosen + 1]}"
    if not whole:
        return lines, [lines[0], labelled]
    return lines, [*lines[: row.chosen + 1], labelled, *lines[row.chosen + 2 :]]


def measured() -> dict[str, float]:
    """Microseconds a row, the least of the turns, and ours as a share of the bare loop's speed."""
    made = rows()
    log = MemoryLog(made, reward_range=(0.0, 1.0))
    whole, two = [text(row, whole=True) for row in made], [text(row, whole=False) for row in made]
    sides: dict[str, Callable[[], None]] = {
        "replay_us": lambda: replay(log),
        "bare_us": lambda: bare(whole),
        "bare_two_lines_us": lambda: bare(two),
    }
    found = {name: float("inf") for name in sides}
    for _ in track(range(TURNS), "replaying", transient=True):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            found[name] = min(found[name], (time.perf_counter() - began) / ROWS * 1e6)
    return found | {
        "replay_ratio": found["bare_us"] / found["replay_us"],
        "replay_ratio_to_two_lines": found["bare_two_lines_us"] / found["replay_us"],
    }
