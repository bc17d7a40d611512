"""A bandit as one process serves it: a configuration and a read-only model, and news of newer ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from bandit.db import bandits, training
from bandit.db.pool import CHANGED, Database, listen
from bandit.errors import ModelRefusedError
from bandit.policy import VwPolicy
from bandit.types import Bandit
from bandit.vw import Model

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Serving:
    """A bandit as one process serves it: a configuration and a model that nobody changes."""

    bandit: Bandit
    #: None where the model could not be loaded: the baseline is served.
    policy: VwPolicy | None
    model_version: int

    def close(self) -> None:
        """Free the model."""
        if self.policy is not None:
            self.policy.model.close()


async def load(database: Database, bandit_key: str) -> Serving:
    """The bandit under its current configuration with its newest model.

    Raises:
        NotFoundError: no such bandit.
    """
    model_version = 0
    try:
        async with database.connection() as connection:
            bandit = await bandits.get(connection, bandit_key)
            newest = await training.latest(connection, bandit_key)
            stored = None
            if newest is not None:
                model_version = newest.model.model_version
                stored = await training.weights(connection, bandit_key, model_version)
        model = Model.untrained(bandit.config.policy) if stored is None else Model.from_bytes(*stored)
    except ModelRefusedError as error:
        _log.error("model refused", bandit_key=bandit_key, model_version=model_version, error=error.message)
        return Serving(bandit, None, model_version)
    return Serving(bandit, VwPolicy(model), model_version)


async def outdated(database: Database, servings: Iterable[Serving]) -> list[str]:
    """Keys of those bandits of which there is a newer configuration or model."""
    served = {
        s.bandit.bandit_key: (s.bandit.config_version, s.model_version, s.bandit.archived) for s in servings
    }
    async with database.connection() as connection:
        newest = await training.newest_versions(connection, list(served))
    return [key for key, versions in newest.items() if versions != served[key]]


async def watch(database: Database, changed: Callable[[], None]) -> None:
    """Call `changed` whenever some bandit's configuration or model may have changed, for ever."""
    await listen(database.url, CHANGED, heard=lambda _: changed(), ready=changed)
