"""Use case: recompute a logged decision from the log alone."""

from __future__ import annotations

from bandit import decide, serving
from bandit.db.pool import Database
from bandit.types import Decision


async def recompute(database: Database, logged: Decision) -> Decision:
    """The decision made again, from the logged request, configuration version and model version.

    It equals the logged one bit for bit, activation aside, unless somebody changed the log.
    """
    served = await serving.load(
        database, logged.bandit_key, config_version=logged.config_version, model_version=logged.model_version
    )
    try:
        return decide.choose(served, logged.asked, logged.decision_id, logged.decided_at)
    finally:
        served.close()
