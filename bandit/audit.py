"""Use case: recompute a logged decision from the log alone."""

from __future__ import annotations

from bandit import decide, learner
from bandit.db import bandits, training
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection, Database
from bandit.errors import ModelRefusedError
from bandit.policy import VwPolicy
from bandit.serving import Serving
from bandit.types import Bandit, Decision
from bandit.vw import Model


async def recompute(database: Database, logged: Decision) -> Decision:
    """The decision made again, from the logged request, configuration version and model version.

    It equals the logged one bit for bit, activation aside, unless somebody changed the log.
    """
    serving = await as_of(database, logged.bandit_key, logged.config_version, logged.model_version)
    try:
        return decide.choose(serving, logged.asked, logged.decision_id, logged.decided_at)
    finally:
        serving.close()


async def as_of(database: Database, bandit_key: str, config_version: int, model_version: int) -> Serving:
    """The bandit as it was served under these versions; a pruned model is folded again from the log.

    Raises:
        NotFoundError: there are no such versions.
    """
    async with database.connection() as connection:
        bandit = await bandits.get(connection, bandit_key, config_version=config_version)
        return Serving(bandit, await _policy(connection, bandit, model_version), model_version)


async def _policy(connection: Connection, bandit: Bandit, model_version: int) -> VwPolicy:
    if model_version == 0:
        return VwPolicy(Model.untrained(bandit.config.policy))
    try:
        return VwPolicy(
            Model.from_bytes(*await training.weights(connection, bandit.bandit_key, model_version))
        )
    except ModelRefusedError:
        model = await training.lineage(connection, bandit.bandit_key, model_version)
        then = await bandits.get(connection, bandit.bandit_key, config_version=model.config_version)
        return (await learner.folded(connection, ConfigCache(), then, model.trained_through_seq)).policy
