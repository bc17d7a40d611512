"""settle -> learn -> checkpoint -> publish.

One learner per bandit, held by an advisory lock on the very connection that writes, so a learner that
loses its connection loses lock and transaction together. Training log, model and cursor are one
transaction: whatever dies, the next learner goes on from the last commit.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from bandit import rewards, vw
from bandit.db import bandits, decisions, schema, training
from bandit.db import rewards as reward_events
from bandit.db.bandits import ConfigCache, learning_digest
from bandit.db.pool import AWAY, WORK, Connection, NotMigratedError, connect
from bandit.db.training import Due, Lineage, LogEntry
from bandit.errors import ModelRefusedError, UnavailableError
from bandit.fold import Fold
from bandit.settings import Settings
from bandit.types import Bandit, BanditConfig, ModelVersion, TrainingEvent

_log = structlog.get_logger()
#: Signals older than this are looked at only in a full sweep, every so often.
_RECENT = timedelta(minutes=1)
_SWEEP_SECONDS = 30.0
_HOUSEKEEPING_SECONDS = 3_600.0
#: A bandit that fails is tried again after so many seconds, doubling.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
#: Folds kept in memory; the others are taken up again from their last snapshot.
_FOLDS = 128


@dataclass(slots=True)
class _Learning:
    fold: Fold
    digest: str
    model_version: int


class Learner:
    """Learns for every bandit whose lock it gets. `run` until told to stop, or `step` by hand."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = url
        self._settings = settings
        self._configs = ConfigCache()
        self._learning: dict[str, _Learning] = {}
        self._locked: set[str] = set()
        self._wake = asyncio.Event()
        #: Whether some bandit had more to settle than one batch.
        self._behind = False
        #: For each bandit that failed: when to try again, and the pause after that.
        self._failed: dict[str, tuple[float, float]] = {}
        self._swept = self._kept_house = float("-inf")

    async def run(self) -> None:
        """Learn for ever; when the database goes away, take up again when it is back."""
        while True:
            try:
                connection = await connect(self._url)
            except UnavailableError as error:
                _log.warning("database away", error=error.message)
                await asyncio.sleep(1.0)
                continue
            try:
                await connection.add_listener(WORK, lambda *_: self._wake.set())
                _log.info("learner ready", vw=vw.VERSION)
                await self._rounds(connection)
            except NotMigratedError as error:
                _log.error("database not migrated, run `segbandit migrate`", error=str(error))
                await asyncio.sleep(5.0)
            except AWAY as error:
                _log.warning("database lost", error=str(error))
                await asyncio.sleep(1.0)
            finally:
                self.close()
                with suppress(*AWAY):
                    await connection.close(timeout=1)

    async def _rounds(self, connection: Connection) -> None:
        while True:
            began = time.monotonic()
            self._wake.clear()
            if began - self._kept_house > _HOUSEKEEPING_SECONDS:
                await schema.ensure_partitions(connection)
                await training.drop_spent_signals(connection)
                await training.prune_snapshots(connection, keep=self._settings.keep_snapshots)
                self._kept_house = began
            await self.step(connection)
            if self._behind:
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._settings.poll_seconds)
            await asyncio.sleep(max(0.0, began + self._settings.publish_seconds - time.monotonic()))

    async def step(self, connection: Connection) -> int:
        """Settle and learn one batch of what is due in every bandit that is ours; how many decisions."""
        sweep = time.monotonic() - self._swept > _SWEEP_SECONDS
        if sweep:
            self._swept = time.monotonic()
        since = datetime.min.replace(tzinfo=UTC) if sweep else datetime.now(UTC) - _RECENT
        learned, self._behind = 0, False
        for bandit_key in await training.bandits_with_work(connection, signals_since=since):
            retry_at, pause = self._failed.get(bandit_key, (0.0, _FIRST_PAUSE))
            if time.monotonic() < retry_at or not await self._lock(connection, bandit_key):
                continue
            try:
                count = await self._step_bandit(connection, bandit_key, since)
                self._failed.pop(bandit_key, None)
                learned += count
                self._behind |= count == self._settings.settle_batch
            except (asyncio.CancelledError, *AWAY):
                self._drop(bandit_key)  # what it learned was rolled back
                raise
            except Exception as error:  # one bandit's failure, whatever it is, must not stop the others
                self._drop(bandit_key)
                self._failed[bandit_key] = (time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE))
                _log.error("bandit not learned", bandit_key=bandit_key, retry_in=pause, exc_info=error)
        return learned

    async def _step_bandit(self, connection: Connection, bandit_key: str, since: datetime) -> int:
        async with connection.transaction():
            bandit = await bandits.get(connection, bandit_key)
            config = bandit.config
            learning, rebuilt = await self._learning_of(connection, bandit)
            due = await training.due(
                connection, bandit_key, config.terminal_kinds,
                signals_since=since, limit=self._settings.settle_batch,
            )  # fmt: skip
            if not due and not rebuilt:
                return 0
            entries = await self._settle(connection, bandit, due, learning.fold.seq)
            events = [training_event(entry, config) for entry in entries]
            for event in events:
                learning.fold.learn(event)
            learning.fold.check(events)
            await training.append(connection, bandit_key, bandit.config_version, entries)
            learning.model_version = await self._publish(connection, bandit, learning)
        _log.debug(
            "published", bandit_key=bandit_key, model_version=learning.model_version,
            learned=len(due), trained_through=learning.fold.seq,
        )  # fmt: skip
        return len(due)

    async def _settle(
        self, connection: Connection, bandit: Bandit, due: Sequence[Due], seq: int
    ) -> list[LogEntry]:
        config = bandit.config
        found = await decisions.fetch(connection, self._configs, [(d.decision_id, d.decided_at) for d in due])
        events = await reward_events.for_decisions(connection, found)
        return [
            LogEntry(
                seq=seq + place,
                reward=rewards.settle(
                    config.reward, config.default_reward, events[d.decision_id], until=d.due_at
                ),
                decision=found[d.decision_id],
            )
            for place, d in enumerate(due, start=1)
        ]

    async def _publish(self, connection: Connection, bandit: Bandit, learning: _Learning) -> int:
        weights = learning.fold.to_bytes()
        model = ModelVersion(
            bandit_key=bandit.bandit_key,
            model_version=learning.model_version + 1,
            parent=learning.model_version or None,
            config_version=bandit.config_version,
            trained_through_seq=learning.fold.seq,
            sha256=hashlib.sha256(weights).hexdigest(),
            vw_version=vw.VERSION,
            vw_arguments=" ".join(vw.arguments(bandit.config.policy)),
            created_at=datetime.now(UTC),
        )
        await training.publish(connection, model, weights, learning.digest)
        return model.model_version

    async def _learning_of(self, connection: Connection, bandit: Bandit) -> tuple[_Learning, bool]:
        """The bandit's fold under its current settings, and whether it had to be folded anew for them."""
        digest = learning_digest(bandit.config)
        learning = self._learning.pop(bandit.bandit_key, None)
        rebuilt = False
        if learning is None or learning.digest != digest:
            if learning is not None:
                learning.fold.close()
            newest = await training.latest(connection, bandit.bandit_key)
            fold = None
            if newest is not None and newest.learning_digest == digest:
                fold = await self._resume(connection, bandit, newest)
            rebuilt = newest is not None and fold is None
            through = newest.model.trained_through_seq if newest else 0
            fold = fold or await folded(connection, self._configs, bandit, through)
            learning = _Learning(fold, digest, newest.model.model_version if newest else 0)
        self._learning[bandit.bandit_key] = learning  # last in, so the first is the one longest unused
        if len(self._learning) > _FOLDS:
            self._drop(next(iter(self._learning)))
        return learning, rebuilt

    async def _resume(self, connection: Connection, bandit: Bandit, newest: Lineage) -> Fold | None:
        """The fold from its last snapshot on; None if its bytes are not what they were."""
        settings = bandit.config.policy
        seq = newest.model.trained_through_seq
        try:
            stored = await training.weights(connection, bandit.bandit_key, newest.model.model_version)
            model = vw.Model.from_bytes(*stored)
        except ModelRefusedError as error:
            _log.error("snapshot refused, rebuilding", bandit_key=bandit.bandit_key, error=error.message)
            return None
        past: list[TrainingEvent] = []
        after = max(0, seq - settings.relearn_window)
        async for chunk in training.log(connection, self._configs, bandit.bandit_key, after, seq):
            past += [training_event(entry, bandit.config) for entry in chunk]
        return Fold.resume(settings, bandit.salt, model, seq, past)

    async def _lock(self, connection: Connection, bandit_key: str) -> bool:
        if bandit_key not in self._locked and await training.try_lock(connection, bandit_key):
            self._locked.add(bandit_key)
        return bandit_key in self._locked

    def _drop(self, bandit_key: str) -> None:
        learning = self._learning.pop(bandit_key, None)
        if learning is not None:
            learning.fold.close()

    def close(self) -> None:
        """Forget what is held in memory; everything that counts is in the database."""
        for bandit_key in list(self._learning):
            self._drop(bandit_key)
        self._locked.clear()


def training_event(entry: LogEntry, config: BanditConfig) -> TrainingEvent:
    """A line of the training log as a model under `config` learns it."""
    decision = entry.decision
    return TrainingEvent(
        seq=entry.seq,
        context=decision.asked.context,
        actions=decision.offered,
        chosen=decision.chosen,
        probability=decision.probability,
        scaled_reward=rewards.scale(config.reward, entry.reward),
    )


async def folded(connection: Connection, configs: ConfigCache, bandit: Bandit, through: int) -> Fold:
    """The bandit's training log folded from its beginning through `through`, under its configuration."""
    fold = Fold.start(bandit.config.policy, bandit.salt)
    async for chunk in training.log(connection, configs, bandit.bandit_key, 0, through):
        for entry in chunk:
            fold.learn(training_event(entry, bandit.config))
        _log.info("rebuilding", bandit_key=bandit.bandit_key, seq=fold.seq, through=through)
    return fold
