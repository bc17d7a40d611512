"""Logs of a policy under a boost whose cost in reward is known."""

from __future__ import annotations

import numpy as np

from bandit.sampling import draw
from bandit.types import Action
from simulations.logs.memory import MemoryLog
from simulations.logs.rows import Logged

#: Without boosts, for each of two kinds of context that are as frequent; and what each action earns there.
POLICY = ((0.7, 0.2, 0.1), (0.1, 0.3, 0.6))
EARNS = ((0.30, 0.10, 0.05), (0.05, 0.10, 0.25))
ACTIONS = [Action(action_id=f"a{number}") for number in range(3)]


def boosted(pmf: tuple[float, ...], multiplier: float, action: int = 1) -> list[float]:
    """The policy's distribution with one action boosted."""
    weights = [p * (multiplier if index == action else 1.0) for index, p in enumerate(pmf)]
    return [weight / sum(weights) for weight in weights]


def cost(multiplier: float, share: float = 0.5) -> float:
    """Of a boost in this share of the rounds: value(unboosted) - value(logged)."""
    found = 0.0
    for pmf, earns in zip(POLICY, EARNS, strict=True):
        drawn = boosted(pmf, multiplier)
        found += 0.5 * share * sum((p - b) * e for p, b, e in zip(pmf, drawn, earns, strict=True))
    return found


def boosted_log(seed: int, rounds: int, multiplier: float, share: float = 0.5) -> MemoryLog:
    """Each round is boosted with probability `share`."""
    random, rows = np.random.default_rng(seed), []
    for row in range(1, rounds + 1):
        kind = int(random.integers(2))
        is_boosted = bool(random.random() < share)
        pmf = boosted(POLICY[kind], multiplier if is_boosted else 1.0)
        chosen = draw(pmf, float(random.random()))
        rows.append(
            Logged(
                row=row,
                decision_id=str(row),
                context={"kind": str(kind)},
                actions=ACTIONS,
                chosen=chosen,
                probability=pmf[chosen],
                pmf=pmf,
                unboosted=list(POLICY[kind]) if is_boosted else None,
                reward=float(random.random() < EARNS[kind][chosen]),
            )
        )
    return MemoryLog(rows, reward_range=(0.0, 1.0))
