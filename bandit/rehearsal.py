"""What the live branch would do while the baseline is served: noted before it learns, counted in order.

Like a comparison, an event is counted once every earlier decision is settled too, so that what a click
settles at once does not count before what waits in vain. Noting, counting and learning are one transaction.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from bandit import exposures, instead, rewards
from bandit import readiness as judging
from bandit.db import bandits, models, rehearsals
from bandit.db.pool import Connection, Database
from bandit.db.rehearsals import Rehearsed
from bandit.db.training import LogEntry
from bandit.policy import Policy
from bandit.readiness import Readiness, Rehearsals
from bandit.steering import AlertBounds
from bandit.types import Bandit, BanditConfig, Branch, RewardDefinition

#: Probabilities that differ by less are alike.
_ROUNDING = 1e-9


class Rehearsal:
    """One apprenticeship of a live branch."""

    def __init__(self, bandit: Bandit, since_config: int, counted: Rehearsals) -> None:
        self._config_version = bandit.config_version
        self._since_config = since_config
        self._counted = counted
        #: Since the branch was published last.
        self._noted: list[Rehearsed] = []

    @classmethod
    async def going_on(
        cls, connection: Connection, bandit: Bandit, branch: Branch, held: Rehearsal | None
    ) -> Rehearsal | None:
        """What goes on of what is held, or begins, under the configuration in force; None: nothing."""
        if bandit.config.mode != "apprentice" or branch.state != "live":
            return None
        if held is not None and held._config_version == bandit.config_version:
            return held
        since = await _since(connection, bandit, branch)
        if held is not None and held._since_config == since:
            held._config_version = bandit.config_version
            return held
        return cls(bandit, since, await _counted(connection, branch, since))

    def note(
        self, policy: Policy, config: BanditConfig, definition: RewardDefinition, entry: LogEntry
    ) -> None:
        """Note what the policy would have done under this configuration; it has not learned the event yet."""
        decision = entry.decision
        if decision.mode != "apprentice" or decision.config_version < self._since_config:
            return
        pmf = instead.served(policy, config, decision)
        agreement = min(pmf[decision.chosen], 1.0)
        others = [each for index, each in enumerate(pmf) if index != decision.chosen]
        self._noted.append(
            Rehearsed(
                decision_id=decision.decision_id,
                since_config=self._since_config,
                due_at=entry.due_at,
                agreement=agreement,
                matches=agreement > max(others, default=0.0) + _ROUNDING,
                scaled_reward=rewards.scale(definition, entry.reward),
            )
        )

    async def keep(self, connection: Connection, branch: Branch) -> None:
        """Keep what was noted, together with the version that has learned it."""
        await rehearsals.keep(connection, branch, self._noted)
        self._noted.clear()

    async def count(self, connection: Connection, branch: Branch, until: datetime) -> None:
        """Count what is kept and due before `until`."""
        ready = await rehearsals.take(connection, branch, self._since_config, until)
        for one in ready:
            self._counted = self._counted.add(
                agreement=one.agreement, matches=one.matches, reward=one.scaled_reward
            )
        if ready:
            state = msgspec.json.encode((self._since_config, self._counted))
            await rehearsals.save_readiness(connection, branch, state)


async def _since(connection: Connection, bandit: Bandit, branch: Branch) -> int:
    """Since when the same policy is rehearsed, under the same rules, for the same reward."""
    since = bandit.config_version
    async for version, config in bandits.earlier_in_force(connection, bandit):
        if _rehearsed(config) != _rehearsed(bandit.config):
            break
        since = version
    return max(since, branch.live_since_config or 0)


def _rehearsed(config: BanditConfig) -> BanditConfig:
    """Without what neither shapes a distribution nor has a part in what is earned."""
    return msgspec.structs.replace(
        config,
        actions=[msgspec.structs.replace(action, payload=None) for action in config.actions],
        alerts=AlertBounds(),
        explainable_fields=None,
        paused=False,
        promotion="manual",
    )


async def _counted(connection: Connection, branch: Branch, since_config: int) -> Rehearsals:
    state = await rehearsals.readiness(connection, branch)
    if state is not None:
        since, counted = msgspec.json.decode(state, type=tuple[int, Rehearsals])
        if since == since_config:
            return counted
    return Rehearsals()


async def readiness(database: Database, bandit_key: str) -> Readiness:
    """Whether the bandit may go online.

    Raises:
        NotFoundError: no such bandit.
    """
    async with database.snapshot() as connection:
        bandit = await bandits.get(connection, bandit_key)
        live = next(b for b in await models.branches(connection, bandit_key) if b.state == "live")
        mode = bandit.config.mode
        if mode != "apprentice":
            return judging.elsewhere(bandit_key, live.branch, mode)
        since = await _since(connection, bandit, live)
        learns = await bandits.get(connection, bandit_key, config_version=live.config_version)
        counted = await _counted(connection, live, since)
        return judging.readiness(
            bandit_key, live.branch, since, counted, learns.config.reward,
            by_exposures=exposures.counts(bandit.config),
        )  # fmt: skip
