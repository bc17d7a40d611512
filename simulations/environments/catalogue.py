"""Environments by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bandit.errors import InvalidInputError
from bandit.settings import Settings
from simulations import datasets
from simulations.environments import supervised
from simulations.environments.adversarial import Adversary, Flipped
from simulations.environments.cold_start import ColdStart
from simulations.environments.contract import Environment
from simulations.environments.delayed import Delayed
from simulations.environments.fitted import fit
from simulations.environments.flip import Flip
from simulations.environments.new_actions import NewActions
from simulations.environments.personas import Personas
from simulations.logs.named import log_at


class Entry(NamedTuple):
    """An environment that can be named."""

    sentence: str
    make: Callable[[Settings], Environment]


CATALOGUE: dict[str, Entry] = {
    "personas": Entry("A storefront's visitors of five hidden personas, five banners.", lambda _: Personas()),
    "drift": Entry(
        "The same visitors, whose shares and tastes move from 30 % to 70 % of the run.",
        lambda _: Personas(name="drift", drift=True),
    ),
    "flip": Entry(
        "The same visitors; half-way each banner starts to earn what the next one earned before.",
        lambda _: Flip(Personas()),
    ),
    "delayed": Entry(
        "The same visitors; conversions are reported late, a fifth of them never, and no others.",
        lambda _: Delayed(Personas()),
    ),
    "cold-start": Entry(
        "Every subject is new, and new shops keep opening; some differ from their region.",
        lambda _: ColdStart(),
    ),
    "new-actions": Entry(
        "A catalogue of articles that grows from three to eight while it is served.", lambda _: NewActions()
    ),
    "noisy": Entry(
        "The storefront with unclear traces, and a tenth of the rewards reported the wrong way round.",
        lambda _: Flipped(Personas(blur=0.2)),
    ),
    "adversary": Entry(
        "The storefront; for the first tenth of the run the best banner's clicks are hidden.",
        lambda _: Adversary(Personas()),
    ),
    "digits": Entry("Handwritten digits as a bandit of ten actions.", lambda _: supervised.digits()),
    "satimage": Entry("Six kinds of soil by 36 satellite readings, as a bandit.", supervised.satimage),
    "hillstrom": Entry(
        "A world fitted to Hillstrom's e-mail test: three e-mails, a visit is the reward.",
        lambda settings: fit(datasets.log("hillstrom", settings), name="hillstrom"),
    ),
}


def environment(name: str, settings: Settings | None = None, *, label: str = "label") -> Environment:
    """One of the catalogue; the labelled data of a CSV file; or a world fitted to a log (Parquet, dsjson).

    Raises:
        InvalidInputError: there is none by that name.
        SetupError: its data cannot be read.

    >>> environment("delayed").config.reward_wait
    60.0
    """
    if name in CATALOGUE:
        return CATALOGUE[name].make(settings or Settings())
    if name.endswith((".csv", ".csv.gz")):
        return supervised.from_csv(Path(name), label)
    if name.endswith((".parquet", ".dsjson", ".dsjson.gz")):
        return fit(log_at(Path(name)))
    raise InvalidInputError(
        f"environment: expected one of {', '.join(CATALOGUE)}, a CSV file of labelled data, or a log "
        f"(.parquet, .dsjson), got {name!r}.",
        target="environment",
    )
