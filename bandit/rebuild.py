"""Use case: fold a log again, with rewards that came late, another reward definition, or less of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence

import msgspec

from bandit import rewards, versions, vw
from bandit.branches import BranchFold, refolded
from bandit.changes import SOMEBODY, Author
from bandit.db import audit_log, bandits, models, training
from bandit.db import rewards as reward_events
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection, Database
from bandit.db.training import LogEntry
from bandit.errors import BrokenLogError, ConflictError, InvalidInputError
from bandit.types import Bandit, BanditConfig, Branch, ModelVersion, Value

_CHUNK = 2_000
Progress = Callable[[int, int], None]


class Rebuilt(Value, frozen=True, kw_only=True):
    """What came of folding the log again."""

    bandit_key: str
    #: The place of the log after which folding began: 0, unless the lines up to there were archived.
    after: int
    #: The last place of the log that was folded.
    through: int
    #: The live branch's version from whose bytes it went on, where the lines before were archived.
    resumed_from: int | None
    #: Events of subjects left out; the others were learned. Who was left out by the live branch, or, in what
    #: is published, by the candidate before, stays so.
    left_out: int
    subjects_left_out: int
    #: Events whose reward is another than the live branch learned: late, corrected, or defined otherwise.
    revised: int
    #: How long folding took, in seconds.
    seconds: float
    weights_sha256: str
    #: The live branch's version that has learned the same events with the same rewards; None: there is none.
    same_as: int | None
    #: Whether its weights are the same, with difference 0.0; None: there is nothing to compare with.
    equal: bool | None
    #: The version under which the result was published as a candidate. What is equal is not published.
    published: int | None
    #: The candidate branch that made room for it.
    replaced: int | None


async def rebuild(
    database: Database,
    bandit_key: str,
    *,
    through: int | None = None,
    reward_definition: int | None = None,
    without_subjects: Sequence[str] = (),
    publish: bool = False,
    author: Author = SOMEBODY,
    progress: Progress = lambda *_: None,
) -> Rebuilt:
    """Fold the log under the policy in force; each reward is settled again from its events, late ones too.

    What the live branch leaves out stays left out. Where the beginning of the log was archived, what is to be
    the same goes on from the first version that what is left of the log allows; what is to be published, or
    leaves out or defines anew, learns what is left alone.

    `reward_definition` is a configuration version whose definition all rewards are settled by; by default
    each by the one it was settled by first. `author` is who publishes, and why. `progress` hears how many
    events were folded, and of how many.

    Raises:
        NotFoundError: no such bandit or configuration version.
        InvalidInputError: the log does not go as far as `through`.
        ArchivedError: what is left of the log begins later, or no version goes on from there.
        BrokenLogError: the log is not whole.
    """
    async with database.snapshot() as connection:
        await training.hold(connection)
        bandit = await bandits.get(connection, bandit_key)
        live = await versions.live(connection, bandit_key)
        end = await training.end(connection, bandit_key)
        through = end if through is None else through
        if not 0 < through <= end:
            raise InvalidInputError(
                f"through: expected a place of the training log, which goes to {end}, got {through}.",
                target="through",
            )
        defined = None
        config_version = live.config_version
        if reward_definition is not None:
            defined = (await bandits.get(connection, bandit_key, config_version=reward_definition)).config
        live_config = (await bandits.get(connection, bandit_key, config_version=config_version)).config
        learns = live_config
        if defined is not None:
            learns = msgspec.structs.replace(
                learns, reward=defined.reward, default_reward=defined.default_reward
            )
        left_out = set(live.without_subjects)
        if publish:
            left_out = await versions.left_out(connection, bandit_key)
        archived = await bandits.archived_through(connection, bandit_key)
        if through <= archived:
            raise await training.archived(connection, bandit_key, through)
        configs = ConfigCache()
        branch = models.begun(
            bandit_key, 0, "candidate" if publish else "retired", config_version, "rebuilt",
            begins_after=archived,
            beside=live.newest_version,
            held_out_after=versions.held_out_after(archived, through),
            without_subjects=sorted({*left_out, *without_subjects}),
        )  # fmt: skip
        resumed = None
        if live.begins_after < archived and not (publish or defined or without_subjects):
            resumed = await _first_left(connection, live, archived, through)
            branch = msgspec.structs.replace(live, state="retired")  # it need not predict
            folded = await BranchFold.resume(connection, configs, bandit, branch, resumed)
        else:
            folded = BranchFold.anew(bandit, branch, learns)
        after = folded.fold.seq
        folded.compare_since(live.live_since_config or 0)
        began = time.perf_counter()
        revised: list[tuple[int, float]] = []
        try:
            progress(0, through - after)
            async for entries in training.log(connection, configs, live, after, through, _CHUNK):
                settled = await _settled_again(connection, configs, bandit, defined, entries)
                changed = [was for was, now in zip(entries, settled, strict=True) if now is not was]
                await _check_seals(connection, bandit_key, changed)
                revised += [
                    (now.seq, now.reward)
                    for was, now in zip(entries, settled, strict=True)
                    if now.reward != was.reward
                ]
                await folded.learn(connection, settled)
                progress(folded.fold.seq - after, through - after)
            seconds = time.perf_counter() - began
            sha256 = vw.weights_sha256(folded.fold.to_bytes(), learns.policy)
            alike = not revised and branch.without_subjects == live.without_subjects
            alike &= resumed is not None or live.begins_after == branch.begins_after
            alike &= defined is None or defined.reward.clip == live_config.reward.clip
            same = await models.on_branch(connection, live, through) if alike else None
            published, before = None, bandit.candidate
            if publish and not (same and same.weights_sha256 == sha256 and through == end):
                published = await _publish(database, folded, live, revised, reward_definition, author)
        finally:
            folded.close()
    return Rebuilt(
        bandit_key=bandit_key,
        after=after,
        through=through,
        resumed_from=resumed.model_version if resumed else None,
        left_out=folded.passed_over,
        subjects_left_out=len(branch.without_subjects),
        revised=len(revised),
        seconds=seconds,
        weights_sha256=sha256,
        same_as=same.model_version if same else None,
        equal=same.weights_sha256 == sha256 if same else None,
        published=published,
        replaced=before.branch if published and before else None,
    )


async def restore(database: Database, bandit_key: str, model_version: int) -> None:
    """Fold a version again whose bytes were pruned, and keep them; where they are kept this does nothing.

    Raises:
        NotFoundError: no such bandit or version.
        ArchivedError: what it needs of the log was archived.
        BrokenLogError: what comes out is not what the version was.
    """
    async with database.snapshot() as connection:
        await training.hold(connection)
        bandit = await bandits.get(connection, bandit_key)
        model = await models.lineage(connection, bandit_key, model_version)
        if await models.is_kept(connection, model):
            return
        folded = await refolded(connection, ConfigCache(), bandit, model)
        try:
            weights = folded.fold.to_bytes()
            found = vw.weights_sha256(weights, folded.config.policy)
        finally:
            folded.close()
    if found != model.weights_sha256:
        raise BrokenLogError(
            f"expected the log to give model {model_version} the weights {model.weights_sha256}, got "
            f"{found}: somebody changed it. Look with: segbandit audit --bandit {bandit_key} --all",
            target="training_log",
        )
    async with database.transaction() as connection:
        await models.restore(connection, model, weights, hashlib.sha256(weights).hexdigest())


async def _first_left(connection: Connection, live: Branch, archived: int, through: int) -> ModelVersion:
    """The first version from which what is left of the log can be folded."""
    first = await models.first_kept(connection, live, archived)
    if first is None or first.trained_through_seq > through:
        raise await training.archived(connection, live.bandit_key, live.begins_after + 1)
    return first


async def _settled_again(
    connection: Connection,
    configs: ConfigCache,
    bandit: Bandit,
    defined: BanditConfig | None,
    entries: Sequence[LogEntry],
) -> list[LogEntry]:
    events = await reward_events.for_decisions(connection, [e.decision.decision_id for e in entries])
    known = await configs.get(connection, {(bandit.bandit_key, e.config_version) for e in entries})
    settled = []
    for entry in entries:
        config = defined or known[bandit.bandit_key, entry.config_version]
        found = events.get(entry.decision.decision_id, ())
        reward = rewards.settle(config.reward, config.default_reward, found, until=entry.due_at)
        settled.append(entry if reward == entry.reward else msgspec.structs.replace(entry, reward=reward))
    return settled


async def _check_seals(connection: Connection, bandit_key: str, entries: Sequence[LogEntry]) -> None:
    """What gives another reward now must do so by what came since, not by a row changed by hand."""
    if not entries:
        return
    lines = await training.lines(connection, bandit_key, entries[0].seq - 1, entries[-1].seq)
    looked_at = {entry.seq for entry in entries}
    broken = [f"training_log[{line.seq}]" for line in lines if line.seq in looked_at and not line.sealed]
    ids = [entry.decision.decision_id for entry in entries]
    _, events = await reward_events.unsealed(connection, ids)
    broken += [f"reward event {event_id} of source {source}" for source, event_id in events]
    if broken:
        raise BrokenLogError(
            f"expected rows as they were written, got {broken[0]} changed by hand. Look with: segbandit "
            f"audit --bandit {bandit_key} --all",
            target=broken[0],
        )


async def _publish(
    database: Database,
    folded: BranchFold,
    live: Branch,
    revised: Sequence[tuple[int, float]],
    reward_definition: int | None,
    author: Author,
) -> int:
    """Keep the result as the candidate; the learner takes it on from there."""
    bandit_key = folded.bandit.bandit_key
    reason = f"rebuilt through {folded.fold.seq}"
    async with database.transaction() as connection:
        bandit = await bandits.get(connection, bandit_key, lock=True)
        now = await versions.live(connection, bandit_key)
        left_out = await versions.left_out(connection, bandit_key)
        archived = await bandits.archived_through(connection, bandit_key)
        if (
            now.branch != live.branch
            or not left_out <= set(folded.branch.without_subjects)
            or archived != folded.branch.begins_after
        ):
            raise ConflictError(
                "expected the same live branch, the same subjects left out and the same log as when this "
                "began, but somebody changed them meanwhile; nothing was published. Rebuild again."
            )
        config_version = folded.branch.config_version
        if reward_definition is not None:
            reason += f" with the reward definition of configuration {reward_definition}"
            config_version = await bandits.next_config_version(connection, bandit_key)
            beside = msgspec.structs.replace(bandit, config=folded.config, config_version=config_version)
            await bandits.insert_config(connection, beside)
        if folded.branch.without_subjects:
            reason += f" without {len(folded.branch.without_subjects)} subject(s)"
        folded.branch = await versions.begin_candidate(
            connection, bandit_key, config_version, reason, through=folded.fold.seq,
            without_subjects=folded.branch.without_subjects,
        )  # fmt: skip
        await models.revise(connection, folded.branch, revised)
        published = await folded.publish(connection)
        await folded.count(connection)
        details = {"model_version": published.model_version, "branch": folded.branch.branch}
        await audit_log.insert(connection, bandit_key, author, "rebuilt", {**details, "how": reason})
        return published.model_version
