"""Visitors of the storefront served over HTTP, measured against what was possible for each of them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence

from bandit.types import BanditConfig, DecisionInput, KindRule, RewardDefinition, RewardEvent, Value
from simulations.environments.storefront import VARIANTS, Storefront, Visitor
from simulations.live.client import Service, create_free

NAME = "storefront-hero"
KIND = "click"
SOURCE = "storefront"
#: Visitors per second. Learning is some tenths of a second behind, as in production; without a pace a fast
#: machine would be through before the first models arrive.
PACE = 200.0
#: Visitors in one call, and calls at a time.
_BATCH = 8
_CONCURRENT = 4


class Means(Value, frozen=True, kw_only=True):
    """Mean expected reward per visitor, from the true click probabilities, so without the noise of clicks."""

    service: float
    uniform: float
    #: Of the variant that is best over all visitors.
    best_fixed: float
    #: Of the best variant for each visitor.
    optimum: float

    @property
    def share(self) -> float:
        """The service's share of the optimum, in [0, 1].

        >>> Means(service=0.24, uniform=0.12, best_fixed=0.16, optimum=0.3).share
        0.8
        """
        return self.service / self.optimum


class Row(Value, frozen=True, kw_only=True):
    """Where the run stands after a chunk of visitors."""

    visitors: int
    #: Over the visitors of this chunk alone.
    chunk: Means
    #: Over all visitors since the first.
    overall: Means
    #: Clicks so far; they are all that the service gets to see.
    clicks: int
    bandit_key: str


class _Served(Value, frozen=True, kw_only=True):
    visitor: Visitor
    action_id: str


async def run(
    service: Service, *, visitors: int = 4_000, seed: int = 1, chunk: int = 250, pace: float = PACE
) -> AsyncIterator[Row]:
    """Serve `visitors` at `pace` per second (math.inf: as fast as it goes); a row after every `chunk`.

    Creates the bandit `storefront-hero`, or `storefront-hero-2`, ... when that key is taken. Each click and
    each missing click is sent as a terminal reward, so that it is learned at once.

    Raises:
        SegbanditError: whatever the service says; SetupError if it does not answer.

    >>> async def main() -> None:
    ...     async with HttpService("http://127.0.0.1:8080") as service:
    ...         async for row in run(service):
    ...             print(row.visitors, row.chunk.share)
    """
    world = Storefront(seed)
    key = await create_free(service, NAME, demo_config())
    served: list[_Served] = []
    began = time.monotonic()
    reported = 0
    while len(served) < visitors:
        wave = min(_BATCH * _CONCURRENT, reported + chunk - len(served), visitors - len(served))
        people = [world.visitor() for _ in range(wave)]
        batches = [people[start : start + _BATCH] for start in range(0, wave, _BATCH)]
        for batch in await asyncio.gather(*(_serve(service, key, batch) for batch in batches)):
            served += batch
        if len(served) == reported + chunk or len(served) == visitors:
            yield _row(world, key, served, reported)
            reported = len(served)
        await asyncio.sleep(max(0.0, began + len(served) / pace - time.monotonic()))


def demo_config() -> BanditConfig:
    """The hero banner under the default policy; click or no click settles at once."""
    return BanditConfig(
        actions=list(VARIANTS), reward=RewardDefinition(kinds={KIND: KindRule()}), terminal_kinds=[KIND]
    )


async def _serve(service: Service, key: str, visitors: Sequence[Visitor]) -> list[_Served]:
    asked = [DecisionInput(subject=visitor.subject, context=visitor.context) for visitor in visitors]
    choices = await service.decide_many(key, asked)
    served = [
        _Served(visitor=visitor, action_id=choice.action.action_id)
        for visitor, choice in zip(visitors, choices, strict=True)
    ]
    await service.send_rewards(
        [
            RewardEvent(
                decision_id=choice.decision_id,
                kind=KIND,
                value=float(one.visitor.clicks(one.action_id)),
                event_id=f"{key}/{one.visitor.subject}",
                source=SOURCE,
            )
            for one, choice in zip(served, choices, strict=True)
        ]
    )
    return served


def _row(world: Storefront, key: str, served: Sequence[_Served], since: int) -> Row:
    return Row(
        visitors=len(served),
        chunk=_means(world, served[since:]),
        overall=_means(world, served),
        clicks=sum(one.visitor.clicks(one.action_id) for one in served),
        bandit_key=key,
    )


def _means(world: Storefront, served: Sequence[_Served]) -> Means:
    def mean(values: list[float]) -> float:
        return math.fsum(values) / len(served)

    return Means(
        service=mean([one.visitor.click_probability[one.action_id] for one in served]),
        uniform=mean([one.visitor.uniform for one in served]),
        best_fixed=mean([one.visitor.click_probability[world.best_fixed] for one in served]),
        optimum=mean([one.visitor.optimum for one in served]),
    )
