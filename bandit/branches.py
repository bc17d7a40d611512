"""A branch of models in memory: taken up from a snapshot, advanced along the training log, published.

On the way a candidate is compared with the live branch, and a branch that went live with the baseline: each
event is predicted before it is learned. It is counted once every earlier decision is settled too: what a
click settles at once would else count before what waits in vain.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from bandit import instead, rewards, vw, vw_arguments
from bandit.comparison import Comparison
from bandit.db import models, training
from bandit.db.bandits import ConfigCache
from bandit.db.models import Prediction
from bandit.db.pool import SIGN_OF_LIFE_SECONDS, Connection
from bandit.db.training import LogEntry
from bandit.drift import Detector
from bandit.errors import ModelRefusedError
from bandit.fold import Fold, training_event
from bandit.policy import BaselinePolicy
from bandit.rehearsal import Rehearsal
from bandit.types import Bandit, BanditConfig, Branch, ModelVersion, TrainingEvent

#: How long learning keeps others in the same process waiting before it gives them a turn.
_TURN_SECONDS = 0.01


class _Pauses:
    """While it is learned: others have their turn, and the server hears of us, or it would give us up."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._paused = self._said = time.monotonic()

    async def pause(self) -> None:
        """If it is time."""
        if time.monotonic() < self._paused + _TURN_SECONDS:
            return
        await asyncio.sleep(0)
        if time.monotonic() > self._said + SIGN_OF_LIFE_SECONDS:
            await self._connection.execute("SELECT 1")
            self._said = time.monotonic()
        self._paused = time.monotonic()


