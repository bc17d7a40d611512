from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit import sampling

_pmfs = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20).filter(lambda p: sum(p) > 0.01)


@given(_pmfs, st.floats(0.0, 1.0, exclude_max=True))
def test_an_impossible_action_is_never_drawn(weights: list[float], at: float) -> None:
    pmf = [weight / sum(weights) for weight in weights]
    assert pmf[sampling.draw(pmf, at)] > 0.0


def test_frequencies_are_the_probabilities() -> None:
    pmf = [0.5, 0.3, 0.0, 0.15, 0.05]
    n = 40_000
    drawn = Counter(sampling.draw(pmf, sampling.uniform("salt", f"d-{i}")) for i in range(n))
    for index, probability in enumerate(pmf):
        sigma = (n * probability * (1 - probability)) ** 0.5
        assert abs(drawn[index] - n * probability) <= 4 * sigma


def test_the_draw_is_a_published_function_of_salt_and_id() -> None:
    # Fixed: changing it would make every logged draw unrepeatable.
    assert sampling.uniform("salt", "decision") == pytest.approx(0.006768063848932249, abs=0)
    assert sampling.positions("salt", 1, 3, 1_000) == [571, 143, 164]


def test_salts_give_independent_draws() -> None:
    same = sum(
        (sampling.uniform("one", f"d-{i}") < 0.5) == (sampling.uniform("two", f"d-{i}") < 0.5)
        for i in range(10_000)
    )
    assert abs(same - 5_000) < 250
