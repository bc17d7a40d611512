"""Use case: decide where it counts what a subject was shown before, so that limits hold exactly.

One transaction holds its subjects against everybody else who decides for them, reads what they were shown,
chooses for one request after the other, and writes. A group of requests shares it. Who needs none of this
takes the shorter way of `bandit.decide`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias

from bandit import decide, exposures, metrics
from bandit.db import exposures as shown
from bandit.db.exposures import Pair
from bandit.db.pool import Connection, Database
from bandit.decide import Decider
from bandit.errors import ConflictError, SegbanditError
from bandit.groups import Groups
from bandit.recording import Recorder, in_batch, repeated
from bandit.serving import Serving
from bandit.steering import Exposure
from bandit.types import Decision, DecisionInput

#: The most decisions that one commit carries.
_GROUP = 200
_Result: TypeAlias = Decision | Exception


class Servings(Protocol):
    """The bandits of this process; what it gives is valid until the event loop comes round."""

    async def get(self, bandit_key: str) -> Serving:
        """The bandit to serve, which is loaded where it is not; that takes a connection, and a while.

        Raises:
            NotFoundError: no such bandit.
            UnavailableError: it is not loaded yet, and the database is away.
        """
        ...

    def loaded(self, bandit_key: str) -> Serving | None:
        """The bandit to serve; None: it is not loaded."""
        ...


class _Asked(NamedTuple):
    bandit_key: str
    asked: DecisionInput

    @property
    def pair(self) -> Pair | None:
        return None if self.asked.subject is None else (self.bandit_key, self.asked.subject)


class _Made(NamedTuple):
    decision: Decision
    reward_wait: float
    #: Whether it is to be counted as shown.
    counts: bool


class _UsedBeforeError(Exception):
    """Ids in a group were used before, so its decisions took into account what was never shown."""

    def __init__(self, results: Mapping[int, Decision | ConflictError]) -> None:
        super().__init__()
        self.results = results


class _UnloadedError(Exception):
    """The bandit was unloaded meanwhile.

    Who holds a connection must not wait for another to load it with: if all did that, none would get one.
    """


class LimitedDecider:
    """Decides for any bandit; where limits on what a subject is shown concern a request, they hold exactly.

    Without a subject there are no limits. A decision of such a subject is made at a time after all that the
    subject was shown; it counts from then on or, if it is deferred, from its activation on.
    """

    def __init__(self, database: Database, servings: Servings) -> None:
        self._database = database
        self._servings = servings
        self._ordinary = Decider(database)
        self._recorder = Recorder()
        self._groups = Groups(database, self._commit, most=_GROUP)

    async def decide(self, bandit_key: str, asked: DecisionInput) -> Decision:
        """One decision, committed.

        Raises:
            NotFoundError: no such bandit.
            InvalidInputError: nothing can be chosen from what was asked.
            ConflictError: the id was used for something else, or the bandit is archived.
            UnavailableError: it could not be committed.
        """
        while True:
            serving = await self._servings.get(bandit_key)
            if not _limited(serving, asked):
                return await self._ordinary.decide(serving, asked)
            answered: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
            self._groups.add(_Asked(bandit_key, asked), answered)
            with suppress(_UnloadedError):
                return await answered

    async def decide_many(self, bandit_key: str, asked: Sequence[DecisionInput]) -> list[Decision]:
        """Several decisions in one commit: all of them or, on any error, none. Errors as for `decide`."""
        group = [_Asked(bandit_key, one) for one in asked]
        while True:
            serving = await self._servings.get(bandit_key)
            if not any(_limited(serving, one) for one in asked):
                return await self._ordinary.decide_many(partial(self._servings.get, bandit_key), asked)
            with suppress(_UnloadedError):
                async with self._database.connection() as connection:
                    results = await self._commit(connection, group, all_or_none=True)
                return [result for result in results if isinstance(result, Decision)]

    async def find(self, decision_id: str) -> Decision:
        """A logged decision.

        Raises:
            NotFoundError: there is none by that id.
        """
        return await self._ordinary.find(decision_id)

    async def _commit(
        self, connection: Connection, group: Sequence[_Asked], *, all_or_none: bool = False
    ) -> list[_Result]:
        known: dict[int, _Result] = {}
        while True:  # each time around more are known
            began = time.perf_counter()
            try:
                async with connection.transaction():
                    results, new = await self._round(connection, group, known)
                    if all_or_none:
                        _raise_first(results)
            except _UsedBeforeError as found:
                known |= found.results
            else:
                metrics.committed([one.decision.mode for one in new], time.perf_counter() - began)
                return results

    async def _round(
        self, connection: Connection, group: Sequence[_Asked], known: Mapping[int, _Result]
    ) -> tuple[list[_Result], list[_Made]]:
        """Inside a transaction: choose where no result is known yet, and store it; all results; what is new.

        Raises:
            _UsedBeforeError: so nothing may be committed, and it is to be done again.
        """
        pairs = sorted({one.pair for one in group if one.pair is not None})
        now = await shown.hold(connection, pairs)
        before = await shown.recent(connection, pairs, now - exposures.DAYS, exposures.MOST)
        results, made, named = list[_Result](), dict[int, _Made](), dict[str, Decision]()
        turn_over = time.monotonic() + decide.TURN_SECONDS
        for index, one in enumerate(group):
            if time.monotonic() >= turn_over:
                await asyncio.sleep(0)  # others get their turn
                turn_over = time.monotonic() + decide.TURN_SECONDS
            result = known.get(index) or await self._chosen(connection, one, before, now, named)
            if isinstance(result, _Made):
                made[index] = result
                named[result.decision.decision_id] = result.decision
            results.append(result.decision if isinstance(result, _Made) else result)
        await self._store(connection, group, made)
        return results, list(made.values())

    async def _chosen(
        self,
        connection: Connection,
        one: _Asked,
        before: dict[Pair, list[Exposure]],
        now: datetime,
        named: Mapping[str, Decision],
    ) -> _Made | _Result:
        """`named`: what was made in this round, by id."""
        earlier = named.get(one.asked.decision_id or "")
        if earlier is not None:
            return repeated(one.bandit_key, one.asked, earlier)
        serving = self._servings.loaded(one.bandit_key)
        if serving is None:
            return _UnloadedError()
        try:
            return _made(serving, one, before, now)
        except SegbanditError as error:
            return await self._recorder.made_before(connection, one.bandit_key, one.asked, error)
        except Exception as error:  # whatever it is, its caller must hear of it, and the others go on
            return error

    async def _store(self, connection: Connection, group: Sequence[_Asked], made: dict[int, _Made]) -> None:
        new = list(made.values())
        if not new:
            return
        stored = await self._recorder.store(
            connection, [one.decision for one in new], [one.reward_wait for one in new]
        )
        used = {
            index: found
            for (index, one), found in zip(made.items(), stored, strict=True)
            if found is not one.decision
        }
        if used:
            raise _UsedBeforeError(used)
        await shown.insert(
            connection,
            [
                (pair, exposures.of(one.decision, one.decision.decided_at))
                for index, one in made.items()
                if one.counts and (pair := group[index].pair) is not None
            ],
        )


def _raise_first(results: Sequence[_Result]) -> None:
    for index, result in enumerate(results):
        if isinstance(result, Exception):
            with in_batch(index):
                raise result


def _limited(serving: Serving, asked: DecisionInput) -> bool:
    return asked.subject is not None and exposures.counts(serving.bandit.config)


def _made(serving: Serving, one: _Asked, before: dict[Pair, list[Exposure]], now: datetime) -> _Made:
    """The decision, taking into account what its subject was shown `before`, where it is counted at once."""
    earlier = before[one.pair] if one.pair is not None else []
    latest = max([now, *(exposure.at for exposure in earlier[-1:])])
    config = serving.bandit.config
    decision = decide.made(serving, one.asked, _milliseconds(latest), earlier if one.pair else None)
    counts = _limited(serving, one.asked) and not one.asked.deferred
    if counts:
        earlier.append(exposures.of(decision, decision.decided_at))
    return _Made(decision, config.reward_wait, counts)


def _milliseconds(at: datetime) -> int:
    """Since 1970; the first ones that are not before this moment."""
    return -((datetime(1970, 1, 1, tzinfo=UTC) - at) // timedelta(milliseconds=1))
