from __future__ import annotations

import math
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit import features
from simulations.environments.storefront import PERSONAS, VARIANTS, Storefront, Visitor

_SEEDS = st.integers(0, 2**32 - 1)


def _visitors(seed: int, count: int) -> list[Visitor]:
    world = Storefront(seed)
    return [world.visitor() for _ in range(count)]


@given(_SEEDS)
@settings(max_examples=20, deadline=None)
def test_a_seed_is_a_stream(seed: int) -> None:
    assert _visitors(seed, 30) == _visitors(seed, 30)


def test_seeds_differ() -> None:
    assert [v.context for v in _visitors(1, 10)] != [v.context for v in _visitors(2, 10)]


@given(_SEEDS)
@settings(max_examples=20, deadline=None)
def test_every_visitor_is_sound(seed: int) -> None:
    for visitor in _visitors(seed, 50):
        features.check(visitor.context, "context")
        assert set(visitor.click_probability) == {action.action_id for action in VARIANTS}
        assert all(0.0 <= p <= 1.0 for p in visitor.click_probability.values())
        assert visitor.optimum >= visitor.uniform


def test_the_variants_are_accepted_as_actions() -> None:
    features.check_actions(VARIANTS)


def test_the_tables_are_distributions() -> None:
    assert math.fsum(persona.share for persona in PERSONAS.values()) == pytest.approx(1.0)
    for persona in PERSONAS.values():
        assert len(persona.clicks) == len(VARIANTS)
        for odds in persona.traces.values():
            assert math.fsum(odds.values()) == pytest.approx(1.0)


def test_optimum_beats_best_fixed_beats_uniform_in_expectation() -> None:
    world = Storefront(1)
    visitors = [world.visitor() for _ in range(4_000)]
    uniform = fmean(world.expected.values())
    best_fixed = world.expected[world.best_fixed]
    optimum = fmean(visitor.optimum for visitor in visitors)
    assert 0.10 < uniform < 0.15 < best_fixed < 0.18
    assert 0.28 < optimum < 0.32


def test_the_exact_expectation_is_what_visitors_average_to() -> None:
    world = Storefront(1)
    visitors = [world.visitor() for _ in range(4_000)]
    for action_id, expected in world.expected.items():
        assert fmean(v.click_probability[action_id] for v in visitors) == pytest.approx(expected, abs=0.01)


def test_clicks_come_with_their_probability() -> None:
    visitors = _visitors(3, 20_000)
    clicks = fmean(visitor.clicks("deal-of-the-day") for visitor in visitors)
    expected = fmean(visitor.click_probability["deal-of-the-day"] for visitor in visitors)
    assert clicks == pytest.approx(expected, abs=0.01)  # four standard errors
