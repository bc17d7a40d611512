from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from bandit.errors import InvalidInputError, SetupError
from bandit.types import Bag, PolicySettings, Softmax, SquareCB
from bandit.vw import check
from simulations.sweeping.candidates import Candidate, Grid, built_in, candidate, described, grid_at, sampled


def test_the_built_in_ones_differ_and_are_ones_that_can_learn() -> None:
    candidates = built_in()
    settings = [each.policy for each in candidates]
    assert 16 <= len(candidates) <= 24
    assert settings[0] == PolicySettings()
    assert len({each.name for each in candidates}) == len(candidates)
    for each in settings:
        assert isinstance(each, PolicySettings)
        check(each)


def test_a_grid_is_all_combinations() -> None:
    grid = Grid(
        {
            "learning_rate": [0.02, 0.04],
            "exploration": [{"algorithm": "bag", "size": 3}, {"algorithm": "squarecb"}],
            "interactions": [[["context", "action"]], []],
        }
    )
    settings = [each.policy for each in grid.candidates()]
    assert len(grid) == len(settings) == 8
    assert len({msgspec.json.encode(each) for each in settings}) == 8
    assert PolicySettings(exploration=Bag(size=3), interactions=[]) in settings


def test_combinations_that_are_the_same_are_tried_once() -> None:
    assert len(Grid({"learning_rate": [0.1, 0.1], "relearn": [2, 4]}).candidates()) == 2


def test_a_sample_is_reproducible_and_part_of_a_grid_however_large() -> None:
    grid = Grid({"learning_rate": [each / 1_000 for each in range(1, 1_001)], "relearn": list(range(50))})
    some = grid.candidates(sample=5, seed=3)
    assert len({each.name for each in some}) == 5
    assert [each.name for each in some] == [each.name for each in grid.candidates(sample=5, seed=3)]
    assert [each.name for each in some] != [each.name for each in grid.candidates(sample=5, seed=4)]
    with pytest.raises(InvalidInputError, match=r"at most 1,000 combinations, got 50,000.*--sample"):
        grid.candidates()


def test_a_sample_of_the_built_in_ones_keeps_the_default() -> None:
    some = sampled(built_in(), 4, seed=2)
    assert len(some) == 4
    assert some[0].name == "default"
    assert sampled(built_in(), 100, seed=2) == built_in()
    assert [each.name for each in sampled(built_in(), 1, seed=2)] == ["default"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "got none"),
        ({"learning_rat": [1], "gamma": [2]}, "got learning_rat, gamma"),
        ({"learning_rate": 0.1}, r"a list of values of learning_rate.*got 0.1"),
        ({"learning_rate": []}, "a list of values of learning_rate"),
        ({"learning_rate": [-1]}, r"got \{'learning_rate': -1\}"),
        ({"exploration": [{"algorithm": "squarecb", "gamma": 3}]}, "unknown field `gamma`"),
        ({"vw_arguments": [["--no_such=1"]]}, "no_such"),
    ],
)
def test_a_grid_that_is_none_says_why(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Grid(values).candidates()


def test_a_file_that_is_no_grid(tmp_path: Path) -> None:
    path = tmp_path / "grid.json"
    path.write_text('{"relearn": [0, 4]}')
    assert [each.name for each in grid_at(path).candidates()] == ["relearn 0", "relearn 4"]
    path.write_text("[1]")
    with pytest.raises(SetupError, match=r"grid\.json: expected lists of values as JSON"):
        grid_at(path)
    with pytest.raises(SetupError, match=r"none\.json"):
        grid_at(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (PolicySettings(), "default"),
        (PolicySettings(exploration=SquareCB(gamma_scale=10.0)), "squarecb gamma_scale 10"),
        (PolicySettings(exploration=Softmax(lambda_=5.0)), "softmax lambda 5"),
        (PolicySettings(vw_arguments=["--coin"], relearn=0), "relearn 0, --coin"),
        (
            PolicySettings(interactions=[["context", "action"], ["action", "action"]]),
            "interactions context*action + action*action",
        ),
    ],
)
def test_settings_are_named_by_what_differs(settings: PolicySettings, name: str) -> None:
    assert described(settings) == candidate(settings).name == name


def test_a_candidate_may_have_a_name_of_its_own() -> None:
    assert candidate(Candidate("mine", PolicySettings())).name == "mine"
