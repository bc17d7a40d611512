"""Logged decisions made again, by the very model that made them, and how they differ from what was logged."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from bandit import decide
from bandit.branches import refolded
from bandit.db import bandits, models
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection
from bandit.errors import ArchivedError, ModelRefusedError, NotFoundError
from bandit.policy import VwPolicy
from bandit.serving import Serving, served_policy
from bandit.types import Bandit, Decision, Value

#: Lines of the log that are folded between two looks at other work, where others wait in the same process.
SMALL_CHUNK = 10
#: Of a version that a decision names.
NOT_HERE = "not in this database: an imported log has no models of its original"


class Difference(Value, frozen=True, kw_only=True):
    """Something that is not as the log says it should be."""

    #: Where: a decision and its field, an entry of the training log, a model version, a reward event.
    target: str
    #: What stands in the database.
    logged: Any
    #: What it should be, as far as that can be made again.
    recomputed: Any


class AsServed:
    """A bandit as it was served under logged versions, on a connection that sees one moment."""

    def __init__(self, connection: Connection, bandit_key: str, *, chunk: int) -> None:
        self._connection = connection
        self._bandit_key = bandit_key
        self._chunk = chunk
        self._configs = ConfigCache()
        self._bandits: dict[int, Bandit] = {}
        #: What was served under a configuration and a model version; None: that was archived.
        self._last: tuple[tuple[int, int], Serving | None] | None = None

    async def at(self, config_version: int, model_version: int) -> Serving | None:
        """What was served under these versions; a pruned model is folded again from the log.

        None: that was archived. What was asked for last is kept at hand: decisions come by their versions.

        Raises:
            NotFoundError: there is no such version.
        """
        if self._last is None or self._last[0] != (config_version, model_version):
            self.close()
            bandit = await self.bandit(config_version)
            serving = None
            with suppress(ArchivedError):
                serving = Serving(bandit, await self._policy(bandit, model_version), model_version)
            self._last = ((config_version, model_version), serving)
        return self._last[1]

    async def of(self, decision: Decision) -> Serving | None:
        """What made this decision; see `at`."""
        try:
            return await self.at(decision.config_version, decision.model_version)
        except NotFoundError as error:
            raise NotFoundError(
                f"decision {decision.decision_id}: expected one whose model and configuration are in this "
                f"database, got model {decision.model_version} and configuration {decision.config_version} "
                f"({NOT_HERE}). Ask where it was made.",
                target=error.target,
            ) from error

    async def bandit(self, config_version: int) -> Bandit:
        """The bandit under this configuration.

        Raises:
            NotFoundError: there is no such version.
        """
        if config_version not in self._bandits:
            self._bandits[config_version] = await bandits.get(
                self._connection, self._bandit_key, config_version=config_version
            )
        return self._bandits[config_version]

    async def _policy(self, bandit: Bandit, model_version: int) -> VwPolicy:
        try:
            return await served_policy(self._connection, bandit, model_version)
        except ModelRefusedError:
            model = await models.lineage(self._connection, self._bandit_key, model_version)
            again = await refolded(self._connection, self._configs, bandit, model, chunk=self._chunk)
            return VwPolicy(again.fold.policy.model, bandit.config.policy.exploration, model.learned)

    def close(self) -> None:
        """Free the model that is kept at hand."""
        if self._last is not None and self._last[1] is not None:
            self._last[1].close()
        self._last = None


def recomputed(serving: Serving, logged: Decision) -> Decision:
    """The decision made again as it was served then; it equals the logged one, activation aside."""
    if logged.mode == "fallback":
        serving = Serving(serving.bandit, None, serving.model_version)
    return decide.choose(serving, logged.asked, logged.decision_id, logged.decided_at, logged.seen)


def difference(serving: Serving, logged: Decision) -> Difference | None:
    """The first field in which the decision, made again, differs from what was logged."""
    again = recomputed(serving, logged)
    for field in Decision.__struct_fields__:
        one, other = getattr(logged, field), getattr(again, field)
        if field == "activated_at" or one == other:
            continue
        name = f"decision {logged.decision_id}: {field}"
        if field == "pmf" and len(one) == len(other):
            at = next(i for i in range(len(one)) if one[i] != other[i])
            name, one, other = f"{name}[{at}]", one[at], other[at]
        return Difference(target=name, logged=one, recomputed=other)
    return None
