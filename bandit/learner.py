"""settle -> learn -> checkpoint -> publish.

One learner per bandit, held by an advisory lock on the very connection that writes, so a learner that
loses its connection loses lock and transaction together. Training log, model and cursor are one
transaction: whatever dies, the next learner goes on from the last commit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import structlog

from bandit import afterwards, alerts, exposures, metrics, retention, rewards, versions, vw
from bandit.branches import BranchFold
from bandit.changes import What, by_us
from bandit.db import alerts as open_alerts
from bandit.db import bandits, decisions, models, schema, training
from bandit.db import exposures as shown
from bandit.db import rewards as reward_events
from bandit.db.bandits import ConfigCache
from bandit.db.pool import (
    AWAY,
    LONG_PATIENCE,
    SIGN_OF_LIFE_SECONDS,
    WORK,
    Connection,
    NotMigratedError,
    connect,
)
from bandit.db.training import Due, LogEntry
from bandit.errors import ArchivedError, ModelRefusedError, UnavailableError
from bandit.settings import Settings
from bandit.types import Bandit, Branch, BranchState

_log = structlog.get_logger()
#: Signals older than this are looked at only in a full sweep, every so often.
_RECENT = timedelta(minutes=1)
_SWEEP_SECONDS = 30.0
#: While some bandits are behind, the others are looked after at least this often, in seconds.
_LONGEST_LOOK_AWAY = 1.0
#: How often it is measured how far learning is behind, and how many alerts are open.
_MEASURE_SECONDS = 1.0
_HOUSEKEEPING_SECONDS, _HOUSEKEEPING_AGAIN_SECONDS = 3_600.0, 60.0
#: A bandit that fails is tried again after so many seconds, doubling.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
#: Branches kept in memory; the others are taken up again from their last snapshot.
_FOLDS = 128
#: A batch that takes longer, in seconds, is halved, to leave room for the other bandits.
_LONGEST_BATCH = 0.5


class Learner:
    """Learns for every bandit whose lock it gets. `run` until told to stop, or `step` by hand."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = url
        self._settings = settings
        self._configs = ConfigCache()
        self._folds: dict[tuple[str, int], BranchFold] = {}
        self._locked: set[str] = set()
        self._wake = asyncio.Event()
        #: Bandits that had more to do than one round.
        self._behind: set[str] = set()
        #: How much of a bandit fits into a batch, where that is less than the settings say.
        self._sizes: dict[str, int] = {}
        #: For each branch that failed: when to try again, and the pause after that.
        self._failed: dict[tuple[str, BranchState], tuple[float, float]] = {}
        self._swept = self._look_again = self._measured = float("-inf")

    async def run(self) -> None:
        """Learn for ever; when the database goes away, take up again when it is back."""
        metrics.share(self._settings.metrics_folder)
        keeping_house = asyncio.create_task(self._keep_house())
        try:
            await self._learn()
        finally:
            keeping_house.cancel()
            await asyncio.gather(keeping_house, return_exceptions=True)

    async def _learn(self) -> None:
        while True:
            try:
                connection = await connect(self._url, holds_locks=True)
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
            await self.step(connection)
            if self._behind:
                continue
            await self._rest(connection, time.monotonic() + self._settings.poll_seconds, self._wake)
            await self._rest(connection, began + self._settings.publish_seconds, asyncio.Event())

    async def _rest(self, connection: Connection, until: float, wake: asyncio.Event) -> None:
        """Sleep until then, or until woken; the server hears of us meanwhile, or it would give us up."""
        while (left := until - time.monotonic()) > 0.0 and not wake.is_set():
            with suppress(TimeoutError):  # not wait_for, which may swallow a cancellation
                async with asyncio.timeout(min(left, SIGN_OF_LIFE_SECONDS)):
                    await wake.wait()
            if left > SIGN_OF_LIFE_SECONDS:
                await connection.execute("SELECT 1")

    async def _keep_house(self) -> None:
        """Look after what gets old, and partitions ahead; on its own connection: it may take long."""
        while True:
            pause = _HOUSEKEEPING_SECONDS
            try:
                connection = await connect(self._url, patience=LONG_PATIENCE)
                try:
                    await schema.ensure_partitions(connection)
                    await training.drop_spent_signals(connection)
                    await shown.drop_old(connection, exposures.DAYS)
                    await models.prune(
                        connection,
                        keep=self._settings.keep_snapshots,
                        every=self._settings.keep_every_snapshot,
                    )
                    await self._archive(connection)
                finally:
                    await connection.close(timeout=1)
            except Exception as error:  # whatever it is, there is time to try again
                pause = _HOUSEKEEPING_AGAIN_SECONDS
                _log.warning("housekeeping put off", error=str(error))
            await asyncio.sleep(pause)

    async def _archive(self, connection: Connection) -> None:
        settings = self._settings
        if settings.keep_days is not None:
            async for part in retention.archive(connection, settings.archive, settings.keep_days):
                _log.info("archived", **msgspec.structs.asdict(part))

    async def step(self, connection: Connection) -> int:
        """Settle and learn one batch of what is due in every bandit that is ours; how many decisions."""
        sweep = time.monotonic() - self._swept > _SWEEP_SECONDS
        if sweep:
            self._swept = time.monotonic()
        since = datetime.min.replace(tzinfo=UTC) if sweep else datetime.now(UTC) - _RECENT
        work = dict.fromkeys(self._behind, True)
        if sweep or not work or time.monotonic() > self._look_again:
            began = time.monotonic()
            work |= await training.bandits_with_work(connection, signals_since=since)
            took = time.monotonic() - began  # the longer, the more waits: while some are behind, look less
            self._look_again = time.monotonic() + min(10.0 * took, _LONGEST_LOOK_AWAY)
        await self._judge_alerts(connection)
        await self._measure(connection, since)
        learned = 0
        self._behind.clear()
        for bandit_key, has_candidate in work.items():
            if await self._lock(connection, bandit_key):
                learned += await self._guarded(
                    bandit_key, "live", self._step_live(connection, bandit_key, since)
                )
                if has_candidate:
                    await self._guarded(bandit_key, "candidate", self._step_candidate(connection, bandit_key))
        return learned

    async def _judge_alerts(self, connection: Connection) -> None:
        """Of changed bandits, before they are counted: those changed may have no decision to settle."""
        for bandit_key in await open_alerts.outdated(connection):
            if await self._lock(connection, bandit_key):
                async with connection.transaction():
                    await alerts.judge_again(connection, bandit_key)

    async def _measure(self, connection: Connection, since: datetime) -> None:
        if time.monotonic() > self._measured + _MEASURE_SECONDS:
            metrics.lagging(await training.lag(connection, signals_since=since))
            metrics.alerting(await open_alerts.count(connection))
            self._measured = time.monotonic()

    async def _guarded(self, bandit_key: str, state: BranchState, work: Coroutine[Any, Any, int]) -> int:
        """Do the work; one branch's failure, whatever it is, must not stop the others: it waits."""
        failing = (bandit_key, state)
        retry_at, pause = self._failed.get(failing, (0.0, _FIRST_PAUSE))
        if time.monotonic() < retry_at:
            work.close()
            return 0
        began = time.monotonic()
        try:
            done = await work
            self._failed.pop(failing, None)
            self._fit(bandit_key, time.monotonic() - began)
        except (asyncio.CancelledError, *AWAY):
            self._drop(bandit_key)  # what it learned was rolled back
            raise
        except Exception as error:
            self._drop(bandit_key)
            self._failed[failing] = (time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE))
            _log.error(
                "branch not learned", bandit_key=bandit_key, branch=state, retry_in=pause, exc_info=error
            )
            return 0
        return done

    def _batch(self, bandit_key: str) -> int:
        return self._sizes.get(bandit_key, self._settings.settle_batch)

    def _fit(self, bandit_key: str, seconds: float) -> None:
        """Make the bandit's batches smaller where they take too long, and larger again."""
        size = self._batch(bandit_key)
        if seconds > _LONGEST_BATCH:
            self._sizes[bandit_key] = max(1, size // 2)
        elif bandit_key in self._sizes and seconds < _LONGEST_BATCH / 4:
            self._sizes[bandit_key] = min(2 * size, self._settings.settle_batch)

    async def _step_live(self, connection: Connection, bandit_key: str, since: datetime) -> int:
        """Settle what is due and learn it, in one transaction; how many decisions."""
        async with _transaction(connection):
            bandit, branches = await self._read(connection, bandit_key)
            live = await self._fold_of(connection, bandit, branches["live"], branches["live"])
            await live.rehearse(connection)
            end = await training.end(connection, bandit_key)
            settled = 0
            if live.fold.seq < end:
                await self._catch_up(connection, live, end)
            else:
                settled = await self._settle_batch(connection, live, since)
            await live.count(connection)
            await self._judge_live(connection, live)
        metrics.settled(settled)
        return settled

    async def _step_candidate(self, connection: Connection, bandit_key: str) -> int:
        """Let the candidate learn what it is behind; the live branch does not wait for this transaction."""
        async with _transaction(connection):
            bandit, branches = await self._read(connection, bandit_key)
            if "candidate" not in branches:
                return 0
            candidate = await self._fold_of(connection, bandit, branches["candidate"], branches["live"])
            if candidate.fold.seq < branches["live"].trained_through:
                await self._catch_up(connection, candidate, branches["live"].trained_through)
            await candidate.count(connection)
            await self._judge_candidate(connection, candidate)
        return 0

    async def _read(
        self, connection: Connection, bandit_key: str
    ) -> tuple[Bandit, dict[BranchState, Branch]]:
        bandit = await bandits.get(connection, bandit_key)
        return bandit, {b.state: b for b in await models.branches(connection, bandit_key)}

    async def _settle_batch(self, connection: Connection, live: BranchFold, since: datetime) -> int:
        """Settle what is due, append it to the log, learn it, publish."""
        bandit = live.bandit
        due = await training.due(
            connection, bandit.bandit_key, bandit.config.terminal_kinds,
            signals_since=since, limit=self._batch(bandit.bandit_key),
        )  # fmt: skip
        if due:
            entries = await self._settle(connection, bandit, due, live.fold.seq)
            await training.append(connection, bandit.bandit_key, entries)
            await live.learn(connection, entries)
            await alerts.watch(connection, bandit, entries)
            await self._publish(connection, live, oldest_ready_at=_oldest_ready(due, entries))
            if len(due) == self._batch(bandit.bandit_key):
                self._behind.add(bandit.bandit_key)
        return len(due)

    async def _catch_up(self, connection: Connection, behind: BranchFold, end: int) -> None:
        """Learn a part of the log; the rest in the next round."""
        bandit_key = behind.bandit.bandit_key
        until = min(end, behind.fold.seq + self._batch(bandit_key))
        await behind.advance(connection, self._configs, until)
        if until == end:
            await self._publish(connection, behind)
        else:
            self._behind.add(bandit_key)

    async def _publish(
        self, connection: Connection, learned: BranchFold, oldest_ready_at: datetime | None = None
    ) -> None:
        model = await learned.publish(connection, oldest_ready_at)
        if learned.branch.state == "live":
            afterwards.do(metrics.drifted, len(model.drifts))
            for drift in model.drifts:
                afterwards.do(
                    _log.warning, "drift: rewards fell",
                    bandit_key=model.bandit_key, model_version=model.model_version,
                    **msgspec.structs.asdict(drift),
                )  # fmt: skip
                await alerts.drifted(
                    connection, model.bandit_key, drift.seq,
                    before=drift.reward_before, after=drift.reward_after,
                )  # fmt: skip
        _log.debug(
            "learned", bandit_key=model.bandit_key, model_version=model.model_version,
            branch=model.branch, trained_through=model.trained_through_seq,
        )  # fmt: skip

    async def _judge_candidate(self, connection: Connection, candidate: BranchFold) -> None:
        """Promote a candidate that is shown to be better, if the bandit wants that."""
        found, bandit = candidate.comparison.interval(), candidate.bandit
        if bandit.config.promotion == "automatic" and found.low > 0.0:
            reason = (
                f"promoted automatically: (candidate - live) lies in [{found.low:.4g}, {found.high:.4g}] of "
                f"the reward's range by {found.events} events"
            )
            await self._switch(connection, bandit, candidate.branch, reason, back=False)

    async def _judge_live(self, connection: Connection, live: BranchFold) -> None:
        """Go back to the branch before, if the one that took its place earns less than the baseline."""
        found, bandit = live.comparison.interval(), live.bandit
        if live.branch.replaced is not None and found.low > 0.0:
            branches = await models.branches(connection, bandit.bandit_key)
            before = next(b for b in branches if b.branch == live.branch.replaced)
            if not set(live.branch.without_subjects) <= set(before.without_subjects):
                return  # somebody wants to be forgotten, and that branch remembers
            try:
                await versions.check_goes_on(connection, before)
            except ArchivedError:
                return  # what it missed is no longer there to be learned
            reason = (
                f"rolled back automatically: (baseline - live) lies in [{found.low:.4g}, {found.high:.4g}] "
                f"of the reward's range by {found.events} events of branch {live.branch.branch}"
            )
            await self._switch(connection, bandit, before, reason, back=True)

    async def _switch(
        self, connection: Connection, bandit: Bandit, to: Branch, reason: str, *, back: bool
    ) -> None:
        """Unless somebody pinned a version or changed something meanwhile: the next round looks again."""
        locked = await bandits.get(connection, bandit.bandit_key, lock=True)
        now = {b.branch: b.state for b in await models.branches(connection, bandit.bandit_key)}
        pinned = await models.pinned(connection, bandit.bandit_key)
        if pinned is not None or locked.config_version != bandit.config_version or now[to.branch] != to.state:
            return
        what: What = "rolled back" if back else "promoted"
        served = {"model_version": to.newest_version, "branch": to.branch}
        async with versions.recorded(connection, locked, by_us(reason), what, served):
            await versions.promote(connection, locked, to.branch, reason, returning=back)
        afterwards.do(
            _log.warning, "live branch switched",
            bandit_key=bandit.bandit_key, branch=to.branch, reason=reason,
        )  # fmt: skip

    async def _settle(
        self, connection: Connection, bandit: Bandit, due: Sequence[Due], seq: int
    ) -> list[LogEntry]:
        config = bandit.config
        found = await decisions.fetch(connection, self._configs, [(d.decision_id, d.decided_at) for d in due])
        events = await reward_events.for_decisions(connection, found)
        return [
            LogEntry(
                seq=seq + place,
                due_at=d.due_at,
                events=len(events[d.decision_id]),
                config_version=bandit.config_version,
                reward=rewards.settle(
                    config.reward, config.default_reward, events[d.decision_id], until=d.due_at
                ),
                decision=found[d.decision_id],
            )
            for place, d in enumerate(due, start=1)
        ]

    async def _fold_of(
        self, connection: Connection, bandit: Bandit, branch: Branch, live: Branch
    ) -> BranchFold:
        """The branch's fold: from memory, else from its newest version that can be loaded, else begun."""
        key = (bandit.bandit_key, branch.branch)
        taken = self._folds.pop(key, None)
        if taken is not None:
            known = await self._configs.get(connection, [(bandit.bandit_key, branch.config_version)])
            if not taken.goes_on_as(branch, known[bandit.bandit_key, branch.config_version]):
                taken.close()
                taken = None
        if taken is None:
            try:
                taken = await BranchFold.take_up(connection, self._configs, bandit, branch)
            except ModelRefusedError as error:
                _log.error("snapshot refused, folding it again", bandit_key=key[0], error=error.message)
                await models.forget_comparison(connection, branch)  # what was predicted is predicted again
                taken = await BranchFold.nearest(
                    connection, self._configs, bandit, branch, branch.newest_version
                )
        taken.bandit = bandit
        taken.compare_since(live.live_since_config or 0)
        self._folds[key] = taken  # last in, so the first is the one longest unused
        if len(self._folds) > _FOLDS:
            self._folds.pop(next(iter(self._folds))).close()
        return taken

    async def _lock(self, connection: Connection, bandit_key: str) -> bool:
        if bandit_key not in self._locked and await training.try_lock(connection, bandit_key):
            self._locked.add(bandit_key)
        return bandit_key in self._locked

    def _drop(self, bandit_key: str) -> None:
        for key in [key for key in self._folds if key[0] == bandit_key]:
            self._folds.pop(key).close()

    def close(self) -> None:
        """Forget what is held in memory; everything that counts is in the database."""
        for taken in self._folds.values():
            taken.close()
        self._folds.clear()
        self._locked.clear()
        self._behind.clear()


@asynccontextmanager
async def _transaction(connection: Connection) -> AsyncIterator[None]:
    with afterwards.committed():
        async with connection.transaction():
            yield


def _oldest_ready(due: Sequence[Due], entries: Sequence[LogEntry]) -> datetime:
    """A terminal event may be there before its decision, or before that is activated."""
    return min(
        max(d.ready_at, e.decision.activated_at or e.decision.decided_at)
        for d, e in zip(due, entries, strict=True)
    )
