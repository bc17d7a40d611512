"""A bandit as one process serves it: a configuration and a read-only model, and news of newer ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from bandit.db import bandits, training
from bandit.db.pool import CHANGED, Connection, Database, listen
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


async def load(
    database: Database,
    bandit_key: str,
    *,
    config_version: int | None = None,
    model_version: int | None = None,
) -> Serving:
    """The bandit under its current configuration with its newest model, or as it was under these versions.

    Raises:
        NotFoundError: no such bandit.
    """
    async with database.connection() as connection:
        bandit = await bandits.get(connection, bandit_key, config_version=config_version)
        if model_version is None:
            newest = await training.latest(connection, bandit_key)
            model_version = newest.model.model_version if newest else 0
        return Serving(bandit, await _policy(connection, bandit, model_version), model_version)


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


async def _policy(connection: Connection, bandit: Bandit, model_version: int) -> VwPolicy | None:
    try:
        if model_version == 0:
            return VwPolicy(Model.untrained(bandit.config.policy))
        return VwPolicy(
            Model.from_bytes(*await training.weights(connection, bandit.bandit_key, model_version))
        )
    except (ModelRefusedError, RuntimeError) as error:  # RuntimeError: Vowpal Wabbit's own words
        _log.error(
            "model refused", bandit_key=bandit.bandit_key, model_version=model_version, error=str(error)
        )
        return None
