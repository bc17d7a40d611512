"""Environments by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bandit.errors import InvalidInputError
from bandit.settings import Settings
from bandit.types import Action
from simulations import datasets
from simulations.environments import supervised
from simulations.environments.adversarial import Adversary, Flipped
from simulations.environments.cold_start import ColdStart
from simulations.environments.contract import Environment
from simulations.environments.delayed import Delayed
from simulations.environments.fitted import fit
from simulations.environments.new_actions import NewActions
from simulations.environments.personas import Personas
from simulations.logs.rows import Chunk, Logged


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
        lambda settings: fit(Hillstrom(settings)),
    ),
}


def environment(name: str, settings: Settings | None = None, *, label: str = "label") -> Environment:
    """An environment of the catalogue, or the labelled data of a CSV file (`.csv`, `.csv.gz`).

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
    raise InvalidInputError(
        f"environment: expected one of {', '.join(CATALOGUE)} or a CSV file of labelled data, got {name!r}.",
        target="environment",
    )


class Hillstrom:
    """Hillstrom's e-mail test as a log: who got which e-mail, at random, and who came to the site."""

    name = "hillstrom"
    reward_range = (0.0, 1.0)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def chunks(self) -> Iterator[Chunk]:
        """See `Log`; all of it in one."""
        actions = [Action(action_id=action_id) for action_id in datasets.HILLSTROM_ACTIONS]
        yield Chunk(
            [
                Logged(
                    row=number,
                    decision_id=str(number),
                    context=customer.context,
                    actions=actions,
                    chosen=datasets.HILLSTROM_ACTIONS.index(customer.action_id),
                    probability=1.0 / len(actions),
                    reward=float(customer.visit),
                )
                for number, customer in enumerate(datasets.hillstrom(None, self._settings), start=1)
            ],
            [],
        )
