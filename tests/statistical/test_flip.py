"""Where the best action flips, the default policy is back within twice the events needed from scratch."""

from __future__ import annotations

import pytest

from bandit.types import PolicySettings
from benchmarks.flip import WORLDS, needed

pytestmark = pytest.mark.statistical


@pytest.mark.parametrize("flip", [1_000, 5_000])
@pytest.mark.parametrize(
    "name", ["two actions, .6 and .3", "storefront, five actions", "ten actions, .3 to .1"]
)
def test_the_default_recovers(name: str, flip: int) -> None:
    scratch, after = needed(WORLDS[name], 0), needed(WORLDS[name], flip)
    assert scratch is not None
    assert after is not None
    assert after <= 2 * scratch


def test_without_beginning_anew_it_does_not() -> None:
    """So the worlds are hard enough to tell."""
    world = WORLDS["storefront, five actions"]
    assert needed(world, 1_000, PolicySettings(on_drift="signal")) is None
