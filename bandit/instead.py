"""What would have been served in the place of what was: for comparisons and rehearsals."""

from __future__ import annotations

from functools import lru_cache

import structlog

from bandit import shares
from bandit.policy import BaselinePolicy, Policy
from bandit.types import BanditConfig, Decision

_log = structlog.get_logger()


def served(policy: Policy, config: BanditConfig, decision: Decision) -> list[float]:
    """The distribution over what was offered that this policy would have given under this configuration.

    Where it fails, however it fails, that is the baseline, as in `decide`: no event is left out of a count,
    and nobody stops learning for it.

    >>> from bandit.types import Action
    >>> from datetime import datetime
    >>> from bandit.types import DecisionInput
    >>> offered = [Action(action_id="a"), Action(action_id="b")]
    >>> config = BanditConfig(actions=offered, exploration_floor=0.2)
    >>> decision = Decision(
    ...     decision_id="d", bandit_key="hero", decided_at=datetime.fromisoformat("2026-07-01T12:00:00Z"),
    ...     asked=DecisionInput(), offered=offered, positions=[0, 1], pmf=[1.0, 0.0], chosen=0, draw=0.5,
    ...     model_version=0, config_version=1, mode="apprentice",
    ... )
    >>> from bandit.policy import FixedPolicy
    >>> served(FixedPolicy("b"), config, decision)
    [0.1, 0.9]
    """
    context, offered = decision.asked.context, decision.offered
    try:
        wanted = policy.distribution(context, offered)
        return shares.shaped(config, offered, wanted, context, decision.decided_at, decision.seen).pmf
    except Exception as error:
        _say_once(decision.bandit_key, decision.config_version, f"{type(error).__name__}: {error}")
        return BaselinePolicy(config).distribution(context, offered)


@lru_cache(maxsize=256)
def _say_once(bandit_key: str, config_version: int, error: str) -> None:
    _log.error(
        "prediction failed, counted as the baseline", bandit_key=bandit_key,
        config_version=config_version, error=error,
    )  # fmt: skip
