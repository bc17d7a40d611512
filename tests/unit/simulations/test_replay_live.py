from __future__ import annotations

import asyncio
import random

import pytest

from bandit.types import BanditConfig, DecisionInput
from simulations.datasets import HILLSTROM_ACTIONS, Customer
from simulations.live.replay import Progress, replay, replay_config, shuffled

from .fakes import FakeService


def _customers(count: int = 300) -> list[Customer]:
    generator = random.Random(7)
    return [
        Customer(
            context={"row": row},
            action_id=generator.choice(HILLSTROM_ACTIONS),
            visit=generator.random() < 0.2,
            conversion=False,
            spend=0.0,
        )
        for row in range(count)
    ]


def _always(action_id: str) -> FakeService:
    return FakeService(lambda _asked, _config: action_id)


@pytest.mark.parametrize("action_id", HILLSTROM_ACTIONS)
def test_a_service_that_always_chooses_one_action_earns_what_that_action_earns(action_id: str) -> None:
    result = asyncio.run(replay(_always(action_id), _customers(), batch=32))
    fixed = next(figure for figure in result.fixed if figure.policy == action_id)
    assert (result.service.rounds, result.service.rewards) == (fixed.rounds, fixed.rewards)
    assert result.service.interval == fixed.interval


def test_uniform_is_measured_on_all_rows() -> None:
    customers = _customers()
    result = asyncio.run(replay(_always("No E-Mail"), customers))
    assert (result.uniform.rounds, result.uniform.rewards) == (300, sum(c.visit for c in customers))
    assert sum(figure.rounds for figure in result.fixed) == 300


def test_only_matched_rounds_are_activated_and_rewarded_once_each() -> None:
    customers = _customers()

    def in_turn(asked: DecisionInput, config: BanditConfig) -> str:
        row: int = asked.context["row"]
        return config.actions[row % 3].action_id

    service = FakeService(in_turn)
    result = asyncio.run(replay(service, customers, batch=50))
    matched = {
        decision_id: customers[asked.context["row"]]
        for decision_id, (_, asked, action_id) in service.decisions.items()
        if customers[asked.context["row"]].action_id == action_id
    }
    assert 0 < len(matched) < 300
    assert all(asked.deferred for _, asked, _ in service.decisions.values())
    assert sorted(service.activated) == sorted(matched)
    sent = {event.decision_id: event.value for event in service.rewards}
    assert len(service.rewards) == len(matched) == result.service.rounds
    assert sent == {decision_id: float(customer.visit) for decision_id, customer in matched.items()}
    assert set(sent.values()) == {0.0, 1.0}
    assert len({event.event_id for event in service.rewards}) == len(matched)


def test_the_seed_is_the_order_and_every_row_comes_once() -> None:
    customers = _customers()
    assert shuffled(customers, 1) == shuffled(customers, 1) != shuffled(customers, 2)
    rows = [customer.context["row"] for customer in shuffled(customers, 1)]
    assert sorted(rows) == list(range(300)) != rows
    assert shuffled(customers, 1, limit=10) == shuffled(customers, 1)[:10]


def test_batches_progress_and_limit() -> None:
    service = _always("Mens E-Mail")
    seen: list[Progress] = []
    result = asyncio.run(replay(service, _customers(), batch=64, limit=150, progress=seen.append))
    assert service.batches == [64, 64, 22]
    assert [at.rows for at in seen] == [64, 128, 150]
    assert (seen[-1].used, seen[-1].rewards) == (result.service.rounds, result.service.rewards)
    assert seen[-1].rate == result.service.rate
    assert result.rows == result.uniform.rounds == 150


def test_a_taken_key_is_never_reused() -> None:
    service = FakeService(lambda *_: "No E-Mail", taken=["replay-hillstrom", "replay-hillstrom-2"])
    result = asyncio.run(replay(service, _customers(10)))
    assert result.bandit_key == "replay-hillstrom-3"
    assert service.configs == {"replay-hillstrom-3": replay_config()}


@pytest.mark.parametrize("learns", [True, False])
def test_waiting_for_the_learner_says_whether_it_came(learns: bool) -> None:
    service = FakeService(lambda *_: "No E-Mail", learns=learns)
    assert asyncio.run(replay(service, _customers(20), settle_within=0.01)).settled is learns


def test_no_rounds_give_no_rate() -> None:
    result = asyncio.run(replay(_always("No E-Mail"), []))
    assert result.service.rounds == 0
    assert result.service.rate != result.service.rate  # NaN
    assert (result.service.interval.low, result.service.interval.high) == (0.0, 1.0)
    assert result.settled is None
