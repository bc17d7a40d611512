"""Labelled data turned into a bandit: the actions are the labels, and the right one earns 1."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bandit.errors import SetupError
from bandit.settings import Settings
from bandit.types import Action, BanditConfig, Features
from simulations.environments.contract import PER_SECOND, Outcome, Round, configured


@dataclass(frozen=True)
class Supervised:
    """Each row once, in the order of numpy's RandomState(seed).permutation.

    >>> world = Supervised("fruit", [{"red": True}, {"red": False}], ["apple", "pear"])
    >>> sorted(one.expected for one in world.rounds(10, seed=1))
    [(0.0, 1.0), (1.0, 0.0)]
    """

    name: str
    #: One for each row.
    contexts: Sequence[Features]
    labels: Sequence[str]

    @cached_property
    def config(self) -> BanditConfig:
        """See `Environment`."""
        return configured([Action(action_id=label) for label in sorted(set(self.labels))])

    @property
    def limit(self) -> int:
        """See `Environment`; as many as there are rows."""
        return len(self.labels)

    def rounds(self, count: int, seed: int) -> Iterator[Round]:
        """See `Environment`."""
        actions = self.config.actions
        for index, row in enumerate(np.random.RandomState(seed).permutation(len(self.labels))[:count]):
            earned = tuple([float(action.action_id == self.labels[row]) for action in actions])
            yield Round(
                at=index / PER_SECOND,
                subject=f"row-{row + 1}",
                context=self.contexts[row],
                actions=actions,
                expected=earned,
                settled=earned,
                outcomes=tuple([Outcome(reward, reward) for reward in earned]),
            )


def from_csv(path: Path, label: str = "label", name: str | None = None) -> Supervised:
    """A CSV with a header, plain or gzipped; columns of numbers are scaled to [0, 1], others are categories.

    Empty fields are left out of the context.

    Raises:
        SetupError: it cannot be read, or has no such column, or fewer than two labels.
    """
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise SetupError(f"expected a readable CSV (plain or gzipped) at {path}, got {error}.") from error
    short = next((number for number, row in enumerate(rows, 2) if None in row or None in row.values()), None)
    if short is not None:
        raise SetupError(f"{path}: expected as many fields as the header has, got others in record {short}.")
    labels = [row.pop(label, "") for row in rows]
    if len(set(labels)) < 2 or "" in labels:
        raise SetupError(
            f"{path}: expected a label in each row, in column {label!r}, and at least two different ones, "
            f"got {sorted(set(labels))[:5]} in {len(rows)} rows. Name the column with --label."
        )
    contexts: list[Features] = [{} for _ in rows]
    for column in rows[0]:
        for context, field in zip(contexts, _read([row[column] for row in rows]), strict=True):
            if field is not None:
                context[column] = field
    return Supervised(name or path.name, contexts, labels)


def digits() -> Supervised:
    """The 1,797 handwritten digits of scikit-learn: 64 pixels, ten classes.

    Raises:
        SetupError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise SetupError(
            f"digits: expected scikit-learn, which brings them, got {error}. Run: pip install scikit-learn."
        ) from error
    data = load_digits()
    pixels = np.asarray(data.data)
    scaled = (pixels - pixels.min(axis=0)) / np.maximum(np.ptp(pixels, axis=0), 1e-300)
    contexts: list[Features] = [{f"x{i}": float(v) for i, v in enumerate(row)} for row in scaled]
    return Supervised("digits", contexts, [f"digit-{label}" for label in data.target])


def satimage(settings: Settings) -> Supervised:
    """UCI Statlog (Landsat Satellite), 6,435 rows of 36 numbers, six classes; from the shared data.

    Raises:
        SetupError: it is not there.
    """
    return from_csv(settings.shared_data / "satimage" / "satimage.csv.gz", name="satimage")


def _read(column: Sequence[str]) -> list[float | str | None]:
    try:
        numbers = np.array([float(field) if field else np.nan for field in column])
    except ValueError:
        return [field or None for field in column]
    known = numbers[~np.isnan(numbers)]
    if not len(known) or not np.isfinite(known).all():
        return [field or None for field in column]
    low, size = known.min(), np.ptp(known) or 1.0
    return [None if np.isnan(each) else float((each - low) / size) for each in numbers]