class BranchFold:
    """A branch's fold and how the branch does beside what it is compared with."""

    def __init__(self, bandit: Bandit, branch: Branch, config: BanditConfig, fold: Fold) -> None:
        self.bandit = bandit
        self.branch = branch
        #: The configuration whose policy and reward range it learns under.
        self.config = config
        self.fold = fold
        self.comparison = Comparison()
        #: How many events were left out.
        self.passed_over = 0
        #: Decisions made under earlier configurations were made by another branch than the live one.
        self._compared_since = 0
        #: Since it was published last.
        self._predicted: list[Prediction] = []
        #: What is noted while the baseline is served; None: it is not.
        self._rehearsal: Rehearsal | None = None

    @classmethod
    async def take_up(
        cls, connection: Connection, configs: ConfigCache, bandit: Bandit, branch: Branch
    ) -> BranchFold:
        """Go on from the branch's newest version.

        Raises:
            ModelRefusedError: its bytes are not what they were; `begin` it anew.
        """
        if not branch.newest_version:
            return await cls.begin(connection, configs, bandit, branch)
        model = await models.lineage(connection, bandit.bandit_key, branch.newest_version)
        taken = await cls.resume(connection, configs, bandit, branch, model)
        state = (await models.comparisons(connection, bandit.bandit_key)).get(branch.branch)
        if state is not None:
            taken._compared_since, taken.comparison = compared(state)
        return taken

    @classmethod
    async def begin(
        cls, connection: Connection, configs: ConfigCache, bandit: Bandit, branch: Branch
    ) -> BranchFold:
        """Begin where the branch begins."""
        config = await _config(connection, configs, bandit.bandit_key, branch.config_version)
        return cls.anew(bandit, branch, config)

    @classmethod
    def anew(cls, bandit: Bandit, branch: Branch, config: BanditConfig) -> BranchFold:
        """A branch that has learned nothing yet, and learns under this configuration."""
        return cls(bandit, branch, config, Fold.start(config.policy, bandit.salt, branch.begins_after))

    @classmethod
    async def resume(
        cls,
        connection: Connection,
        configs: ConfigCache,
        bandit: Bandit,
        branch: Branch,
        model: ModelVersion,
        *,
        chunk: int = 1_000,
    ) -> BranchFold:
        """Go on from this version of the branch.

        Raises:
            ModelRefusedError: its bytes are not kept, or not what they were.
            ArchivedError: the events that are relearned were archived.
        """
        config = await _config(connection, configs, bandit.bandit_key, branch.config_version)
        loaded = vw.Model.from_bytes(await models.weights(connection, model), model.sha256, config.policy)
        detector = msgspec.json.decode(model.detector, type=Detector)
        seq = model.trained_through_seq
        fold = Fold(config.policy, bandit.salt, loaded, seq, model.learned, model.begins_after, detector)
        pauses = _Pauses(connection)
        async for entries in training.log(connection, configs, branch, model.resumes_after, seq, chunk):
            for entry in entries:
                fold.recall(_event(entry, branch, config))
                await pauses.pause()
        fold.check_recalled()
        return cls(bandit, branch, config, fold)

    @classmethod
    async def nearest(
        cls,
        connection: Connection,
        configs: ConfigCache,
        bandit: Bandit,
        branch: Branch,
        upto: int,
        *,
        chunk: int = 1_000,
    ) -> BranchFold:
        """Go on from the last version of the branch, up to this one, that can be loaded, else begin."""
        while (model := await models.nearest_kept(connection, branch, upto)) is not None:
            try:
                return await cls.resume(connection, configs, bandit, branch, model, chunk=chunk)
            except ModelRefusedError:
                upto = model.model_version - 1
        return await cls.begin(connection, configs, bandit, branch)

    def goes_on_as(self, branch: Branch, config: BanditConfig) -> bool:
        """Take over what was changed of the branch in the database; False: it must be taken up again."""
        held = self.branch
        if (held.state, held.newest_version, held.replaced) != (
            branch.state, branch.newest_version, branch.replaced
        ) or config.policy != self.config.policy:  # fmt: skip
            return False
        self.branch, self.config = branch, config
        return True

    def compare_since(self, config_version: int) -> None:
        """Compare with the branch that is live since this configuration; anew if that is another one."""
        if config_version != self._compared_since:
            self._compared_since, self.comparison = config_version, Comparison()
            self._predicted.clear()

    async def rehearse(self, connection: Connection) -> None:
        """Note from now on what the branch would do, if the baseline is served in its place."""
        self._rehearsal = await Rehearsal.going_on(connection, self.bandit, self.branch, self._rehearsal)

    async def count(self, connection: Connection) -> None:
        """Count what was predicted, and published, of decisions before which all others are settled too."""
        bandit = self.bandit
        if not self._compares and self._rehearsal is None:
            return
        until = await training.settled_until(connection, bandit.bandit_key, bandit.config.reward_wait)
        if self._rehearsal is not None:
            await self._rehearsal.count(connection, self.branch, until)
        if not self._compares:
            return
        ready = await models.take_predictions(connection, self.branch, self._compared_since, until)
        for one in ready:
            self.comparison = self.comparison.add(one.weight, one.scaled_reward, one.largest)
        if ready:
            state = msgspec.json.encode((self._compared_since, self.comparison))
            await models.save_comparison(connection, self.branch, state)

    @property
    def _compares(self) -> bool:
        return self.branch.state == "candidate" or (
            self.branch.state == "live" and self.branch.replaced is not None
        )

    async def learn(self, connection: Connection, entries: Sequence[LogEntry]) -> None:
        """Learn the next entries of the log."""
        pauses = _Pauses(connection)
        for entry in entries:
            if self._compares:
                self._predict(entry)
            if self._rehearsal is not None:
                self._rehearsal.note(self.fold.policy, self.bandit.config, self.config.reward, entry)
            event = _event(entry, self.branch, self.config)
            self.passed_over += event is None
            for _ in self.fold.steps(entry.seq, event):
                await pauses.pause()
            await pauses.pause()

    async def advance(
        self, connection: Connection, configs: ConfigCache, through: int, *, chunk: int = 1_000
    ) -> None:
        """Learn the log through `through`."""
        async for entries in training.log(connection, configs, self.branch, self.fold.seq, through, chunk):
            await self.learn(connection, entries)

    async def publish(self, connection: Connection, oldest_ready_at: datetime | None = None) -> ModelVersion:
        """Write the branch's next version.

        `oldest_ready_at`: since when the oldest reward that it learned first could have been settled.

        Raises:
            ModelRefusedError: its weights are no longer finite; the fold must be thrown away.
        """
        weights = self.fold.to_bytes()
        model = ModelVersion(
            bandit_key=self.bandit.bandit_key,
            model_version=await models.next_version(connection, self.bandit.bandit_key),
            branch=self.branch.branch,
            parent=self.branch.newest_version or self.branch.beside,
            config_version=self.branch.config_version,
            **self._published_lineage(),
            sha256=hashlib.sha256(weights).hexdigest(),
            weights_sha256=vw.weights_sha256(weights, self.config.policy),
            vw_version=vw.VERSION,
            vw_arguments=" ".join(vw_arguments.arguments(self.config.policy)),
            created_at=datetime.now(UTC),
        )
        await models.publish(connection, model, weights, oldest_ready_at)
        await models.keep_predictions(connection, self.branch, self._predicted)
        self._predicted.clear()
        if self._rehearsal is not None:
            await self._rehearsal.keep(connection, self.branch)
        self.branch = msgspec.structs.replace(
            self.branch, newest_version=model.model_version, trained_through=self.fold.seq
        )
        return model

    def lineage(self) -> dict[str, Any]:
        """What a version of this fold says of itself beside its weights; the alarms since the last one."""
        fold = self.fold
        return {
            "begins_after": fold.begins_after,
            "trained_through_seq": fold.seq,
            "resumes_after": fold.resumes_after,
            "learned": fold.policy.learned,
            "drifts": fold.take_drifts(),
            "detector": msgspec.json.encode(fold.detector).decode(),
        }

    def _published_lineage(self) -> dict[str, Any]:
        """Folded again after its newest snapshot was refused, it finds alarms that are published already."""
        lineage = self.lineage()
        new = [drift for drift in lineage["drifts"] if drift.seq > self.branch.trained_through]
        return lineage | {"drifts": new}

    def close(self) -> None:
        """Free the model."""
        self.fold.close()

    def _predict(self, entry: LogEntry) -> None:
        """Note what the branch, or the baseline, would have done where something else was served."""
        decision, branch = entry.decision, self.branch
        if decision.mode != "online" or decision.config_version < self._compared_since:
            return
        if branch.state == "candidate":
            if entry.seq <= branch.held_out_after:
                return
            target = instead.served(self.fold.policy, self.bandit.config, decision)
        else:
            baseline = BaselinePolicy(self.bandit.config)
            target = baseline.distribution(decision.asked.context, decision.offered)
        weights = [t / p if p else math.inf for t, p in zip(target, decision.pmf, strict=True) if t]
        self._predicted.append(
            Prediction(
                decision_id=decision.decision_id,
                since_config=self._compared_since,
                due_at=entry.due_at,
                weight=target[decision.chosen] / decision.probability,
                scaled_reward=rewards.scale(self.config.reward, entry.reward),
                largest=max(weights),
            )
        )


