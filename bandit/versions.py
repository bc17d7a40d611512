"""Which branch is live: begin one beside it, promote one, roll back to a version.

A configuration in force always names the policy that serves: whoever changes the live branch writes a new
configuration version with that branch's policy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

import msgspec

from bandit.changes import Author, What, difference
from bandit.db import audit_log, bandits, models, training
from bandit.db.pool import CHANGED, WORK, Connection, notify
from bandit.errors import ArchivedError, ConflictError
from bandit.exploration import learned_alike
from bandit.types import Bandit, BanditConfig, Branch, ModelVersion, PolicySettings

#: A candidate is compared with the live branch on this last share of the log, and on what comes after.
_HELD_OUT, _HELD_OUT_AT_MOST = 0.2, 100_000


def held_out_after(begins_after: int, end: int) -> int:
    """The place in a log, learned from `begins_after` to `end`, after which events are predicted first.

    >>> held_out_after(0, 1_000)
    800
    """
    return end - min(round(_HELD_OUT * (end - begins_after)), _HELD_OUT_AT_MOST)


def same_policy(one: PolicySettings, other: PolicySettings) -> bool:
    """Whether both learn alike, so that only the exploration differs, and can be exchanged."""
    alike = msgspec.structs.replace(one, exploration=other.exploration) == other
    return alike and learned_alike(one.exploration, other.exploration)


def same_learning(one: BanditConfig, other: BanditConfig) -> bool:
    """Whether both learn the same weights from the same log, so that one model does for both."""
    return same_policy(one.policy, other.policy) and one.reward.clip == other.reward.clip


async def live(connection: Connection, bandit_key: str) -> Branch:
    """The bandit's live branch."""
    return next(b for b in await models.branches(connection, bandit_key) if b.state == "live")


async def left_out(connection: Connection, bandit_key: str, more: Collection[str] = ()) -> set[str]:
    """Subjects of whom a new branch learns nothing: who was left out once, by the live branch or a candidate,
    stays so."""
    found = set(more)
    for branch in await models.branches(connection, bandit_key):
        if branch.state != "retired":
            found.update(branch.without_subjects)
    return found


async def begin_candidate(
    connection: Connection,
    bandit_key: str,
    config_version: int,
    reason: str,
    *,
    through: int | None = None,
    without_subjects: Collection[str] = (),
) -> Branch:
    """Begin a branch beside the live one; a candidate that is there already makes room for it.

    It learns what of the log was not archived.

    It is compared on the last part of the log through `through`, its end unless given, and on what follows.
    It learns the rewards that the live branch learned, and leaves out what that and an earlier candidate
    leave out. The bandit was read with `lock=True`.
    """
    everything = await models.branches(connection, bandit_key)
    beside = next(b for b in everything if b.state == "live")
    begins_after = await bandits.archived_through(connection, bandit_key)
    branch = models.begun(
        bandit_key,
        await models.next_branch(connection, bandit_key),
        "candidate",
        config_version,
        reason,
        beside=beside.newest_version,
        begins_after=begins_after,
        held_out_after=held_out_after(begins_after, beside.trained_through if through is None else through),
        without_subjects=sorted(await left_out(connection, bandit_key, without_subjects)),
    )
    for earlier in everything:
        if earlier.state == "candidate":
            await models.set_state(
                connection, earlier, "retired", f"made room for candidate branch {branch.branch}"
            )
    await models.insert_branch(connection, branch)
    await models.inherit_revisions(connection, beside, branch)
    await notify(connection, WORK, bandit_key)
    return branch


async def promote(
    connection: Connection, bandit: Bandit, branch: int, reason: str, *, returning: bool = False
) -> None:
    """Make the branch live: its newest version is served, and it goes on learning.

    One that is `returning` was live before and is there for good: nothing takes its place by itself. The
    bandit was read with `lock=True`.

    Raises:
        ArchivedError: what it has not learned yet was archived.
    """
    await models.pin(connection, bandit.bandit_key, None)
    await _go_live(connection, bandit, branch, reason, returning=returning)


async def roll_back(connection: Connection, bandit: Bandit, model: ModelVersion, reason: str) -> None:
    """Serve exactly this version until something is promoted; learning goes on beside it.

    The bandit was read with `lock=True`.

    Raises:
        ConflictError: its bytes are no longer kept.
        ArchivedError: what its branch has not learned yet was archived.
    """
    if not await models.is_kept(connection, model):
        raise ConflictError(
            f"model_version: expected a version whose bytes are kept, got {model.model_version}, whose bytes "
            "were pruned. This folds it again and rolls back to it: segbandit models rollback "
            f"{bandit.bandit_key} {model.model_version}",
            target="model_version",
        )
    await models.pin(connection, bandit.bandit_key, model.model_version)
    await _go_live(
        connection, bandit, model.branch, reason, returning=True, config_version=model.config_version
    )


@asynccontextmanager
async def recorded(
    connection: Connection, bandit: Bandit, author: Author, what: What, details: Mapping[str, int]
) -> AsyncIterator[None]:
    """The audit log says what the block changed of what is served, after these details; if it did, that is.

    The bandit was read with `lock=True`.
    """
    pinned = await models.pinned(connection, bandit.bandit_key)
    yield
    now = await bandits.get(connection, bandit.bandit_key)
    if now != bandit or await models.pinned(connection, bandit.bandit_key) != pinned:
        changed = {**details, **difference(bandit, now)}
        await audit_log.insert(connection, bandit.bandit_key, author, what, changed)


async def check_goes_on(connection: Connection, branch: Branch) -> None:
    """The log has what the branch needs to go on.

    Raises:
        ArchivedError: some of that was archived.
    """
    resumes_after = branch.begins_after
    if branch.newest_version:
        newest = await models.lineage(connection, branch.bandit_key, branch.newest_version)
        resumes_after = newest.resumes_after
    try:
        await training.check_there(connection, branch.bandit_key, resumes_after)
    except ArchivedError as error:
        raise ArchivedError(
            f"expected a branch that can go on learning, got branch {branch.branch}, which has learned the "
            f"log up to line {branch.trained_through}. To go back to its policy, ask for that again (PATCH "
            f"policy): a candidate learns it from what is there. In detail: {error.message}",
            target="model_version",
        ) from error


async def _go_live(
    connection: Connection,
    bandit: Bandit,
    branch: int,
    reason: str,
    *,
    returning: bool,
    config_version: int | None = None,
) -> None:
    """Make the branch live under its policy, or under that of the configuration version that is given."""
    everything = await models.branches(connection, bandit.bandit_key)
    old = next(b for b in everything if b.state == "live")
    new = next(b for b in everything if b.branch == branch)
    if new.branch == old.branch:
        await models.set_state(
            connection, new, "live", reason, live_since_config=new.live_since_config, replaced=new.replaced
        )
    else:
        await check_goes_on(connection, new)
        policy = (
            await bandits.get(
                connection, bandit.bandit_key, config_version=config_version or new.config_version
            )
        ).config.policy
        bandit = msgspec.structs.replace(
            bandit,
            config=msgspec.structs.replace(bandit.config, policy=policy),
            config_version=await bandits.next_config_version(connection, bandit.bandit_key),
        )
        await bandits.update(connection, bandit)
        await models.set_state(connection, old, "retired", f"branch {new.branch} went live: {reason}")
        await models.set_state(
            connection, new, "live", reason,
            live_since_config=bandit.config_version, replaced=None if returning else old.branch,
        )  # fmt: skip
    await notify(connection, CHANGED, bandit.bandit_key)
    await notify(connection, WORK, bandit.bandit_key)
