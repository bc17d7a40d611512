from __future__ import annotations

import asyncio
import math

import pytest
from rich.console import Console

from cli import demo
from simulations.environments.storefront import Storefront
from simulations.live.storefront import Row, run

from .fakes import FakeService

_BEST = Storefront(0).best_fixed


def _run(service: FakeService, visitors: int, chunk: int = 100) -> list[Row]:
    async def collect() -> list[Row]:
        return [row async for row in run(service, visitors=visitors, chunk=chunk, pace=math.inf)]

    return asyncio.run(collect())


def test_a_service_that_always_chooses_the_best_fixed_variant_earns_just_that() -> None:
    rows = _run(FakeService(lambda *_: _BEST), 250)
    assert [row.visitors for row in rows] == [100, 200, 250]
    for row in rows:
        assert row.chunk.service == row.chunk.best_fixed
        assert row.overall.service == pytest.approx(row.overall.best_fixed)
        assert row.chunk.optimum >= row.chunk.best_fixed
        assert row.chunk.optimum > row.chunk.uniform


def test_overall_is_the_mean_of_the_chunks() -> None:
    rows = _run(FakeService(lambda *_: _BEST), 200)
    assert rows[-1].overall.optimum == pytest.approx((rows[0].chunk.optimum + rows[1].chunk.optimum) / 2)


def test_a_reward_for_every_visitor_click_or_not() -> None:
    service = FakeService(lambda *_: _BEST)
    last = _run(service, 200)[-1]
    assert len(service.rewards) == len({event.event_id for event in service.rewards}) == 200
    assert {event.value for event in service.rewards} == {0.0, 1.0}
    assert sum(event.value for event in service.rewards) == last.clicks
    assert {event.kind for event in service.rewards} <= set(service.configs[last.bandit_key].terminal_kinds)


def test_a_taken_key_gets_a_number() -> None:
    assert (
        _run(FakeService(lambda *_: _BEST, taken=["storefront-hero"]), 8)[-1].bandit_key
        == "storefront-hero-2"
    )


def test_the_pace_is_kept() -> None:
    async def seconds() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async for _ in run(FakeService(lambda *_: _BEST), visitors=96, pace=480.0):
            pass
        return loop.time() - began

    assert asyncio.run(seconds()) >= 0.19


@pytest.mark.parametrize("terminal", [True, False])
def test_it_is_shown_with_and_without_a_terminal(terminal: bool) -> None:
    console = Console(force_terminal=terminal, width=120, record=True, quiet=False, file=None)

    async def show() -> None:
        rows = run(FakeService(lambda *_: _BEST), visitors=60, chunk=30, pace=math.inf)
        await (demo._live if terminal else demo._plain)(rows, console)

    with console.capture() as shown:
        asyncio.run(show())
    text = shown.get()
    assert "best fixed" in text
    assert "storefront-hero: 60 visitors" in text
    assert ("┃" in text) is terminal
