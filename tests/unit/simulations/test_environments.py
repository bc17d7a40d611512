from __future__ import annotations

import math
from itertools import islice, pairwise
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit import features
from bandit.errors import InvalidInputError
from bandit.policy import FixedPolicy, Policy, UniformPolicy
from bandit.types import Features
from simulations.columns.exact import Floats
from simulations.environments.adversarial import Adversary, Flipped
from simulations.environments.catalogue import CATALOGUE, environment
from simulations.environments.cold_start import ColdStart
from simulations.environments.contract import Environment, Round, bernoulli, value
from simulations.environments.delayed import Delayed
from simulations.environments.new_actions import FIRST, NewActions
from simulations.environments.personas import Personas, drifted
from simulations.environments.storefront import PERSONAS
from simulations.environments.supervised import Supervised
from simulations.simulation.runs import logged

_FRUIT: list[Features] = [{"red": True}, {"red": False}] * 40
WORLDS: list[Environment] = [
    Personas(),
    Personas(name="drift", drift=True),
    Delayed(Personas()),
    ColdStart(),
    NewActions(),
    Flipped(Personas(blur=0.2)),
    Adversary(Personas()),
    Supervised("fruit", _FRUIT, ["apple", "pear"] * 40),
]
_every_world = pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)


@_every_world
@given(seed=st.integers(0, 2**31))
@settings(max_examples=5)
def test_a_seed_is_a_stream(world: Environment, seed: int) -> None:
    assert list(world.rounds(60, seed)) == list(world.rounds(60, seed))


@_every_world
def test_seeds_differ(world: Environment) -> None:
    assert list(world.rounds(60, 1)) != list(world.rounds(60, 2))


@_every_world
def test_every_round_is_sound(world: Environment) -> None:
    at = -1.0
    low, high = world.config.reward.clip
    for one in world.rounds(80, 3):
        features.check(one.context, "context")
        features.check_actions(one.actions)
        assert all(action.enabled for action in one.actions)
        assert len(one.actions) == len(one.expected) == len(one.settled) == len(one.outcomes)
        assert all(low <= each <= high for each in (*one.expected, *one.settled))
        assert at < one.at
        at = one.at


@_every_world
def test_what_is_expected_is_what_is_drawn(world: Environment) -> None:
    """Both the rewards truly earned and those that a log would hold, within four standard errors."""
    drawn = [_gaps(world, one) for seed in range(1, 4) for one in world.rounds(2_000, seed)]
    for gaps in zip(*drawn, strict=True):
        assert abs(fmean(gaps)) <= 4.0 * np.std(gaps) / math.sqrt(len(gaps))


def _gaps(world: Environment, one: Round) -> tuple[float, float]:
    wait = world.config.reward_wait
    in_time = [o.reported if o.delay is not None and o.delay <= wait else 0.0 for o in one.outcomes]
    return (
        fmean(o.reward for o in one.outcomes) - fmean(one.expected),
        fmean(in_time) - fmean(one.settled),
    )


@_every_world
@pytest.mark.parametrize("settled", [False, True])
def test_the_value_of_a_policy_is_what_its_log_averages_to(world: Environment, *, settled: bool) -> None:
    first = world.config.actions[0].action_id
    for policy in (UniformPolicy(), FixedPolicy(first)):
        exact = value(world, policy, rounds=1_500, seed=5, settled=settled)
        found = _rewards(world, policy, settled=settled)
        spread = math.sqrt(max(float(np.var(found)), exact * (1.0 - exact)) / len(found))
        assert fmean(found) == pytest.approx(exact, abs=4.0 * spread + 1e-12)


def _rewards(world: Environment, policy: Policy, *, settled: bool) -> list[float]:
    log = logged(world, policy, rounds=1_500, seed=5)
    if settled:
        return [row.reward for row in log]
    rounds = world.rounds(1_500, 5)
    return [one.outcomes[row.chosen].reward for one, row in zip(rounds, log, strict=True)]


def test_an_outcome_is_better_where_more_is_expected() -> None:
    assert [o.reward for o in bernoulli([0.2, 0.6], luck=0.19)] == [1.0, 1.0]
    assert [o.reward for o in bernoulli([0.2, 0.6], luck=0.6)] == [0.0, 0.0]


# --- drift -------------------------------------------------------------------------------------------------


