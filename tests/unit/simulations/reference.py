"""Where the figures of others lie that ours are held against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit.settings import Settings
from simulations.columns.rounds import Rounds


def shared(*parts: str) -> Path:
    """A file beside or below the shared data; the test is skipped where it is missing."""
    path = Settings().shared_data.parent.joinpath(*parts)
    if not path.exists():
        pytest.skip(
            f"expected {path.absolute()}, got nothing; set SEGBANDIT_SHARED_DATA to the folder `data`"
        )
    return path


def synthetic(name: str) -> tuple[Rounds, dict[str, float]]:
    """A synthetic log, and what Open Bandit Pipeline 0.5.7 finds in it."""
    log = np.load(shared("reference", f"{name}.npz"))
    rounds = Rounds.from_matrices(
        reward=log["reward"],
        action=log["action"],
        probability=log["logged_prob"],
        target_probabilities=log["target_probs"],
        predicted_rewards=log["q_hat"],
    )
    return rounds, json.loads(shared("reference", f"{name}.json").read_text())["values"]


def open_bandit_figures() -> dict[str, Any]:
    """Run (`all:random->bts`) -> what Open Bandit Pipeline 0.5.7 finds in it."""
    figures: dict[str, Any] = json.loads(shared("reference", "open_bandit_sample.json").read_text())["runs"]
    return figures
