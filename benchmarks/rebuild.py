"""How fast a training log is folded again, beside a bare Vowpal Wabbit loop over the same events.

The log is made by the production code: decisions, rewards, learner, on an embedded PostgreSQL. The bare loop
has the same events ready as text, in memory, and does nothing but learn them: once as Vowpal Wabbit is
commonly used, with a line per action, and once with the two lines that our fold learns of each event. The
sides take turns in one run; this process is held to one core.

Run with `make bench-rebuild`; writes .bench/rebuild.json.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import vowpalwabbit
from rich.console import Console
from rich.progress import Progress

from bandit import catalogue, features, logs, vw_arguments
from bandit.changes import SOMEBODY
from bandit.db import embedded, schema, training
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Database, connect
from bandit.decide import Decider
from bandit.feedback import Feedback
from bandit.learner import Learner
from bandit.rebuild import rebuild
from bandit.serving import load
from bandit.settings import Settings
from bandit.types import PolicySettings, RewardEvent
from bandit.versions import live
from benchmarks.world import CONFIG, asked

EVENTS, BATCH, ROUNDS = 30_000, 500, 5
#: What is asked of the ratio, which holds on any machine, and of the rate on the one this was written on.
REQUIRED_RATIO, REQUIRED_RATE = 0.7, 15_000
OUTPUT = Path(".bench/rebuild.json")


async def make_log(database: Database, progress: Progress) -> None:
    """A bandit that has decided, been rewarded and learned."""
    rng = random.Random(1)
    await catalogue.create(database, "bench", CONFIG, SOMEBODY)
    decider, feedback = Decider(database), Feedback(database)
    learner = Learner(database.url, Settings(database_url=database.url, settle_batch=BATCH))
    connection = await connect(database.url)
    task = progress.add_task("making the log", total=EVENTS)
    for _ in range(EVENTS // BATCH):
        serving = await load(database, "bench")

        async def current(serving: Any = serving) -> Any:
            return serving

        made = await decider.decide_many(current, [asked(rng) for _ in range(BATCH)])
        events = [
            RewardEvent(decision_id=d.decision_id, value=float(rng.random() < 0.1 + 0.05 * d.chosen))
            for d in made
        ]
        await feedback.accept(events)
        await learner.step(connection)
        serving.close()
        progress.advance(task, BATCH)
    learner.close()
    await connection.close()


async def as_text(database: Database, events: int = EVENTS) -> tuple[list[list[str]], list[list[str]]]:
    """The log as Vowpal Wabbit text: with a line per action, and with the two that are learned."""
    whole, two = [], []
    async with database.snapshot() as connection:
        branch = await live(connection, "bench")
        async for entries in training.log(connection, ConfigCache(), branch, 0, events):
            for entry in entries:
                decision = entry.decision
                lines = features.encode(decision.asked.context, decision.offered)
                label = f"0:{0.5 - entry.reward}:1.0 {lines[decision.chosen + 1]}"
                two.append([lines[0], label])
                lines[decision.chosen + 1] = label
                whole.append(lines)
    return whole, two


def bare(examples: list[list[str]]) -> float:
    """Seconds that Vowpal Wabbit takes to learn them."""
    workspace = vowpalwabbit.Workspace(arg_list=[*vw_arguments.arguments(PolicySettings()), "--quiet"])
    began = time.perf_counter()
    for example in examples:
        workspace.learn(example)
    took = time.perf_counter() - began
    workspace.finish()
    return took


async def measure(url: str, console: Console) -> dict[str, Any]:
    database = Database(url, size=2)
    await database.open()
    with Progress(console=console, transient=True) as progress:
        await make_log(database, progress)
        whole, two = await as_text(database)

        async def ours() -> float:
            found = await rebuild(database, "bench")
            if not found.equal:
                sys.exit("the fold is not what was learned")
            return found.seconds

        sides: dict[str, Callable[[], Any]] = {
            "ours": ours, "bare": lambda: bare(whole), "two_lines": lambda: bare(two),
        }  # fmt: skip
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        task = progress.add_task("folding", total=ROUNDS * len(sides))
        for _ in range(ROUNDS):
            for name, side in sides.items():
                took = side()
                seconds[name].append(await took if asyncio.iscoroutine(took) else took)
                progress.advance(task)
    await database.close()
    ratios = sorted(b / o for o, b in zip(seconds["ours"], seconds["bare"], strict=True))
    rate = {name: EVENTS / median(took) for name, took in seconds.items()}
    return {
        "events": EVENTS,
        "events_per_s": rate["ours"],
        "bare_vw_per_s": rate["bare"],
        "bare_vw_two_lines_per_s": rate["two_lines"],
        "ratio": median(ratios),
        "ratio_range": [ratios[0], ratios[-1]],
        "ratio_to_two_lines": rate["ours"] / rate["two_lines"],
    }


def main() -> None:
    console = Console()
    logs.configure()
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)  # after the server that is started now has stopped
    url = embedded.start(Path(folder))
    schema.migrate(url)
    os.sched_setaffinity(0, {0})
    found = asyncio.run(measure(url, console))
    console.print(
        f"rebuild {found['events_per_s']:,.0f} events/s; bare VW {found['bare_vw_per_s']:,.0f}/s with a line "
        f"per action (ratio {found['ratio']:.2f}, {found['ratio_range'][0]:.2f} to "
        f"{found['ratio_range'][1]:.2f}), {found['bare_vw_two_lines_per_s']:,.0f}/s with two lines "
        f"(ratio {found['ratio_to_two_lines']:.2f})",
        highlight=False,
    )
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(found, indent=2) + "\n")
    if found["events_per_s"] < REQUIRED_RATE:
        console.print(f"The rate is below {REQUIRED_RATE:,}/s: a slow or a busy machine?", highlight=False)
    if found["ratio"] < REQUIRED_RATIO:
        sys.exit(f"rebuild falls short: expected a ratio of {REQUIRED_RATIO} at least")


if __name__ == "__main__":
    main()