@given(st.floats(0.0, 1.0))
def test_drifting_shares_are_shares(progress: float) -> None:
    moved = drifted(PERSONAS, progress)
    assert math.fsum(persona.share for persona in moved.values()) == pytest.approx(1.0)
    assert all(0.0 <= p <= 1.0 for persona in moved.values() for p in persona.clicks)


def test_drift_really_moves_what_is_best() -> None:
    rounds = list(Personas(drift=True).rounds(4_000, 1))
    early, late = (_means(part) for part in (rounds[:1_000], rounds[-1_000:]))
    assert early.argmax() != late.argmax()
    assert np.abs(early - late).max() > 0.03
    still = list(Personas().rounds(4_000, 1))
    assert np.abs(_means(still[:1_000]) - _means(still[-1_000:])).max() < 0.02


def _means(rounds: list[Round]) -> Floats:
    return np.asarray(np.mean([one.expected for one in rounds], axis=0))


# --- delayed and missing -----------------------------------------------------------------------------------


def test_conversions_are_late_or_missing_and_the_default_reward_settles() -> None:
    world = Delayed(Personas())
    log = logged(world, UniformPolicy(), rounds=4_000, seed=2)
    rounds = list(world.rounds(4_000, 2))
    truly = [one.outcomes[row.chosen] for one, row in zip(rounds, log, strict=True)]
    converted = [(o, row.reward) for o, row in zip(truly, log, strict=True) if o.reward == 1.0]
    never = [reward for o, reward in converted if o.delay is None]
    late = [reward for o, reward in converted if o.delay is not None and o.delay > world.wait]
    assert len(never) / len(converted) == pytest.approx(world.missing, abs=0.07)
    assert late
    assert set(never + late) == {world.config.default_reward}
    in_time = fmean(reward for _, reward in converted)
    assert in_time == pytest.approx(world.reported_in_time, abs=0.07)
    assert not any(row.reward for o, row in zip(truly, log, strict=True) if o.reward == 0.0)


# --- cold starts, new actions ------------------------------------------------------------------------------


def test_subjects_are_new_and_shops_keep_opening() -> None:
    rounds = list(ColdStart().rounds(1_000, 1))
    assert len({one.subject for one in rounds}) == 1_000
    known = {one.context["shop"] for one in rounds[:500]}
    fresh = {one.context["shop"] for one in rounds[500:]} - known
    assert len(fresh) > 10


def test_the_catalogue_grows_and_what_was_there_stays() -> None:
    rounds = list(NewActions().rounds(600, 1))
    sizes = [len(one.actions) for one in rounds]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (FIRST, FIRST + 5)
    assert len(NewActions().config.actions) == FIRST
    for before, after in pairwise(rounds):
        assert after.actions[: len(before.actions)] == before.actions


# --- false reports -----------------------------------------------------------------------------------------


def test_flips_change_reports_and_nothing_that_is_true() -> None:
    plain, noisy = Personas(), Flipped(Personas(), share=0.25)
    pairs = list(zip(plain.rounds(2_000, 1), noisy.rounds(2_000, 1), strict=True))
    assert all([o.reward for o in a.outcomes] == [o.reward for o in b.outcomes] for a, b in pairs)
    flipped = fmean(b.outcomes[0].reported != b.outcomes[0].reward for _, b in pairs)
    assert flipped == pytest.approx(0.25, abs=0.04)


def test_unclear_traces_cost_something_even_the_optimum() -> None:
    clear, unclear = (
        fmean(max(one.expected) for one in Personas(blur=blur).rounds(2_000, 1)) for blur in (0.0, 0.5)
    )
    assert unclear < clear - 0.03


def test_the_adversary_hides_the_best_action_and_no_other_and_only_at_first() -> None:
    rounds = list(Adversary(Personas(), share=0.5).rounds(400, 1))
    for index, one in enumerate(rounds):
        for action, outcome in enumerate(one.outcomes):
            hidden = index < 200 and one.expected[action] == max(one.expected)
            assert outcome.reported == (0.0 if hidden else outcome.reward)


# --- by name -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [name for name in CATALOGUE if name not in ("digits", "satimage", "hillstrom")]
)
def test_environments_are_found_by_the_name_they_bear(name: str) -> None:
    world = environment(name)
    assert world.name == name
    assert CATALOGUE[name].sentence.endswith(".")
    assert len(list(islice(world.rounds(5, 1), 5))) == 5


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match=r"personas, drift, .* got 'mars'"):
        environment("mars")
