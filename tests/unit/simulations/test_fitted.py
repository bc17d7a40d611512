from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from bandit.errors import InvalidInputError, SetupError
from bandit.policy import UniformPolicy
from bandit.settings import Settings
from bandit.types import Action
from simulations import datasets
from simulations.environments import supervised
from simulations.environments.catalogue import environment
from simulations.environments.contract import value
from simulations.environments.fitted import fit
from simulations.environments.personas import Personas
from simulations.logs.rows import Chunk, Logged
from simulations.simulation.runs import logged


class _Log:
    name = "test log"

    def __init__(self, rows: Sequence[Logged], reward_range: tuple[float, float] | None = None) -> None:
        self.rows = rows
        self.reward_range = reward_range

    def chunks(self) -> Iterator[Chunk]:
        yield from (Chunk(self.rows[at : at + 1_000], []) for at in range(0, len(self.rows), 1_000))


@pytest.fixture(scope="module")
def storefront() -> list[Logged]:
    return logged(Personas(), UniformPolicy(), rounds=8_000, seed=1)


def test_a_fitted_world_is_near_the_one_that_was_logged(storefront: list[Logged]) -> None:
    world = fit(_Log(storefront, (0.0, 1.0)))
    truth = list(Personas().rounds(8_000, 1))
    found = np.array(world.expected)
    true = np.array([one.expected for one in truth])
    assert np.abs(found.mean(axis=0) - true.mean(axis=0)).max() < 0.03
    assert np.corrcoef(found.ravel(), true.ravel())[0, 1] > 0.85


def test_its_rounds_are_the_logs_and_their_rewards_the_models(storefront: list[Logged]) -> None:
    world = fit(_Log(storefront, (0.0, 1.0)), sample=500)
    contexts = [row.context for row in storefront]
    rounds = list(world.rounds(3_000, 7))
    assert rounds == list(world.rounds(3_000, 7))
    assert all(one.context in contexts for one in rounds[:50])
    assert {len(one.actions) for one in rounds} == {5}
    drawn = fmean(fmean(o.reward for o in one.outcomes) for one in rounds)
    assert drawn == pytest.approx(value(world, UniformPolicy(), rounds=3_000, seed=7), abs=0.02)


def test_rewards_of_any_range_keep_it() -> None:
    actions = [Action(action_id="a"), Action(action_id="b")]
    rows = [
        Logged(row=i + 1, decision_id=str(i), actions=actions, chosen=i % 2, probability=0.5,
               reward=-4.0 + 10.0 * (i % 2), context={"odd": i % 3 == 0, "tags": ["x", "y"], "n": i % 7})
        for i in range(600)
    ]  # fmt: skip
    world = fit(_Log(rows))
    assert world.config.reward.clip == (-4.0, 6.0)
    one = next(world.rounds(1, 1))
    assert one.expected == pytest.approx((-4.0, 6.0), abs=1.5)
    assert {outcome.reward for one in world.rounds(50, 1) for outcome in one.outcomes} <= {-4.0, 6.0}


@pytest.mark.parametrize("rows", [[], "same"])
def test_a_log_that_says_nothing_is_refused(rows: list[Logged] | str, storefront: list[Logged]) -> None:
    unrewarded = [row for row in storefront if row.reward == 0.0] if rows == "same" else []
    with pytest.raises(InvalidInputError, match="expected"):
        fit(_Log(unrewarded))


@pytest.mark.usefixtures("shared_data")
def test_hillstroms_world_has_the_rates_of_the_test() -> None:
    world = fit(datasets.log("hillstrom", Settings()), sample=64_000)
    means = np.array(world.expected).mean(axis=0)
    assert means == pytest.approx([0.1828, 0.1514, 0.1062], abs=0.003)


def _csv(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# --- labelled data -----------------------------------------------------------------------------------------


def test_a_csv_becomes_a_bandit(tmp_path: Path) -> None:
    path = _csv(tmp_path / "data.csv", "age,town,kind\n20,Rome,old\n30,,new\n,Oslo,old\n")
    world = environment(str(path), label="kind")
    assert [action.action_id for action in world.config.actions] == ["new", "old"]
    rounds = sorted(world.rounds(99, 1), key=lambda one: one.subject)
    assert [one.context for one in rounds] == [{"age": 0.0, "town": "Rome"}, {"age": 1.0}, {"town": "Oslo"}]
    assert [one.expected for one in rounds] == [(0.0, 1.0), (1.0, 0.0), (0.0, 1.0)]
    assert world.limit == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,kind\n1,a\n", "at least two different ones"),
        ("age,label\n1,a\n2,a\n", "at least two different ones"),
        ("age,label\n1,a\n2,\n", "a label in each row"),
        ("age,label\n1,a,9\n2,b\n", "as many fields as the header has, got others in record 2"),
        ("", "at least two different ones"),
    ],
)
def test_a_csv_that_is_no_labelled_data_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SetupError, match=message):
        environment(str(_csv(tmp_path / "data.csv", text)))


def test_a_missing_csv_is_named() -> None:
    with pytest.raises(SetupError, match=r"expected a readable CSV .* nowhere\.csv"):
        environment("nowhere.csv")


@pytest.mark.usefixtures("shared_data")
def test_digits_and_satimage_are_what_the_learning_benchmark_uses() -> None:
    for world, rows, actions in (
        (supervised.digits(), 1_797, 10),
        (supervised.satimage(Settings()), 6_435, 6),
    ):
        assert (world.limit, len(world.config.actions)) == (rows, actions)
        values = [number for context in world.contexts for number in context.values()]
        assert (min(values), max(values)) == (0.0, 1.0)
