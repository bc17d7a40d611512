"""Cold starts: every subject is new, and so, again and again, is where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from bandit.types import Action, BanditConfig
from simulations.environments.contract import PER_SECOND, Round, bernoulli, configured, randomness

REGIONS = ("north", "east", "south", "west")
#: What an action earns where it is liked, where nobody cares, and where a shop has a preference of its own.
LIKED, PLAIN, PREFERRED = 0.35, 0.08, 0.45
_CONFIG = configured([Action(action_id=f"offer-{name}") for name in "abcd"])


@dataclass(frozen=True)
class ColdStart:
    """Shops open one after the other; each visit is by a new subject to one of those that are open.

    A region likes one offer, which tells something of a shop that was never seen before. Every third shop
    prefers another one, which only its own visits tell.

    >>> stream = list(ColdStart().rounds(1_000, seed=1))
    >>> [len({one.context["shop"] for one in stream[:count]}) for count in (20, 500, 1_000)]
    [1, 20, 40]
    """

    limit: ClassVar[None] = None
    name: str = "cold-start"
    shops: int = 40

    @property
    def config(self) -> BanditConfig:
        """See `Environment`."""
        return _CONFIG

    def rounds(self, count: int, seed: int) -> Iterator[Round]:
        """See `Environment`."""
        random = randomness("cold starts", seed)
        for index in range(count):
            opened = 1 + self.shops * index // count
            shop = int(random.random_sample() * opened)
            expected = self._expected(shop)
            yield Round(
                at=index / PER_SECOND,
                subject=f"subject-{seed}-{index + 1}",
                context={
                    "shop": f"shop-{shop}",
                    "region": REGIONS[shop % len(REGIONS)],
                    "hour": int(random.random_sample() * 24),
                },
                actions=_CONFIG.actions,
                expected=expected,
                settled=expected,
                outcomes=bernoulli(expected, float(random.random_sample())),
            )

    def _expected(self, shop: int) -> tuple[float, ...]:
        actions = len(_CONFIG.actions)
        earned = [PLAIN] * actions
        earned[shop % len(REGIONS) % actions] = LIKED
        if shop % 3 == 2:
            earned[(shop + 1) % actions] = PREFERRED
        return tuple(earned)
