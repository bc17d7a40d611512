"""Whether intervals hold for the policy chosen because it looked best; docs/sweep.md has the figures."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds
from simulations.estimators.contract import Estimator, Running
from simulations.estimators.dr import DR
from simulations.estimators.snips import SNIPS
from simulations.evaluation.columns import as_logged
from simulations.intervals.bootstrap import Buckets
from simulations.intervals.choose import interval
from simulations.intervals.paired import Difference, compared
from simulations.intervals.rewarded import Rewarded
from simulations.intervals.simultaneous import against_best, bonferroni_level, joint_level, scores

Indices = npt.NDArray[np.int64]

pytestmark = pytest.mark.statistical

REPEATS = 400
ROUNDS, CONTEXTS, ACTIONS, CANDIDATES = 2_000, 5, 10, 12
#: Of the intervals that are presented, 400 repeats of a nominal .95 may fall so far by chance: two of theirs.
LOWEST = 0.93


class Setting(NamedTuple):
    """Some policies, all worth the same or not, and what is true of them."""

    logging: Floats
    #: (candidates, contexts, actions).
    policies: Floats
    #: Click rates by context and action.
    rates: Floats

    @property
    def values(self) -> Floats:
        return np.asarray((self.policies * self.rates).sum(axis=2).mean(axis=1))

    @property
    def logged(self) -> float:
        return float((self.logging * self.rates).sum(axis=1).mean())


def setting(*, equal: bool, rate: float) -> Setting:
    rng = np.random.default_rng(11)

    def softmax(*shape: int, scale: float) -> Floats:
        weights = np.exp(scale * rng.normal(size=shape))
        return np.asarray(weights / weights.sum(axis=-1, keepdims=True))

    logging = 0.6 * softmax(CONTEXTS, ACTIONS, scale=0.7) + 0.4 / ACTIONS
    policies = softmax(CANDIDATES, CONTEXTS, ACTIONS, scale=1.0)
    # Sweeps try settings that are much alike: half of the candidates are neighbours of one.
    half = CANDIDATES // 2
    policies[half:] = 0.9 * policies[half] + 0.1 * policies[half:]
    rates = np.full((CONTEXTS, ACTIONS), rate)
    return Setting(logging, policies, rates if equal else rates * rng.uniform(0.4, 1.6, rates.shape))


class Trial(NamedTuple):
    """One log: whether the winner's intervals hold by each construction, and whether all of them do."""

    naive: bool
    bonferroni: bool
    joint: bool
    joint_all: bool
    naive_difference: bool
    joint_difference: bool
    #: Whether all intervals against the best of the others hold, and which share of the best may be the best.
    standings: bool
    best_kept: float
    #: Of the winner's intervals, and how many may be the best.
    width: float
    bonferroni_width: float
    may_be_best: int


def one_log(world: Setting, estimator: Estimator, seed: int) -> Trial:
    rng = np.random.default_rng(seed)
    context = rng.integers(CONTEXTS, size=ROUNDS)
    bounds = world.logging.cumsum(axis=1)[:, :-1]
    action = (rng.random(ROUNDS)[:, None] > bounds[context]).sum(axis=1)
    reward = (rng.random(ROUNDS) < world.rates[context, action]).astype(float)
    seen = [made(world, policy, context, action, reward) for policy in world.policies]
    values = np.array([Running.of(estimator, each).value for each in seen])
    winner = int(values.argmax())
    own = np.stack([scores(Buckets.of(estimator, each)) for each in seen], axis=1)
    level = joint_level(own)
    true = world.values

    def of(which: int, level: float) -> tuple[bool, float]:
        rounds = seen[which]
        found = interval(Running.of(estimator, rounds), Rewarded.of(estimator, rounds), level=level)
        return found.low <= true[which] <= found.high, found.high - found.low

    logged = as_logged(seen[0])
    apart = np.stack([difference_scores(estimator, each, logged) for each in seen], axis=1)

    def less_logged(level: float) -> bool:
        found = interval(*compared(estimator, seen[winner], estimator, logged), level=level)
        return bool(found.low <= true[winner] - world.logged <= found.high)

    standings = against_best(values.tolist(), own)
    best_other = [np.delete(true, each).max() for each in range(CANDIDATES)]
    best = np.flatnonzero(true >= true.max() - 1e-12)
    kept = sum(standings[each].may_be_best for each in best)
    joint, bonferroni = of(winner, level), of(winner, bonferroni_level(CANDIDATES))
    return Trial(
        naive=of(winner, 0.95)[0],
        bonferroni=bonferroni[0],
        joint=joint[0],
        joint_all=all(of(each, level)[0] for each in range(CANDIDATES)),
        naive_difference=less_logged(0.95),
        joint_difference=less_logged(joint_level(apart)),
        standings=all(
            low - 1e-12 <= true[each] - best_other[each] <= high + 1e-12
            for each, (low, high, _) in enumerate(standings)
        ),
        best_kept=kept / len(best),
        width=joint[1],
        bonferroni_width=bonferroni[1],
        may_be_best=sum(standing.may_be_best for standing in standings),
    )


def made(world: Setting, policy: Floats, context: Indices, action: Indices, reward: Floats) -> Rounds:
    return Rounds.from_matrices(
        reward=reward,
        action=action,
        probability=world.logging[context, action],
        target_probabilities=policy[context],
        predicted_rewards=np.full((ROUNDS, ACTIONS), world.rates.mean()),  # a poor model
    )


def difference_scores(estimator: Estimator, rounds: Rounds, logged: Rounds) -> Floats:
    columns = [*estimator.columns(rounds), *estimator.columns(logged)]
    return scores(Buckets.of_columns(Difference(first=estimator, second=estimator), columns, rounds))


def trials(case: tuple[bool, float, Estimator, range]) -> list[Trial]:
    equal, rate, estimator, seeds = case
    world = setting(equal=equal, rate=rate)
    return [one_log(world, estimator, seed) for seed in seeds]


@pytest.mark.parametrize("equal", [True, False], ids=["equal", "different"])
@pytest.mark.parametrize(("rate", "estimator"), [(0.5, SNIPS()), (0.02, DR())], ids=["half", "rare"])
def test_the_winners_interval_holds_though_it_was_chosen(
    equal: bool, rate: float, estimator: Estimator
) -> None:
    parts = [(equal, rate, estimator, range(at, at + 25)) for at in range(0, REPEATS, 25)]
    with ProcessPoolExecutor() as pool:
        found = [trial for part in pool.map(trials, parts) for trial in part]
    share = dict(zip(Trial._fields, np.mean(found, axis=0).tolist(), strict=True))
    print("\n" + ", ".join(f"{name} {figure:.3f}" for name, figure in share.items()))
    assert share["joint"] >= 0.95
    assert share["joint_difference"] >= 0.95
    assert share["joint_all"] >= LOWEST
    assert share["standings"] >= LOWEST
    assert share["best_kept"] >= LOWEST
    assert share["width"] < share["bonferroni_width"]
    if equal:
        assert share["naive"] < 0.93
        assert share["naive_difference"] < 0.93
    else:
        assert share["naive"] < share["joint"]
        # With 40 clicks in a log hardly any are told apart.
        assert share["may_be_best"] < (4.0 if rate == 0.5 else CANDIDATES)
