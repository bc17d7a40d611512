"""What would have been served: a policy that fails is the baseline, and counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from bandit import instead
from bandit.db.training import LogEntry
from bandit.readiness import Rehearsals
from bandit.rehearsal import Rehearsal
from bandit.types import Action, Bandit, BanditConfig, Decision, DecisionInput, Features

OFFERED = [Action(action_id=name) for name in "ab"]
CONFIG = BanditConfig(actions=OFFERED, baseline_action="b", mode="apprentice", exploration_floor=0.2)
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
DECISION = Decision(
    decision_id="d", bandit_key="hero", decided_at=NOW, asked=DecisionInput(), offered=OFFERED,
    positions=[0, 1], pmf=[0.0, 1.0], chosen=1, draw=0.5, model_version=0, config_version=1,
    mode="apprentice",
)  # fmt: skip


class Fails:
    """A policy that cannot predict, or gives what cannot be shaped."""

    def __init__(self, given: list[float] | None) -> None:
        self.given = given

    def distribution(self, context: Features, actions: Sequence[Action]) -> list[float]:  # noqa: ARG002
        if self.given is None:
            raise RuntimeError("ruined")
        return self.given


@pytest.mark.parametrize("given", [None, []])
def test_what_fails_is_the_baseline(given: list[float] | None, capfd: pytest.CaptureFixture[str]) -> None:
    decision = msgspec.structs.replace(DECISION, bandit_key=f"{given}")
    for _ in range(3):
        assert instead.served(Fails(given), CONFIG, decision) == [0.0, 1.0]
    assert capfd.readouterr().err.count("prediction failed") <= 1


def test_a_rehearsal_counts_it() -> None:
    bandit = Bandit(
        bandit_key="hero", salt="salt", config_version=1, config=CONFIG, created_at=NOW, archived=False
    )
    rehearsal = Rehearsal(bandit, 1, Rehearsals())
    entry = LogEntry(seq=1, due_at=NOW, events=0, config_version=1, reward=0.0, decision=DECISION)
    rehearsal.note(Fails(None), CONFIG, CONFIG.reward, entry)
    (noted,) = rehearsal._noted
    assert (noted.agreement, noted.matches) == (1.0, True)
