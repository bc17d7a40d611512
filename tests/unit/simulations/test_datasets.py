from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from bandit import features
from bandit.errors import SetupError
from bandit.settings import Settings
from simulations import datasets
from simulations.datasets import HILLSTROM_ACTIONS, hillstrom, parse_hillstrom

_HEADER = "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend"
_CSV = "\n".join(
    [
        _HEADER,
        "10,2) $100 - $200,142.44,1,0,Surburban,0,Phone,Womens E-Mail,0,0,0",
        '6,"3) $200 - $350",329.08,1,1,Rural,1,Web,No E-Mail,1,1,29.99',
    ]
)


def test_rows_are_typed() -> None:
    first, second = parse_hillstrom(_CSV.splitlines())
    assert first.context == {
        "recency": 10,
        "history_segment": "2) $100 - $200",
        "history": 142.44,
        "mens": True,
        "womens": False,
        "zip_code": "Surburban",
        "newbie": False,
        "channel": "Phone",
    }
    assert (first.action_id, first.visit, first.conversion, first.spend) == (
        "Womens E-Mail",
        False,
        False,
        0.0,
    )
    assert (second.action_id, second.visit, second.conversion, second.spend) == (
        "No E-Mail",
        True,
        True,
        29.99,
    )
    features.check(first.context, "context")


@pytest.mark.parametrize(
    ("old", "new"),
    [("142.44", "much"), (",1,0,Surb", ",yes,0,Surb"), ("Womens E-Mail", "Fax"), ("newbie", "novice")],
)
def test_a_row_that_does_not_read_is_named(old: str, new: str) -> None:
    with pytest.raises(SetupError, match="row 1: expected"):
        parse_hillstrom(_CSV.replace(old, new).splitlines())


@pytest.mark.parametrize("packed", [False, True])
def test_another_file_is_refused(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "hillstrom.csv"
    path.write_bytes(gzip.compress(_CSV.encode()) if packed else _CSV.encode())
    with pytest.raises(SetupError, match=r"hillstrom\.csv: expected .* sha256 27bab8c5.* got \d+ bytes"):
        hillstrom(path, Settings(data_dir=tmp_path))


def test_a_damaged_cached_copy_is_refused(tmp_path: Path) -> None:
    cached = tmp_path / "datasets" / "hillstrom.csv"
    cached.parent.mkdir()
    cached.write_text(_CSV)
    with pytest.raises(SetupError, match="It was not used"):
        hillstrom(None, Settings(data_dir=tmp_path, shared_data=tmp_path / "none"))


@pytest.mark.parametrize("content", [None, b"\x1f\x8bbroken"])
def test_an_unreadable_path_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "given.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError, match=r"expected a readable CSV .*given\.csv"):
        hillstrom(path, Settings(data_dir=tmp_path))


def test_no_network_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "HILLSTROM_URL", "http://127.0.0.1:9/hillstrom.csv")  # the discard port
    with pytest.raises(SetupError, match=r"expected to download .* --path"):
        hillstrom(None, Settings(data_dir=tmp_path, shared_data=tmp_path / "none"))
    assert not (tmp_path / "datasets").exists()


def test_the_real_file(tmp_path: Path) -> None:
    shared = Settings().shared_data
    if not (shared / "hillstrom" / "hillstrom.csv.gz").exists():
        pytest.skip(
            f"no Hillstrom data in {shared.absolute()}; download it from {datasets.HILLSTROM_URL}, gzip it "
            "to hillstrom/hillstrom.csv.gz in a folder and name that folder by SEGBANDIT_SHARED_DATA"
        )
    customers = hillstrom(None, Settings(data_dir=tmp_path, shared_data=shared))
    assert len(customers) == 64_000
    rates = {}
    for action_id in HILLSTROM_ACTIONS:
        visits = [customer.visit for customer in customers if customer.action_id == action_id]
        rates[action_id] = round(sum(visits) / len(visits), 4)
    assert rates == {"Mens E-Mail": 0.1828, "Womens E-Mail": 0.1514, "No E-Mail": 0.1062}
