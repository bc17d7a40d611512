"""Logs of a known policy in a known world, as a reader would give them, and what may be wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
import numpy as np

from bandit.types import Action
from simulations.diagnostics import Diagnostics
from simulations.exact import Floats
from simulations.logs.rows import Logged
from simulations.rounds import Rounds

Changed = TypeVar("Changed", bound=msgspec.Struct)
Spoil = Callable[[Logged, np.random.Generator], Logged]


@dataclass(frozen=True, kw_only=True)
class Made:
    rows: list[Logged]
    targets: list[list[float]]

    @property
    def rounds(self) -> Rounds:
        chosen = [row.chosen for row in self.rows]
        return Rounds(
            reward=np.array([row.reward for row in self.rows]),
            probability=np.array([row.probability for row in self.rows]),
            target_probability=np.array(
                [target[each] for target, each in zip(self.targets, chosen, strict=True)]
            ),
        )

    def diagnostics(self, start: int = 0, stop: int | None = None) -> Diagnostics:
        part = Made(rows=self.rows[start:stop], targets=self.targets[start:stop])
        return Diagnostics.of(part.rows, part.targets, part.rounds)

    def spoilt(self, spoil: Spoil, seed: int = 0) -> Made:
        generator = np.random.default_rng(seed)
        return Made(rows=[spoil(row, generator) for row in self.rows], targets=self.targets)


def skewed(actions: int = 10, first: float = 0.55) -> Floats:
    """One favourite, the others alike."""
    return np.array([first] + [(1.0 - first) / (actions - 1)] * (actions - 1))


def made_log(
    seed: int,
    *,
    rounds: int = 2_000,
    logger: Floats | None = None,
    target: Floats | None = None,
    rate: float = 0.1,
    with_pmf: bool = True,
) -> Made:
    """The favourite moves with the context, between two segments of subjects; the target prefers the best."""
    generator = np.random.default_rng(seed)
    logger = skewed() if logger is None else logger
    actions = [Action(action_id=f"offer {index}") for index in range(len(logger))]
    if target is None:
        target = np.full(len(logger), 0.3 / len(logger))
        target[-1] += 0.7
    start = datetime(2026, 3, 1, tzinfo=UTC)
    rows, targets = [], []
    for row in range(rounds):
        shift = int(generator.integers(2))
        pmf = np.roll(logger, shift)
        chosen = min(int(np.searchsorted(pmf.cumsum(), generator.random(), side="right")), len(pmf) - 1)
        click = rate * (2.0 if chosen == (len(pmf) - 1 + shift) % len(pmf) else 1.0)
        rows.append(
            Logged(
                row=row + 1,
                decision_id=f"d{row}",
                decided_at=start + timedelta(minutes=10 * row),
                context={"segment": ("newcomers", "regulars")[shift]},
                actions=actions,
                chosen=chosen,
                probability=float(pmf[chosen]),
                pmf=pmf.tolist() if with_pmf else None,
                reward=float(generator.random() < click),
            )
        )
        targets.append(np.roll(target, shift).tolist())
    return Made(rows=rows, targets=targets)


def replace(row: Changed, **fields: object) -> Changed:
    return msgspec.structs.replace(row, **fields)
