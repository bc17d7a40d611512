"""A world whose best action flips: events until the default policy earns 90 % of the optimum's reward again.

A figure is the number of events after which the mean over seeds of the expected reward, over the last
`window` events, is at least 90 % of the optimum's over the same events: after the flip, and from scratch in
the world as it is after the flip. Through the code that serves and learns in production.

Run with `make bench-flip`; writes .bench/flip.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bandit.types import PolicySettings
from simulations.environments.contract import Environment
from simulations.environments.flip import Flip, Rates
from simulations.environments.personas import Personas
from simulations.simulation.runs import play
from simulations.simulation.service import SimulatedService

OUTPUT = Path(".bench/flip.json")
SHARE = 0.9
FLIPS = (1_000, 5_000, 20_000)


class World(NamedTuple):
    """A world, for how many events it is looked at, over how many rewards are averaged, and seeds."""

    environment: Environment
    events: int
    window: int
    seeds: int


WORLDS = {
    "two actions, .6 and .3": World(Rates((0.6, 0.3)), 1_000, 25, 20),
    "storefront, five actions": World(Personas(), 4_000, 100, 6),
    "ten actions, .3 to .1": World(Rates((0.3, *[0.2] * 4, *[0.1] * 5)), 6_000, 200, 6),
    "rare rewards, .03 and .01": World(Rates((0.03, 0.01)), 10_000, 500, 6),
}


def needed(
    world: World, flip: int, policy: PolicySettings | None = None, seeds: Sequence[int] | None = None
) -> int | None:
    """Events after the flip until the policy, by default the default one, is there; None: it never was."""
    environment = Flip(world.environment, after=flip / (flip + world.events))
    runs = [
        _shares(environment, policy or PolicySettings(), flip, world.events, seed)
        for seed in seeds or range(1, world.seeds + 1)
    ]
    earned, optimum = np.mean(runs, axis=0)
    over = np.ones(world.window)
    there = np.convolve(earned, over, "valid") >= SHARE * np.convolve(optimum, over, "valid")
    return int(there.argmax()) + world.window if there.any() else None


def _shares(
    environment: Environment, policy: PolicySettings, flip: int, events: int, seed: int
) -> NDArray[np.float64]:
    """Expected reward of the policy and of the optimum (2, events), after the flip."""
    service = SimulatedService(environment.config, policy, salt=f"seed-{seed}", publish_seconds=0.0)
    played = play(environment, service, flip + events, seed)
    found = np.array([(one.value, max(one.round.expected)) for one in played])
    service.close()
    return found[flip:].T


def main() -> None:
    console = Console()
    table = Table("world", "from scratch", *(f"flip after {flip:,}" for flip in FLIPS))
    found: dict[str, dict[str, int | None]] = {}
    short = []
    for name, world in WORLDS.items():
        scratch = needed(world, 0)
        after = {str(flip): needed(world, flip) for flip in FLIPS}
        short += [name for each in after.values() if scratch is None or each is None or each > 2 * scratch]
        found[name] = {"scratch": scratch, **after}
        table.add_row(name, *(f"{each}" for each in found[name].values()))
    console.print(table)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(found, indent=2) + "\n")
    if short:
        sys.exit(f"more than twice as many as from scratch: {', '.join(sorted(set(short)))}")


if __name__ == "__main__":
    main()
