"""Unbiased replay of a uniformly logged data set through a running service.

L. Li, W. Chu, J. Langford, X. Wang, "Unbiased offline evaluation of contextual-bandit-based news article
recommendation algorithms", WSDM 2011 (arXiv 1003.5956), algorithm 2. Rows whose logged action the service
chooses too are its rounds: they are activated, rewarded and learned. The others must leave no trace in the
model, so every decision is deferred and an unmatched one is never activated. The log chose uniformly and
without looking, so the matched rows are a random sample of all rows, whatever the service chooses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import numpy as np

from bandit.types import Action, BanditConfig, DecisionInput, KindRule, RewardDefinition, RewardEvent, Value
from simulations.datasets import HILLSTROM_ACTIONS, Customer
from simulations.intervals import Interval
from simulations.intervals.wilson import wilson
from simulations.live.client import Service, create_free

KIND = "visit"
SOURCE = "replay"
#: Small against the thousands of rounds of a run, so that each batch is decided by a model that knows most of
#: the rounds before it; learning runs in another process, some tenths of a second behind.
BATCH = 64
_POLL_SECONDS = 0.1


class Figure(Value, frozen=True, kw_only=True):
    """What a policy earned.

    The interval treats rounds as independent draws. Of a policy that learns on the way they are nearly so; it
    is then about the mean over the whole run, early rounds included.

    >>> Figure(policy="uniform", rounds=200, rewards=30).rate
    0.15
    """

    policy: str
    rounds: int
    #: Sum of the rewards, each 0 or 1.
    rewards: int

    @property
    def rate(self) -> float:
        """Mean reward per round; NaN without rounds."""
        return self.rewards / self.rounds if self.rounds else float("nan")

    @property
    def interval(self) -> Interval:
        """95 % Wilson interval of the rate."""
        return wilson(self.rewards, self.rounds)


class Replayed(Value, frozen=True, kw_only=True):
    """The outcome of one run. All policies are measured on the same rows."""

    bandit_key: str
    #: Of the shuffle. The service's draws have a seed of their own (the bandit's salt), so runs differ.
    seed: int
    #: Rows gone through.
    rows: int
    #: On the rounds used: the rows whose logged action it chose.
    service: Figure
    #: On all rows, as they were logged uniformly.
    uniform: Figure
    #: One per action, on the rows it was logged for.
    fixed: list[Figure]
    #: Whether the last rounds used were seen to be learned in time; None if nobody waited.
    settled: bool | None = None


class Progress(Value, frozen=True, kw_only=True):
    """How far a run has come."""

    rows: int
    used: int
    #: Sum of the rewards of the rounds used.
    rewards: int

    @property
    def rate(self) -> float:
        """Mean reward of the service so far; NaN before the first round used."""
        return self.rewards / self.used if self.used else float("nan")


def replay_config() -> BanditConfig:
    """Three e-mails, default policy, a visit settles at once; nothing else settles within a day."""
    return BanditConfig(
        actions=[Action(action_id=action_id) for action_id in HILLSTROM_ACTIONS],
        reward=RewardDefinition(kinds={KIND: KindRule()}),
        terminal_kinds=[KIND],
        reward_wait=86_400.0,
    )


def shuffled(customers: Sequence[Customer], seed: int, limit: int | None = None) -> list[Customer]:
    """The first `limit` rows in the order of numpy's RandomState(seed).permutation over all of them."""
    order = np.random.RandomState(seed).permutation(len(customers))
    return [customers[index] for index in order[:limit]]


async def replay(
    service: Service,
    customers: Sequence[Customer],
    *,
    name: str = "replay-hillstrom",
    seed: int = 1,
    batch: int = BATCH,
    limit: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    settle_within: float = 0.0,
) -> Replayed:
    """Go through the rows in the seed's order and measure the service on those it agrees with.

    Creates a bandit under the first free key of `name`, `name-2`, ... One model decides `batch` rows (1 to
    1,000). After the last row, waits up to `settle_within` seconds until the last rounds are learned.

    Raises:
        SegbanditError: whatever the service says; SetupError if it does not answer.

    >>> async def main() -> None:
    ...     async with HttpService("http://127.0.0.1:8080") as service:
    ...         result = await replay(service, hillstrom(None, Settings()), limit=6_400)
    ...         print(result.service.rate, result.uniform.rate)
    """
    key = await create_free(service, name, replay_config())
    rows = shuffled(customers, seed, limit)
    used: list[Customer] = []
    rewards = 0
    last: list[str] = []
    for start in range(0, len(rows), batch):
        matched = await _round(service, key, rows[start : start + batch], start)
        used += [customer for customer, _ in matched]
        rewards += sum(customer.visit for customer, _ in matched)
        last = [decision_id for _, decision_id in matched] or last
        if progress is not None:
            progress(Progress(rows=min(start + batch, len(rows)), used=len(used), rewards=rewards))
    return Replayed(
        bandit_key=key,
        seed=seed,
        rows=len(rows),
        service=_figure("segbandit", used),
        uniform=_figure("uniform", rows),
        fixed=[_figure(a, [row for row in rows if row.action_id == a]) for a in HILLSTROM_ACTIONS],
        settled=await _settled(service, last, settle_within) if settle_within > 0.0 else None,
    )


async def _round(
    service: Service, key: str, rows: Sequence[Customer], start: int
) -> list[tuple[Customer, str]]:
    """Decide a batch; activate and reward what matches the log. The matched rows with their decisions."""
    choices = await service.decide_many(
        key, [DecisionInput(context=customer.context, deferred=True) for customer in rows]
    )
    matched = [
        (customer, choice.decision_id, start + offset)
        for offset, (customer, choice) in enumerate(zip(rows, choices, strict=True))
        if choice.action.action_id == customer.action_id
    ]
    if matched:
        await asyncio.gather(*(service.activate(decision_id) for _, decision_id, _ in matched))
        await service.send_rewards([_event(key, *match) for match in matched])
    return [(customer, decision_id) for customer, decision_id, _ in matched]


def _event(key: str, customer: Customer, decision_id: str, row: int) -> RewardEvent:
    return RewardEvent(
        decision_id=decision_id,
        kind=KIND,
        value=float(customer.visit),
        event_id=f"{key}/row-{row}",
        source=SOURCE,
    )


def _figure(policy: str, rows: Sequence[Customer]) -> Figure:
    return Figure(policy=policy, rounds=len(rows), rewards=sum(customer.visit for customer in rows))


async def _settled(service: Service, decision_ids: Sequence[str], seconds: float) -> bool:
    """Wait for the last rounds: a learner takes what is due oldest first, so the others are settled too."""
    until = time.monotonic() + seconds
    waiting = list(decision_ids)
    while waiting:
        logged = await asyncio.gather(*(service.get(decision_id) for decision_id in waiting))
        waiting = [decision.decision_id for decision in logged if decision.settled is None]
        if waiting and time.monotonic() > until:
            return False
        if waiting:
            await asyncio.sleep(_POLL_SECONDS)
    return True
