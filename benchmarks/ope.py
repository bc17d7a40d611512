"""What off-policy evaluation costs beside plain numpy and, where it is installed, Open Bandit Pipeline.

IPS, SNIPS and DR with their intervals from matrices of 1,000,000 x 10, beside the same in plain numpy with
closed-form intervals and beside Open Bandit Pipeline's point estimates without any; 1,000 bootstrap resamples
of DR, beside a plain bootstrap of rounds; and the peak memory of a log ten times as long. The sides take
turns in one run; figures are the least of each, which depends least on what else the machine does.

Run with `make bench-ope`; writes .bench/ope.json. `make bench-ope OBP=PYTHON` names the Python of an
environment that has Open Bandit Pipeline.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import ope_replay
from benchmarks.ope_world import Log, log
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Running, run
from simulations.estimators.dr import DR
from simulations.estimators.ips import IPS
from simulations.estimators.snips import SNIPS
from simulations.intervals.bootstrap import Buckets, bootstrap
from simulations.tuning import around

ROWS, RESAMPLES, ROUNDS = 1_000_000, 1_000, 15
#: What takes ten seconds takes fewer turns.
SLOW, SLOW_ROUNDS = ("obp_bootstrap_s",), 2
#: Of a plain bootstrap of rounds so many resamples are timed, and counted up.
PLAIN_RESAMPLES = 10
CHUNK = 100_000
OUTPUT = Path(".bench/ope.json")
#: What is asked beside Open Bandit Pipeline: so many times as fast.
REQUIRED = {"ips_snips_dr_ci_1m_s": 5.0, "bootstrap_dr_1000_s": 10.0}
REPLAY_REQUIRED = 0.7
#: Ten times the rounds may take so many times the memory.
FLAT = 1.1
BASELINES = {"ips_snips_dr_ci_1m_s": "obp_points_s", "bootstrap_dr_1000_s": "obp_bootstrap_s"}


def rounds(matrices: Log) -> Rounds:
    return Rounds.from_matrices(
        reward=matrices.reward,
        action=matrices.action,
        probability=matrices.probability,
        target_probabilities=matrices.target_probabilities,
        predicted_rewards=matrices.predicted_rewards,
    )


def ours(matrices: Log) -> list[float]:
    found = run([IPS(), SNIPS(), DR()], rounds(matrices))
    return [end for seen in found for end in (around(seen, 0.95).low, around(seen, 0.95).high)]


def plain(matrices: Log) -> list[float]:
    """The same in plain numpy: estimates and closed-form intervals."""
    rows, root = np.arange(len(matrices.reward)), math.sqrt(len(matrices.reward))
    weight = matrices.target_probabilities[rows, matrices.action] / matrices.probability
    weighted = weight * matrices.reward
    corrected = np.einsum("nk,nk->n", matrices.target_probabilities, matrices.predicted_rewards) + weight * (
        matrices.reward - matrices.predicted_rewards[rows, matrices.action]
    )
    normalized = weighted.mean() / weight.mean()
    away = (weighted - normalized * weight) / weight.mean()
    known = [(weighted.mean(), weighted.std()), (normalized, away.std()), (corrected.mean(), corrected.std())]
    return [float(value + side * 1.96 * error / root) for value, error in known for side in (-1.0, 1.0)]


def plain_bootstrap(matrices: Log) -> None:
    seen = rounds(matrices)
    (column,) = DR().columns(seen)
    rng = np.random.default_rng(1)
    for _ in range(PLAIN_RESAMPLES):
        column[rng.integers(0, len(column), len(column))].mean()


def timed(side: Callable[[], object]) -> Callable[[], float]:
    def seconds() -> float:
        began = time.perf_counter()
        side()
        return time.perf_counter() - began

    return seconds


def asked(process: subprocess.Popen[str], what: str) -> Callable[[], float]:
    """Seconds that Open Bandit Pipeline takes, in its own process, for `what`."""

    def seconds() -> float:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("expected a process with pipes")
        process.stdin.write(f"{what}\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return seconds


def speed(python: str | None) -> dict[str, float]:
    """The least seconds of each side; a plain bootstrap's counted up to as many resamples as ours."""
    matrices = log(ROWS)
    if not np.allclose(ours(matrices), plain(matrices), rtol=1e-4):
        sys.exit(f"expected the same intervals, got {ours(matrices)} and {plain(matrices)}")
    sides = {
        "ips_snips_dr_ci_1m_s": timed(lambda: ours(matrices)),
        "numpy_floor_s": timed(lambda: plain(matrices)),
        "bootstrap_dr_1000_s": timed(
            lambda: bootstrap(Buckets.of(DR(), rounds(matrices)), resamples=RESAMPLES)
        ),
        "plain_bootstrap_s": timed(lambda: plain_bootstrap(matrices)),
    }
    process = None
    if python:
        command = [python, "-W", "ignore", "-m", "benchmarks.open_bandit_pipeline", str(ROWS)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        sides["obp_points_s"] = asked(process, "points")
        sides["obp_bootstrap_s"] = asked(process, "bootstrap")
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in track(range(ROUNDS), "evaluating", transient=True):
        for name, seconds in sides.items():
            if name not in SLOW or turn < SLOW_ROUNDS:
                found[name].append(seconds())
    if process:
        process.communicate()
    least = {name: min(times) for name, times in found.items()}
    least["plain_bootstrap_s"] *= RESAMPLES / PLAIN_RESAMPLES
    return least


def peak(rows: int) -> float:
    """Peak memory in MiB of a process that streams so many rounds through estimates and the bootstrap."""
    command = [sys.executable, "-m", "benchmarks.ope", "--stream", str(rows)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def stream(rows: int) -> None:
    seen = [Running.start(estimator) for estimator in (IPS(), SNIPS(), DR())]
    buckets = Buckets.start(DR())
    for seed in range(rows // CHUNK):
        part = rounds(log(CHUNK, seed))
        seen = [a + b for a, b in zip(seen, run([a.estimator for a in seen], part), strict=True)]
        buckets += Buckets.of(DR(), part)
    bootstrap(buckets)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024)


def show(figures: dict[str, float], console: Console) -> None:
    table = Table()
    for heading in ("figure", "s", "baseline", "s", "times as fast", "required"):
        table.add_column(heading, overflow="fold")
    for name, baseline in (
        ("ips_snips_dr_ci_1m_s", "numpy_floor_s"),
        ("ips_snips_dr_ci_1m_s", "obp_points_s"),
        ("bootstrap_dr_1000_s", "plain_bootstrap_s"),
        ("bootstrap_dr_1000_s", "obp_bootstrap_s"),
    ):
        if baseline in figures:
            required = f"{REQUIRED[name]:g}" if BASELINES[name] == baseline else ""
            ratio = f"{figures[baseline] / figures[name]:.2f}"
            table.add_row(name, f"{figures[name]:.4f}", baseline, f"{figures[baseline]:.4f}", ratio, required)
    console.print(table)
    console.print(
        f"progressive replay {figures['replay_us']:.1f} us a row, bare loop over ready text "
        f"{figures['bare_us']:.1f}: {figures['replay_ratio']:.2f} times as fast, {REPLAY_REQUIRED} required; "
        f"where it learns the chosen line alone {figures['bare_two_lines_us']:.1f}: "
        f"{figures['replay_ratio_to_two_lines']:.2f}"
    )
    console.print(f"peak of 1,000,000 rounds {figures['peak_1m_mib']:.0f} MiB, ", end="")
    console.print(f"of 10,000,000 {figures['peak_10m_mib']:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--obp", help="the Python of an environment with Open Bandit Pipeline")
    parser.add_argument("--stream", type=int, help="only print the peak memory of so many rounds")
    options = parser.parse_args()
    if options.stream:
        stream(options.stream)
        return
    figures = speed(options.obp) | ope_replay.measured()
    figures |= {"peak_1m_mib": peak(ROWS), "peak_10m_mib": peak(10 * ROWS)}
    show(figures, Console())
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(figures, indent=2) + "\n")
    short = [
        name
        for name, baseline in BASELINES.items()
        if baseline in figures and figures[baseline] < REQUIRED[name] * figures[name]
    ]
    if figures["replay_ratio"] < REPLAY_REQUIRED:
        short.append("replay_ratio")
    if figures["peak_10m_mib"] > FLAT * figures["peak_1m_mib"]:
        short.append("peak_10m_mib")
    if short:
        sys.exit(f"falls short: {', '.join(short)}")


if __name__ == "__main__":
    main()
