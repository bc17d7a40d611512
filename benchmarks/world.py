"""What the benchmarks decide about: 10 actions of 3 features, contexts of 10."""

from __future__ import annotations

import random
from typing import Any

from bandit.types import Action, BanditConfig, DecisionInput

ACTIONS = 10
CONFIG = BanditConfig(
    actions=[
        Action(
            action_id=f"action-{i}",
            features={"price": i / 10, "kind": f"k{i % 3}", "new": i % 2 == 0},
        )
        for i in range(ACTIONS)
    ],
    terminal_kinds=["reward"],
)


def context(rng: random.Random) -> dict[str, Any]:
    """Five numbers, three texts, two booleans."""
    numbers = {f"number{i}": round(rng.random(), 3) for i in range(5)}
    texts = {f"text{i}": rng.choice("abcdefgh") for i in range(3)}
    flags = {f"flag{i}": rng.random() < 0.5 for i in range(2)}
    return {**numbers, **texts, **flags}


def subject(rng: random.Random) -> str:
    return f"s-{rng.randrange(10**6)}"


def asked(rng: random.Random) -> DecisionInput:
    return DecisionInput(subject=subject(rng), context=context(rng))


def request_actions(rng: random.Random) -> list[dict[str, Any]]:
    """The same actions as a request brings them, each time at other prices."""
    return [
        {
            "action_id": f"action-{i}",
            "features": {"price": round(rng.random(), 3), "kind": f"k{i % 3}", "new": i % 2 == 0},
        }
        for i in range(ACTIONS)
    ]
