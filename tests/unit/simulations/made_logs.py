"""Logs of a known policy in a known world, as a reader would give them, and what may be wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
import numpy as np

from bandit.types import Action
from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.diagnostics import Diagnostics
from simulations.logs.rows import Logged

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
    count, start = len(logger), datetime(2026, 3, 1, tzinfo=UTC)
    pmfs, shifted = ([np.roll(each, shift).tolist() for shift in (0, 1)] for each in (logger, target))
    shifts = generator.integers(2, size=rounds)
    draws = np.searchsorted(np.cumsum(logger)[:-1], generator.random(rounds), side="right")
    chosen = (draws + shifts) % count
    rewards = generator.random(rounds) < rate * np.where(draws == count - 1, 2.0, 1.0)
    rows = [
        Logged(
            row=row + 1,
            decision_id=f"d{row}",
            decided_at=start + timedelta(minutes=10 * row),
            context={"segment": ("newcomers", "regulars")[shift]},
            actions=actions,
            chosen=index,
            probability=pmfs[shift][index],
            pmf=pmfs[shift] if with_pmf else None,
            reward=float(reward),
        )
        for row, (shift, index, reward) in enumerate(
            zip(shifts.tolist(), chosen.tolist(), rewards.tolist(), strict=True)
        )
    ]
    return Made(rows=rows, targets=[shifted[shift] for shift in shifts.tolist()])


def replace(row: Changed, **fields: object) -> Changed:
    return msgspec.structs.replace(row, **fields)
