"""What a subject was shown before, as far as a configuration asks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from bandit.steering import Seen
from bandit.types import BanditConfig


class Exposure(NamedTuple):
    """Something that a subject was shown."""

    action_id: str
    segment: str | None
    at: datetime


def counts(config: BanditConfig) -> bool:
    """Whether decisions of this configuration take into account what their subject was shown before."""
    return False


def seen(config: BanditConfig, exposures: Sequence[Exposure], decided_at: datetime) -> Seen | None:
    """What the configuration asks of these exposures of one subject, oldest first; None: nothing."""
    return None