def compared(state: bytes) -> tuple[int, Comparison]:
    """What a branch was compared with, as the configuration since which that is live, and the comparison."""
    return msgspec.json.decode(state, type=tuple[int, Comparison])


def _event(entry: LogEntry, branch: Branch, config: BanditConfig) -> TrainingEvent | None:
    """A line of the training log as the branch learns it; None: not at all."""
    decision = entry.decision
    if branch.without_subjects and decision.asked.subject in branch.without_subjects:
        return None
    return training_event(entry.seq, decision, entry.reward, config.reward)


async def _config(
    connection: Connection, configs: ConfigCache, bandit_key: str, config_version: int
) -> BanditConfig:
    pair = (bandit_key, config_version)
    return (await configs.get(connection, [pair]))[pair]


async def refolded(
    connection: Connection, configs: ConfigCache, bandit: Bandit, model: ModelVersion, *, chunk: int = 1_000
) -> BranchFold:
    """The branch of `model` as it stood at that version, from the nearest version whose bytes are kept.

    Raises:
        ArchivedError: what it needs of the log was archived.
    """
    branch = next(b for b in await models.branches(connection, bandit.bandit_key) if b.branch == model.branch)
    taken = await BranchFold.nearest(connection, configs, bandit, branch, model.model_version, chunk=chunk)
    await taken.advance(connection, configs, model.trained_through_seq, chunk=chunk)
    return taken
