"""Use case: create, change, list and archive bandits. A change is a new configuration version."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

import msgspec

from bandit import features, vw
from bandit.db import bandits
from bandit.db.pool import Database
from bandit.errors import ConflictError, InvalidInputError
from bandit.types import Bandit, BanditConfig


async def create(database: Database, bandit_key: str, config: BanditConfig) -> Bandit:
    """Create a decision point.

    Raises:
        InvalidInputError: the configuration contradicts itself.
        ConflictError: the key is taken.
    """
    bandit = Bandit(
        bandit_key=bandit_key,
        config_version=1,
        config=checked(config),
        salt=secrets.token_hex(16),
        archived=False,
        created_at=datetime.now(UTC),
    )
    async with database.transaction() as connection:
        if not await bandits.insert(connection, bandit):
            raise ConflictError(
                f"bandit_key: expected a free key, got {bandit_key!r}, which exists; "
                "change it with PATCH or choose another key.",
                target="bandit_key",
            )
    return bandit


async def change(database: Database, bandit_key: str, fields: dict[str, Any]) -> Bandit:
    """Replace the given fields of the configuration by a new version; what was learned stays.

    Raises:
        NotFoundError: no such bandit.
        InvalidInputError: the new configuration contradicts itself; the old one stays in force.
    """
    async with database.transaction() as connection:
        bandit = await bandits.get(connection, bandit_key, lock=True)
        config = checked(msgspec.structs.replace(bandit.config, **fields))
        if config == bandit.config:
            return bandit
        changed = msgspec.structs.replace(bandit, config=config, config_version=bandit.config_version + 1)
        await bandits.update(connection, changed)
    return changed


async def archive(database: Database, bandit_key: str) -> Bandit:
    """Take a bandit out of service; its log and models stay, late rewards still settle.

    Raises:
        NotFoundError: no such bandit.
    """
    async with database.transaction() as connection:
        await bandits.get(connection, bandit_key, lock=True)
        await bandits.archive(connection, bandit_key)
        return await bandits.get(connection, bandit_key)


async def get(database: Database, bandit_key: str) -> Bandit:
    """One bandit.

    Raises:
        NotFoundError: no such bandit.
    """
    async with database.connection() as connection:
        return await bandits.get(connection, bandit_key)


async def listed(database: Database) -> list[Bandit]:
    """All bandits, by key, the archived ones too."""
    async with database.connection() as connection:
        return await bandits.listed(connection)


def checked(config: BanditConfig) -> BanditConfig:
    """The configuration with its baseline named.

    Raises:
        InvalidInputError: naming the field that contradicts another.

    >>> from bandit.types import Action
    >>> checked(BanditConfig(actions=[Action(action_id="a")])).baseline_action
    'a'
    """
    features.check_actions(config.actions)
    enabled = [action.action_id for action in config.actions if action.enabled]
    baseline = config.baseline_action
    if not enabled:
        raise InvalidInputError("actions: expected at least one enabled action.", target="actions")
    if baseline is not None and baseline not in enabled:
        raise InvalidInputError(
            f"baseline_action: expected one of the enabled actions, got {baseline!r}; name another one, "
            "or null for the first enabled action.",
            target="baseline_action",
        )
    low, high = config.reward.clip
    if not low < high:
        raise InvalidInputError(
            f"reward.clip: expected [low, high] with low < high, got {[low, high]}.", target="reward.clip"
        )
    if not low <= config.default_reward <= high:
        raise InvalidInputError(
            f"default_reward: expected a number within reward.clip {[low, high]}, "
            f"got {config.default_reward}.",
            target="default_reward",
        )
    vw.check(config.policy)
    return msgspec.structs.replace(config, baseline_action=baseline or enabled[0])
