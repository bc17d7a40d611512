"""A bandit as one process serves it: a configuration and a read-only model, and news of newer ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog

from bandit.db import bandits, models
from bandit.db.pool import CHANGED, Connection, Database, listen
from bandit.errors import ModelRefusedError
from bandit.features import encode_action
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
    #: Whether it serves until something is promoted.
    pinned: bool = False
    #: Since when the oldest reward could have been settled that this model learned and the one that it takes
    #: the place of did not; None: there is none, or somebody pinned that one.
    oldest_ready_at: datetime | None = None

    @property
    def size(self) -> int:
        """The memory that its model takes, in bytes."""
        return 0 if self.policy is None else self.policy.model.size

    def close(self) -> None:
        """Free the model."""
        if self.policy is not None:
            self.policy.model.close()


async def load(database: Database, bandit_key: str, *, instead_of: Serving | None = None) -> Serving:
    """The bandit under its current configuration with its newest model; `instead_of` is what it replaces.

    Raises:
        NotFoundError: no such bandit.
    """
    async with database.snapshot() as connection:
        bandit = await bandits.get(connection, bandit_key)
        served = (await models.served(connection, [bandit_key]))[bandit_key]
        try:
            policy = await served_policy(connection, bandit, served.model_version)
        except ModelRefusedError as error:
            _log.error(
                "model refused",
                bandit_key=bandit_key,
                model_version=served.model_version,
                error=error.message,
            )
            policy = None
        oldest = None
        if policy is not None and instead_of is not None and not instead_of.pinned:
            oldest = await models.oldest_ready(
                connection, bandit_key, after=instead_of.model_version, through=served.model_version
            )
    if policy is not None:
        policy.model.prepare(map(encode_action, bandit.config.actions))
    return Serving(bandit, policy, served.model_version, served.pinned, oldest)


async def served_policy(connection: Connection, bandit: Bandit, model_version: int) -> VwPolicy:
    """The policy of this model version under this configuration, whose exploration it takes.

    Raises:
        ModelRefusedError: its bytes are not kept, or not what they were.
    """
    settings = bandit.config.policy
    if model_version == 0:
        return VwPolicy(Model.read_only_untrained(settings), settings.exploration, learned=0)
    model = await models.lineage(connection, bandit.bandit_key, model_version)
    loaded = Model.read_only(await models.weights(connection, model), model.sha256, settings)
    return VwPolicy(loaded, settings.exploration, model.learned)


async def saved_policy(database: Database, bandit_key: str, model_version: int) -> tuple[VwPolicy, datetime]:
    """The policy of a published version under the configuration it was learned by, and when that was.

    It has learned nothing of decisions that were made after that.

    Raises:
        NotFoundError: no such bandit or version.
        ModelRefusedError: its bytes are not kept, or not what they were.
    """
    async with database.snapshot() as connection:
        model = await models.lineage(connection, bandit_key, model_version)
        bandit = await bandits.get(connection, bandit_key, config_version=model.config_version)
        return await served_policy(connection, bandit, model_version), model.created_at


async def outdated(database: Database, servings: Iterable[Serving]) -> list[str]:
    """Keys of those bandits of which there is a newer configuration or model; one question for all."""
    held = {
        s.bandit.bandit_key: models.Served(
            config_version=s.bandit.config_version,
            model_version=s.model_version,
            pinned=s.pinned,
            archived=s.bandit.archived,
        )
        for s in servings
    }
    async with database.connection() as connection:
        return await models.outdated(connection, held)


async def watch(database: Database, changed: Callable[[str], None], ready: Callable[[], None]) -> None:
    """Call `changed` with the key of each bandit whose configuration or model may have changed, for ever.

    `ready` is called once changes are heard of, and again whenever some may have been missed.
    """
    await listen(database.url, CHANGED, heard=changed, ready=ready)
