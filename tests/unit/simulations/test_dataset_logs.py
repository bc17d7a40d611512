"""Data sets by their name, and the Open Bandit format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit.errors import InvalidInputError, SetupError
from bandit.settings import Settings
from simulations import datasets
from simulations.logs.open_bandit import (
    CAMPAIGNS,
    LOGGED_BY,
    Campaign,
    LoggedBy,
    OpenBanditLog,
    ThompsonSampler,
)
from simulations.logs.rows import Logged
from tests.unit.simulations.test_log_readers import causes, read


@pytest.mark.parametrize("campaign", CAMPAIGNS)
@pytest.mark.parametrize("logged_by", LOGGED_BY)
def test_the_packed_sample_is_the_csv(shared_data: Path, logged_by: LoggedBy, campaign: Campaign) -> None:
    folder = shared_data / "open-bandit-sample" / logged_by / campaign
    if not folder.is_dir():
        pytest.skip(f"no Open Bandit sample in {folder.absolute()}")
    log = OpenBanditLog.from_csv(folder / f"{campaign}.csv.gz", folder / "item_context.csv.gz")
    packed = OpenBanditLog.sample(logged_by, campaign)
    for one, other in zip(log.chunks(), packed.chunks(), strict=True):
        assert not one.problems
        assert not other.problems
        assert list(map(without_logger, one.rows)) == list(map(without_logger, other.rows))
        assert {row.context["position"] for row in one.rows} == {1, 2, 3}
        assert any("affinity" in row.context for row in one.rows)


def without_logger(row: Logged) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in Logged.__struct_fields__ if name not in ("logger", "pmf"))


def test_the_sample_has_the_clicks_that_were_published() -> None:
    clicks = {}
    for one in datasets.CATALOGUE[1:]:
        rows, problems = read(datasets.log(one.name, Settings()))
        assert (len(rows), len(problems), {len(row.actions) for row in rows}) == (one.rows, 0, {one.actions})
        clicks[one.name.removeprefix("open-bandit/")] = sum(row.reward for row in rows)
    assert clicks == {"random/all": 38, "random/men": 46, "bts/all": 42, "bts/men": 69}


@pytest.mark.parametrize(("campaign", "items"), [("all", 80), ("men", 34)])
def test_the_thompson_sampler_is_a_policy(campaign: Campaign, items: int) -> None:
    policy = ThompsonSampler(campaign)
    log = OpenBanditLog.sample("random", campaign)
    offered = next(log.chunks()).rows[0].actions
    table = np.array([policy.distribution({"position": place}, offered) for place in (1, 2, 3)])
    assert table.shape == (3, items)
    assert table.sum(axis=1) == pytest.approx([1.0, 1.0, 1.0], abs=1e-9)
    rows = [row for chunk in log.chunks() for row in chunk.rows]
    weights = [table[row.context["position"] - 1, row.chosen] / row.probability for row in rows]
    ips = sum(weight * row.reward for weight, row in zip(weights, rows, strict=True)) / len(rows)
    published = {"all": 0.00455288, "men": 0.00453356}
    assert ips == pytest.approx(published[campaign], abs=1e-9)


def test_an_open_bandit_csv_needs_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("item_id,position,click\n1,1,0\n")
    with pytest.raises(SetupError, match=r"'timestamp' .* got the columns 'item_id', 'position', 'click'"):
        OpenBanditLog.from_csv(path)
    path.write_text(
        "timestamp,item_id,position,click,propensity_score,user-item_affinity_0,user-item_affinity_1\n"
        "2019-11-24,1,2,0,0.5,0,2\n2019-11-24,2,1,0,0.5,0,0\n2019-11-24,0,1,1,0,0,0\n2019-11-24,0,1\n"
    )
    (good,), problems = read(OpenBanditLog.from_csv(path))
    assert (good.chosen, good.context) == (1, {"position": 2, "affinity": {"1": 2.0}})
    assert causes(problems) == {
        2: "action not offered", 3: "probability zero or below", 4: "probability not a number",
    }  # fmt: skip


def test_hillstrom_is_a_log(shared_data: Path, tmp_path: Path) -> None:
    settings = Settings(shared_data=shared_data, data_dir=tmp_path)
    if not (shared_data / "hillstrom").is_dir():
        pytest.skip(f"no Hillstrom data in {shared_data.absolute()}")
    log = datasets.log("hillstrom", settings)
    rows = [row for chunk in log.chunks() for row in chunk.rows]
    assert len(rows) == len({row.subject for row in rows}) == 64_000
    men = [row.reward for row in rows if row.actions[row.chosen].action_id == "Mens E-Mail"]
    assert round(sum(men) / len(men), 4) == 0.1828
    assert {(row.probability, log.reward_range) for row in rows} == {(1 / 3, (0.0, 1.0))}
    spend = datasets.log("hillstrom", settings, reward="spend")
    assert max(row.reward for chunk in spend.chunks() for row in chunk.rows) == 499.0
    assert spend.reward_range is None


@pytest.mark.parametrize(
    ("name", "reward", "named"),
    [
        ("nothing", None, "one of hillstrom, open-bandit/random/all"),
        ("hillstrom", "fun", "one of visit, conversion"),
        ("open-bandit/bts/all", "visit", "one of click"),
    ],
)
def test_a_data_set_that_is_not_there_is_named(name: str, reward: str | None, named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        datasets.log(name, Settings(), reward=reward)
