"""How well the default policy learns: supervised data turned into a bandit, beside plain Vowpal Wabbit.

Each row is asked for once, in an order shuffled by the seed: a distribution, a seeded draw, reward 1 if the
drawn action is the label, learned at once with the logged probability. The figure is the mean reward over all
rows, from the first on. The default policy goes through the code that serves and learns in production.

Run with `make bench-learning`; writes .bench/learning.json.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import vowpalwabbit
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.datasets import load_digits

from bandit import sampling
from bandit.fold import Fold
from bandit.settings import Settings
from bandit.types import Action, PolicySettings, TrainingEvent

SEEDS = (1, 2, 3)
#: What the default must reach, and what it aims at.
REQUIRED = {"digits": 0.78, "satimage": 0.76}
AIM = {"digits": 0.86, "satimage": 0.81}
PLAIN_VW = "--cb_explore_adf --epsilon 0.05 --cb_type mtr --interactions ca --quiet"
OUTPUT = Path(".bench/learning.json")


class Data(NamedTuple):
    """Features scaled to [0, 1] by minimum and maximum (rows x columns), and each row's label."""

    features: NDArray[np.float64]
    labels: list[str]


def digits() -> Data:
    bunch = load_digits()
    return Data(_scaled(np.asarray(bunch.data)), [f"digit-{label}" for label in bunch.target])


def satimage() -> Data:
    path = Settings().shared_data / "satimage" / "satimage.csv.gz"
    if not path.exists():
        sys.exit(f"expected {path.absolute()}, got nothing; set SEGBANDIT_SHARED_DATA to its folder")
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name != "label"]
    values = np.array([[float(row[name]) for name in columns] for row in rows])
    return Data(_scaled(values), [row["label"] for row in rows])


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = values.min(axis=0), values.max(axis=0)
    scaled: NDArray[np.float64] = (values - low) / np.where(high > low, high - low, 1.0)
    return scaled


def default_policy(data: Data, seed: int) -> Iterator[float]:
    """Rewards of the policy that a new bandit gets, through the production code."""
    actions = [Action(action_id=label) for label in sorted(set(data.labels))]
    fold = Fold.start(PolicySettings(), salt=f"seed-{seed}")
    for seq, row in enumerate(np.random.RandomState(seed).permutation(len(data.labels)), start=1):
        context = {f"x{column}": float(value) for column, value in enumerate(data.features[row])}
        pmf = fold.policy.distribution(context, actions)
        chosen = sampling.draw(pmf, sampling.uniform(f"seed-{seed}", str(seq)))
        reward = float(actions[chosen].action_id == data.labels[row])
        event = TrainingEvent(
            seq=seq, context=context, actions=actions, chosen=chosen,
            probability=pmf[chosen], scaled_reward=reward,
        )  # fmt: skip
        fold.learn(event)
        yield reward
    fold.close()


def plain_vw(data: Data, seed: int) -> Iterator[float]:
    """Rewards of Vowpal Wabbit at its defaults, fed with its own text."""
    names = sorted(set(data.labels))
    lines = [f"|a id={name.replace(' ', '_')}" for name in names]
    workspace = vowpalwabbit.Workspace(PLAIN_VW)
    for seq, row in enumerate(np.random.RandomState(seed).permutation(len(data.labels)), start=1):
        numbers = " ".join(
            f"x{column}:{value:.6g}" for column, value in enumerate(data.features[row]) if value
        )
        shared = f"shared |c {numbers}"
        pmf = workspace.predict([shared, *lines])
        chosen = sampling.draw(pmf, sampling.uniform(f"seed-{seed}", str(seq)))
        reward = float(names[chosen] == data.labels[row])
        labelled = list(lines)
        labelled[chosen] = f"0:{-reward}:{pmf[chosen]} {lines[chosen]}"
        workspace.learn([shared, *labelled])
        yield reward
    workspace.finish()


def measure(console: Console) -> dict[str, dict[str, float]]:
    """Mean reward over the seeds, by data set and policy."""
    policies: dict[str, Callable[[Data, int], Iterator[float]]] = {
        "default": default_policy,
        "vw_default": plain_vw,
    }
    table = Table("data", "policy", *(f"seed {seed}" for seed in SEEDS), "mean", "required", "aim")
    found: dict[str, dict[str, float]] = {}
    with Progress(console=console, transient=True) as progress:
        for name, data in (("digits", digits()), ("satimage", satimage())):
            found[name] = {}
            for policy, rewards in policies.items():
                task = progress.add_task(f"{name} {policy}", total=len(SEEDS) * len(data.labels))
                rates = []
                for seed in SEEDS:
                    total = 0.0
                    for reward in rewards(data, seed):
                        total += reward
                        progress.advance(task)
                    rates.append(total / len(data.labels))
                found[name][policy] = fmean(rates)
                goals = [f"{REQUIRED[name]}", f"{AIM[name]}"] if policy == "default" else ["", ""]
                table.add_row(name, policy, *(f"{rate:.4f}" for rate in rates), f"{fmean(rates):.4f}", *goals)
    console.print(table)
    return found


def main() -> None:
    found = measure(Console())
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(found, indent=2) + "\n")
    short = [name for name, required in REQUIRED.items() if found[name]["default"] < required]
    if short:
        sys.exit(f"the default policy falls short on {', '.join(short)}")


if __name__ == "__main__":
    main()
