"""The format of the Open Bandit Dataset (Saito et al. 2021, arXiv 2008.07146), and the sample of it here.

Each round fills one of three positions of a page with one of some items; the reward is a click.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal, get_args

from bandit import dsjson, parquet
from bandit.types import Action, Features
from simulations.logs import check, values
from simulations.logs.rows import Chunk, Logged, Problem

#: Which policy logged it, and on which page: all items (80), or men's (34).
LoggedBy = Literal["random", "bts"]
Campaign = Literal["all", "men"]
LOGGED_BY: tuple[LoggedBy, ...] = get_args(LoggedBy)
CAMPAIGNS: tuple[Campaign, ...] = get_args(Campaign)

AFFINITY = "user-item_affinity_"
USER_FEATURES = [f"user_feature_{i}" for i in range(4)]
ITEM_FEATURES = [f"item_feature_{i}" for i in range(4)]
_NEEDED = ["timestamp", "item_id", "position", "click", "propensity_score"]
_HOW = "Give a CSV of the Open Bandit Dataset, or read yours with a column map (CSV)."
_FOLDER = "data/open_bandit"
Fields = Mapping[str, Any]


class OpenBanditLog:
    """Rounds whose actions are the items; `position`, from 1, stands in the context.

    So do the user's features, and under `affinity` those of the items that are not 0. An item's `action_id`
    is its number.
    """

    reward_range = (0.0, 1.0)

    def __init__(
        self,
        rows: Callable[[], Iterator[Fields]],
        items: Sequence[Action],
        *,
        name: str,
        logger: str = "",
        chunk: int = 10_000,
    ) -> None:
        self.name = name
        self._rows = rows
        self._items = list(items)
        self._places = {item.action_id: place for place, item in enumerate(items)}
        self._logger = logger
        self._chunk = chunk
        #: Thompson sampling's whole distributions were not logged.
        self._pmf = [1.0 / len(items)] * len(items) if logger == "random" else None

    @classmethod
    def from_csv(cls, path: Path, item_context: Path | None = None) -> OpenBanditLog:
        """A CSV of the data set, gzipped or not, and the items' features, if there are.

        Raises:
            SetupError: one cannot be read, or a column is missing.
        """
        header = next(_csv(path), {})
        wanted = _NEEDED if item_context else [*_NEEDED, f"{AFFINITY}0"]
        values.require({name: name for name in wanted}, header, str(path), _HOW)
        if item_context is not None:
            described = next(_csv(item_context), {})
            values.require({"item": "item_id"}, described, str(item_context), _HOW)
            items = [_item(fields) for fields in _csv(item_context)]
        else:
            count = sum(name.startswith(AFFINITY) for name in header)
            items = [Action(action_id=str(number)) for number in range(count)]
        return cls(lambda: _csv(path), items, name=path.name)

    @classmethod
    def sample(cls, logged_by: LoggedBy, campaign: Campaign) -> OpenBanditLog:
        """The 10,000 rounds that stand in the project.

        >>> log = OpenBanditLog.sample("random", "men")
        >>> sum(row.reward for chunk in log.chunks() for row in chunk.rows)
        46.0
        """
        name = f"{logged_by}_{campaign}"
        items = [_item(fields) for fields in _packed(f"{name}_items")]
        return cls(lambda: _packed(name), items, name=f"open-bandit/{logged_by}/{campaign}", logger=logged_by)

    def chunks(self) -> Iterator[Chunk]:
        """See `Log`."""
        return check.chunked(self._found(), self._chunk, self.reward_range)

    def _found(self) -> Iterator[Logged | Problem]:
        for row, fields in enumerate(self._rows(), start=1):
            yield check.checked(
                Logged(
                    row=row,
                    decision_id=str(row),
                    decided_at=values.moment(fields["timestamp"]),
                    context=_context(fields),
                    actions=self._items,
                    chosen=self._places.get(str(fields["item_id"]), -1),
                    probability=values.number(fields["propensity_score"]),
                    pmf=self._pmf,
                    reward=values.number(fields["click"]),
                    logger=self._logger,
                ),
                fields["item_id"],
            )


class ThompsonSampler:
    """The data set's Bernoulli Thompson sampler as a policy: a distribution over the items by position.

    It is that at the sampler's published prior, by 100,000 draws; what it logged has moved on from there.

    >>> policy = ThompsonSampler("men")
    >>> items = [Action(action_id=str(number)) for number in range(34)]
    >>> round(sum(policy.distribution({"position": 1}, items)), 9)
    1.0
    """

    def __init__(self, campaign: Campaign) -> None:
        text = (files("simulations") / _FOLDER / "thompson_sampler.json").read_text()
        #: By item, then position.
        self.probabilities: list[list[float]] = json.loads(text)[campaign]

    def distribution(self, context: Features, actions: Sequence[Action]) -> list[float]:
        """See `bandit.policy.Policy`; the actions are the campaign's items, by their number."""
        return [self.probabilities[int(action.action_id)][context["position"] - 1] for action in actions]


def _context(fields: Fields) -> Features:
    """A field of a CSV is a text; in the packed form affinities that are 0 are left out."""
    affinity = fields.get("affinity")
    if affinity is not None:
        given = dict(zip(map(str, fields["affinity_items"]), affinity, strict=True))
    else:
        columns = [name for name in fields if name and name.startswith(AFFINITY)]
        given = {name.removeprefix(AFFINITY): values.number(fields[name] or 0) for name in columns}
    context: Features = {"position": values.typed(str(fields["position"]))}
    context |= {name: fields[name] for name in USER_FEATURES if fields.get(name)}
    found = {item: value for item, value in given.items() if value}
    return context | ({"affinity": found} if found else {})


def _item(fields: Fields) -> Action:
    features: Features = {name: fields[name] for name in ITEM_FEATURES if fields.get(name) not in (None, "")}
    if ITEM_FEATURES[0] in features:
        features[ITEM_FEATURES[0]] = values.number(features[ITEM_FEATURES[0]])
    return Action(action_id=str(fields["item_id"]), features=features)


def _csv(path: Path) -> Iterator[Fields]:
    with io.TextIOWrapper(dsjson.opened(path), encoding="utf-8", newline="") as file:
        try:
            yield from csv.DictReader(file)
        except (UnicodeError, csv.Error, *dsjson.DAMAGED) as error:
            raise dsjson.unreadable(path, error) from error


def _packed(name: str) -> Iterator[Fields]:
    with as_file(files("simulations") / _FOLDER / f"{name}.parquet") as path:
        for batch in parquet.batches(path, _columns(path), 2_000):
            yield from batch.to_pylist()


def _columns(path: Path) -> list[str]:
    return parquet.describe(path).columns
