"""Public data sets: found or downloaded, verified, and read into typed rows and logs."""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

import httpx2

from bandit.errors import InvalidInputError, SetupError
from bandit.settings import Settings
from bandit.types import Action, Features, Value
from simulations.logs import check
from simulations.logs.open_bandit import CAMPAIGNS, LOGGED_BY, OpenBanditLog
from simulations.logs.rows import Chunk, Log, Logged

HILLSTROM_URL = "http://www.minethatdata.com/Kevin_Hillstrom_MineThatData_E-MailAnalytics_DataMiningChallenge_2008.03.20.csv"
#: Of the uncompressed CSV, 64,000 rows.
HILLSTROM_SHA256 = "27bab8c5d3669f26ec08ebb50a0a78317542f29501156f2e2af6781fab4cd7e2"
#: The three e-mails, each sent with probability 1/3.
HILLSTROM_ACTIONS = ("Mens E-Mail", "Womens E-Mail", "No E-Mail")

_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
_MAX_BYTES = 64 * 2**20
#: Bytes received, and bytes expected if the server says.
Progress = Callable[[int, int | None], None]

Outcome = Literal["visit", "conversion", "spend"]


class Dataset(Value, frozen=True, kw_only=True):
    """A data set that can be had by its name."""

    name: str
    rows: int
    actions: int
    about: str
    #: Where it comes from, to be cited.
    source: str


_SAMPLES = {
    f"open-bandit/{logged_by}/{campaign}": (logged_by, campaign)
    for logged_by in LOGGED_BY
    for campaign in CAMPAIGNS
}
_POLICIES = {"random": "a uniform policy", "bts": "Thompson sampling"}
_OPEN_BANDIT = [
    Dataset(
        name=name,
        rows=10_000,
        actions={"all": 80, "men": 34}[campaign],
        about=f"clicks on a fashion shop's page, campaign {campaign!r}, logged by {_POLICIES[logged_by]}",
        source="Open Bandit Dataset, Saito et al., arXiv 2008.07146",
    )
    for name, (logged_by, campaign) in _SAMPLES.items()
]
#: All there are.
CATALOGUE = [
    Dataset(
        name="hillstrom",
        rows=64_000,
        actions=3,
        about="a randomized test of e-mails; rewards visit, conversion, spend",
        source="Kevin Hillstrom, MineThatData, 2008",
    ),
    *_OPEN_BANDIT,
]


class Customer(Value, frozen=True, kw_only=True):
    """One customer of Hillstrom's e-mail test."""

    #: recency (months), history_segment, history (dollars), mens, womens, zip_code, newbie, channel.
    context: Features
    #: The e-mail that was sent, one of HILLSTROM_ACTIONS.
    action_id: str
    #: Within two weeks: came to the site, bought, and for how many dollars.
    visit: bool
    conversion: bool
    spend: float


def hillstrom(path: Path | None, settings: Settings, *, progress: Progress | None = None) -> list[Customer]:
    """Kevin Hillstrom's MineThatData e-mail test (2008): 64,000 customers, e-mails assigned at random.

    Taken from `path` (CSV, plain or gzipped), else the shared data, else the copy downloaded earlier, else
    downloaded now into `settings.data_dir`. Wherever it comes from, its checksum is verified first.

    Raises:
        SetupError: it cannot be read or downloaded, or is not the file that the checksum names.

    >>> hillstrom(Path("/dev/null"), Settings())
    Traceback (most recent call last):
    bandit.errors.SetupError: ...
    """
    cached = settings.data_dir / "datasets" / "hillstrom.csv"
    shared = settings.shared_data / "hillstrom" / "hillstrom.csv.gz"
    found = path or next((place for place in (shared, cached) if place.exists()), None)
    if found is not None:
        data = _read(found)
        _verify(data, str(found))
    else:
        data = _download(HILLSTROM_URL, progress)
        _verify(data, HILLSTROM_URL)
        _store(data, cached)
    return parse_hillstrom(data.decode().splitlines())


class HillstromLog:
    """Hillstrom's test as a log: three e-mails, each with probability 1/3; every customer is a subject."""

    def __init__(
        self, customers: Iterable[Customer], outcome: Outcome = "visit", chunk: int = 10_000
    ) -> None:
        self.name = f"hillstrom ({outcome})"
        #: What a customer may spend has no upper end.
        self.reward_range = None if outcome == "spend" else (0.0, 1.0)
        self._customers = list(customers)
        self._outcome = outcome
        self._chunk = chunk

    def chunks(self) -> Iterator[Chunk]:
        """See `Log`."""
        actions = [Action(action_id=action_id) for action_id in HILLSTROM_ACTIONS]
        share = 1.0 / len(actions)
        rows = (
            Logged(
                row=row,
                decision_id=str(row),
                subject=str(row),
                context=customer.context,
                actions=actions,
                chosen=HILLSTROM_ACTIONS.index(customer.action_id),
                probability=share,
                pmf=[share] * len(actions),
                reward=float(getattr(customer, self._outcome)),
                logger="uniform",
            )
            for row, customer in enumerate(self._customers, start=1)
        )
        return check.chunked(map(check.checked, rows), self._chunk, self.reward_range)


