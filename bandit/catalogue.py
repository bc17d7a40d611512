"""Use case: create, change, list and archive bandits, say which of their models serves; by whom, and why."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from bandit import branches as branching
from bandit import consistency, features, fold, versions, vw
from bandit.changes import Author, Change, What, difference
from bandit.comparison import Interval
from bandit.constraints import servable
from bandit.db import audit_log, bandits, models
from bandit.db.pool import Connection, Database
from bandit.errors import ConflictError, InvalidInputError
from bandit.types import Bandit, BanditConfig, Branch, ModelVersion, RewardDefinition, Value


async def create(database: Database, bandit_key: str, config: BanditConfig, author: Author) -> Bandit:
    """Create a decision point.

    Raises:
        InvalidInputError: the configuration contradicts itself.
        ConflictError: the key is taken.
    """
    bandit = Bandit(
        bandit_key=bandit_key,
        config_version=1,
        config=checked(_dated(None, config)),
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
        await models.insert_branch(connection, models.begun(bandit_key, 1, "live", 1, "created"))
        await audit_log.insert(connection, bandit_key, author, "created")
    return bandit


async def change(
    database: Database,
    bandit_key: str,
    fields: dict[str, Any],
    author: Author,
    *,
    expected_version: int | None = None,
) -> Bandit:
    """Replace the given fields of the configuration by a new version; what was learned stays.

    An action whose id is new to the catalogue is one of the newcomers (`steering.Newcomers`) for a while. A
    policy that learns otherwise than the live one becomes a candidate, learned from the log beside it; the
    other fields are in force at once. Where nothing was learned yet, so is the policy.

    `expected_version`: the bandit's `newest_version` that the fields were made for.

    Raises:
        NotFoundError: no such bandit.
        InvalidInputError: the new configuration contradicts itself; the old one stays in force.
        ConflictError: somebody changed it since `expected_version`.
    """
    return await revise(
        database, bandit_key, lambda _: fields, author, "changed", expected_version=expected_version
    )


async def revise(
    database: Database,
    bandit_key: str,
    wanted: Callable[[BanditConfig], dict[str, Any]],
    author: Author,
    what: What,
    *,
    expected_version: int | None = None,
) -> Bandit:
    """As `change`, by the fields that `wanted` makes of the configuration that it is to take the place of.

    Where that changes nothing, nothing is written. Errors as for `change`, and those of `wanted`.
    """
    async with database.transaction() as connection:
        bandit = await bandits.get(connection, bandit_key, lock=True)
        if expected_version not in (None, bandit.newest_version):
            raise ConflictError(
                f"if_version: expected the bandit's newest version, {bandit.newest_version}, got "
                f"{expected_version}: somebody changed it meanwhile, and nothing was changed now. Look at "
                "what it is, and who changed it, and repeat what is still wanted.",
                target="if_version",
            )
        await _put_in_force(connection, bandit, wanted(bandit.config))
        changed = await bandits.get(connection, bandit_key)
        if changed != bandit:
            await audit_log.insert(connection, bandit_key, author, what, difference(bandit, changed))
        return changed


async def _put_in_force(connection: Connection, bandit: Bandit, fields: dict[str, Any]) -> None:
    config = checked(_dated(bandit.config, msgspec.structs.replace(bandit.config, **fields)))
    if fields.keys() & {"policy", "reward"}:
        config = await _branched(connection, bandit, config, policy_given="policy" in fields)
    if config == bandit.config:
        return
    changed = msgspec.structs.replace(
        bandit,
        config=config,
        config_version=await bandits.next_config_version(connection, bandit.bandit_key),
    )
    await bandits.update(connection, changed)
    live = await versions.live(connection, bandit.bandit_key)
    learns = await bandits.get(connection, bandit.bandit_key, config_version=live.config_version)
    if versions.same_learning(learns.config, config):
        await models.move_to_config(connection, live, changed.config_version)
    elif not live.newest_version:
        await _begin_again(connection, changed)


def _dated(before: BanditConfig | None, config: BanditConfig) -> BanditConfig:
    """With when each action came to a catalogue that was there before, whatever its caller says."""
    added = {action.action_id: action.added_at for action in before.actions} if before else {}
    now = datetime.now(UTC) if before else None
    return msgspec.structs.replace(
        config,
        actions=[
            msgspec.structs.replace(action, added_at=added.get(action.action_id, now))
            for action in config.actions
        ],
    )


async def _branched(
    connection: Connection, bandit: Bandit, wanted: BanditConfig, *, policy_given: bool
) -> BanditConfig:
    """What of `wanted` is in force at once; where something must be learned first, a candidate is begun."""
    branches = {b.state: b for b in await models.branches(connection, bandit.bandit_key)}
    live, candidate = branches["live"], branches.get("candidate")
    if not live.newest_version or not (policy_given or wanted.reward.clip != bandit.config.reward.clip):
        return wanted
    if bandit.candidate is not None and not policy_given:
        wanted = msgspec.structs.replace(wanted, policy=bandit.candidate.policy)
    learns = (await bandits.get(connection, bandit.bandit_key, config_version=live.config_version)).config
    in_force = wanted
    if not versions.same_policy(learns.policy, wanted.policy):
        in_force = msgspec.structs.replace(wanted, policy=bandit.config.policy)
    if versions.same_learning(learns, wanted):
        if candidate is not None:
            await models.set_state(
                connection, candidate, "retired", "set back to what the live branch learns"
            )
        return in_force
    beside = msgspec.structs.replace(
        bandit, config=wanted, config_version=await bandits.next_config_version(connection, bandit.bandit_key)
    )
    if candidate is not None:
        known = await bandits.get(connection, bandit.bandit_key, config_version=candidate.config_version)
        if versions.same_learning(known.config, wanted):
            if known.config.policy != wanted.policy:  # it explores otherwise, and learns on
                await bandits.insert_config(connection, beside)
                await models.move_to_config(connection, candidate, beside.config_version)
                await models.forget_comparison(connection, candidate)
            return in_force
    await bandits.insert_config(connection, beside)
    await versions.begin_candidate(
        connection, bandit.bandit_key, beside.config_version, f"configuration {beside.config_version}"
    )
    return in_force


async def _begin_again(connection: Connection, bandit: Bandit) -> None:
    """Nothing was learned yet, so the changed policy is live at once."""
    old = await versions.live(connection, bandit.bandit_key)
    await models.set_state(connection, old, "retired", "the policy was changed before anything was learned")
    number = await models.next_branch(connection, bandit.bandit_key)
    begun = models.begun(bandit.bandit_key, number, "live", bandit.config_version, "changed before learning")
    await models.insert_branch(connection, begun)


async def archive(database: Database, bandit_key: str, author: Author) -> Bandit:
    """Take a bandit out of service; its log and models stay, late rewards still settle.

    Raises:
        NotFoundError: no such bandit.
    """
    async with database.transaction() as connection:
        bandit = await bandits.get(connection, bandit_key, lock=True)
        if not bandit.archived:
            await bandits.archive(connection, bandit_key)
            await audit_log.insert(connection, bandit_key, author, "archived")
        return await bandits.get(connection, bandit_key)


class Overview(Value, frozen=True, kw_only=True):
    """What serves a bandit, its branches, and some of its model versions."""

    bandit: Bandit
    #: The model version that is served; 0: nothing was learned yet.
    served: int
    #: Whether that one stays until something is promoted.
    pinned: bool
    branches: list[Branch]
    #: How a candidate does beside what was served, or the baseline does beside a branch that went live, in
    #: units of the reward.
    compared: dict[int, Interval]
    #: Newest first, and whether the bytes of each are kept.
    models: list[tuple[ModelVersion, bool]]


async def overview(
    database: Database, bandit_key: str, *, before: int | None = None, limit: int = 100
) -> Overview:
    """The bandit's branches and up to `limit` model versions under `before`.

    Raises:
        NotFoundError: no such bandit.
    """
    async with database.snapshot() as connection:
        bandit = await bandits.get(connection, bandit_key)
        branches = await models.branches(connection, bandit_key)
        since = next(b.live_since_config for b in branches if b.state == "live")
        compared = {}
        for branch, state in (await models.comparisons(connection, bandit_key)).items():
            against, comparison = branching.compared(state)
            if against == since and comparison.events:
                learns = next(b.config_version for b in branches if b.branch == branch)
                config = (await bandits.get(connection, bandit_key, config_version=learns)).config
                compared[branch] = _in_rewards(comparison.interval(), config.reward)
        return Overview(
            bandit=bandit,
            served=(await models.served(connection, [bandit_key]))[bandit_key].model_version,
            pinned=await models.pinned(connection, bandit_key) is not None,
            branches=branches,
            compared=compared,
            models=await models.versions(connection, bandit_key, before=before, limit=limit),
        )


def _in_rewards(found: Interval, definition: RewardDefinition) -> Interval:
    unit = definition.clip[1] - definition.clip[0]
    return msgspec.structs.replace(
        found, estimate=unit * found.estimate, low=unit * found.low, high=unit * found.high
    )


async def promote(database: Database, bandit_key: str, model_version: int, author: Author) -> None:
    """Make the version's branch live: its newest version is served from now on, and it goes on learning.

    Raises:
        NotFoundError: no such bandit or version.
    """
    async with database.transaction() as connection:
        bandit = await bandits.get(connection, bandit_key, lock=True)
        model = await models.lineage(connection, bandit_key, model_version)
        async with versions.recorded(connection, bandit, author, "promoted", _numbers(model)):
            await versions.promote(
                connection, bandit, model.branch, f"model {model_version} was promoted by hand"
            )


async def roll_back(database: Database, bandit_key: str, model_version: int, author: Author) -> None:
    """Serve exactly this version until something is promoted; learning goes on beside it.

    Raises:
        NotFoundError: no such bandit or version.
        ConflictError: the version's bytes are no longer kept.
    """
    async with database.transaction() as connection:
        bandit = await bandits.get(connection, bandit_key, lock=True)
        model = await models.lineage(connection, bandit_key, model_version)
        async with versions.recorded(connection, bandit, author, "rolled back", _numbers(model)):
            await versions.roll_back(
                connection, bandit, model, f"rolled back to model {model_version} by hand"
            )


def _numbers(model: ModelVersion) -> dict[str, int]:
    return {"model_version": model.model_version, "branch": model.branch}


async def changes(
    database: Database, bandit_key: str, *, before: int | None = None, limit: int = 100
) -> list[Change]:
    """Up to `limit` changes of the bandit whose entry is under `before`, newest first.

    Raises:
        NotFoundError: no such bandit.
    """
    async with database.snapshot() as connection:
        await bandits.get(connection, bandit_key)
        return await audit_log.listed(connection, bandit_key, before=before, limit=limit)


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
    if not servable(config):
        field = "killed_segments" if config.killed_segments else "killed_actions"
        raise InvalidInputError(
            f"{field}: expected to leave an enabled action of the catalogue, got none left; revive or enable "
            "one, or pause the bandit or archive it.",
            target=field,
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
    fold.check(config.policy)
    config = msgspec.structs.replace(config, baseline_action=baseline or enabled[0])
    consistency.check(config)
    return config