def log(
    name: str,
    settings: Settings,
    *,
    path: Path | None = None,
    reward: str | None = None,
    progress: Progress | None = None,
) -> Log:
    """A data set of the `CATALOGUE` as a log; `path` and `progress` as for `hillstrom`.

    `reward` chooses among several outcomes: visit (the default), conversion or spend of hillstrom.

    Raises:
        InvalidInputError: there is none by that name, or no such reward.
        SetupError: it cannot be had.

    >>> log("open-bandit/bts/men", Settings()).reward_range
    (0.0, 1.0)
    """
    outcomes = get_args(Outcome) if name == "hillstrom" else ("click",)
    if reward is not None and reward not in outcomes:
        raise InvalidInputError(
            f"reward: expected one of {', '.join(outcomes)}, got {reward!r}.", target="reward"
        )
    if name == "hillstrom":
        outcome: Outcome = reward or "visit"  # type: ignore[assignment]  # just looked at
        return HillstromLog(hillstrom(path, settings, progress=progress), outcome)
    if name not in _SAMPLES:
        names = ", ".join(one.name for one in CATALOGUE)
        raise InvalidInputError(f"dataset: expected one of {names}, got {name!r}.", target="dataset")
    return OpenBanditLog.sample(*_SAMPLES[name])


def parse_hillstrom(lines: Iterable[str]) -> list[Customer]:
    """Rows of the CSV, header first.

    Raises:
        SetupError: a column is missing or a field does not read as what it should be; names the row.

    >>> columns = "recency,history_segment,history,mens,womens,zip_code,newbie,channel"
    >>> lines = [
    ...     f"{columns},segment,visit,conversion,spend",
    ...     "10,2) $100 - $200,142.44,1,0,Surburban,0,Phone,Womens E-Mail,0,0,0",
    ... ]
    >>> parse_hillstrom(lines)[0].action_id
    'Womens E-Mail'
    """
    customers = []
    for number, row in enumerate(csv.DictReader(lines), start=1):
        try:
            customers.append(_customer(row))
        except (KeyError, ValueError) as error:
            raise SetupError(
                f"row {number}: expected a row of the Hillstrom CSV, got {row} ({error!r})."
            ) from error
    return customers


def _customer(row: dict[str, str]) -> Customer:
    context: Features = {
        "recency": int(row["recency"]),
        "history_segment": row["history_segment"],
        "history": float(row["history"]),
        "mens": _flag(row["mens"]),
        "womens": _flag(row["womens"]),
        "zip_code": row["zip_code"],
        "newbie": _flag(row["newbie"]),
        "channel": row["channel"],
    }
    if row["segment"] not in HILLSTROM_ACTIONS:
        raise ValueError(f"segment {row['segment']!r}")
    return Customer(
        context=context,
        action_id=row["segment"],
        visit=_flag(row["visit"]),
        conversion=_flag(row["conversion"]),
        spend=float(row["spend"]),
    )


def _flag(text: str) -> bool:
    return {"0": False, "1": True}[text]


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise SetupError(f"expected a readable CSV (plain or gzipped) at {path}, got {error}.") from error


def _verify(data: bytes, origin: str) -> None:
    got = hashlib.sha256(data).hexdigest()
    if got != HILLSTROM_SHA256:
        raise SetupError(
            f"{origin}: expected the Hillstrom CSV with sha256 {HILLSTROM_SHA256}, got {len(data)} bytes "
            f"with sha256 {got}. It was not used; remove or replace it, or name an intact copy with --path."
        )


def _download(url: str, progress: Progress | None) -> bytes:
    received = bytearray()
    try:
        with httpx2.stream("GET", url, timeout=_TIMEOUT, follow_redirects=True) as answer:
            answer.raise_for_status()
            length = answer.headers.get("Content-Length", "")
            expected = (
                int(length) if length.isdecimal() and "Content-Encoding" not in answer.headers else None
            )
            for chunk in answer.iter_bytes():
                received += chunk
                if len(received) > _MAX_BYTES:
                    raise SetupError(
                        f"{url}: expected at most {_MAX_BYTES} bytes, got more; it was not used."
                    )
                if progress is not None:
                    progress(len(received), expected)
    except httpx2.HTTPError as error:
        status = error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else None
        got = f"status {status}" if status else f"{type(error).__name__}: {error}"
        raise SetupError(
            f"expected to download the data set from {url}, got {got}. "
            "Fetch it by other means and name it with --path."
        ) from error
    return bytes(received)


def _store(data: bytes, cached: Path) -> None:
    partial = cached.with_suffix(".partial")
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(cached)  # whole or not at all, even if this process is killed
    except OSError as error:
        raise SetupError(
            f"expected to keep the data set at {cached}, got {error}; see --data-dir."
        ) from error
