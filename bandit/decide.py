"""Use case: choose, record, answer.

`choose` is pure, so an audit repeats it; a decision is answered only after it is committed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

import msgspec
import structlog

from bandit import constraints, exposures, features, metrics, sampling, shares
from bandit.db import decisions
from bandit.db.pool import Connection, Database
from bandit.errors import ConflictError, InvalidInputError, ModelRefusedError, SegbanditError
from bandit.groups import Groups
from bandit.policy import BaselinePolicy, Policy
from bandit.recording import Recorder, in_batch
from bandit.serving import Serving
from bandit.shares import Shaped
from bandit.situation import Situation
from bandit.steering import Exposure, Seen
from bandit.types import Action, Bandit, BanditConfig, Decision, DecisionInput, LoggedChoice, ServedMode

_log = structlog.get_logger()
#: Who waits for a decision, or for why none could be made.
_Answered: TypeAlias = "asyncio.Future[Decision | SegbanditError]"
#: The most decisions that one commit carries.
_GROUP = 500
#: How long a batch keeps others waiting before it gives them a turn.
TURN_SECONDS = 0.002
#: Random digits for decision ids to come. (API processes are spawned, never forked, so no two share them.)
_RANDOM: list[str] = []


class Served(Protocol):
    """What `choose` needs to know of a bandit: a `Serving`, or one that was never stored."""

    @property
    def bandit(self) -> Bandit:
        """With the configuration in force."""
        ...

    @property
    def policy(self) -> Policy | None:
        """None where there is none that could be loaded: the baseline is served."""
        ...

    @property
    def model_version(self) -> int:
        """What the decision is logged with."""
        ...


def choose(
    serving: Served,
    asked: DecisionInput,
    decision_id: str,
    decided_at: datetime,
    seen: Seen | None = None,
) -> Decision:
    """The decision that this bandit and this model make; the same arguments always give the same one.

    `seen`: what the subject was shown before, as `exposures.seen` gives it.

    Raises:
        InvalidInputError: nothing can be chosen from what was asked.
    """
    config = serving.bandit.config
    everything = asked.actions or config.actions
    draw = sampling.uniform(serving.bandit.salt, decision_id)
    mode: ServedMode = "paused" if config.paused else config.mode
    unboosted: list[float] | None = None
    if asked.logged_choice is not None:
        mode = _recording(config)
        positions = constraints.allowed(_without_kills(config), everything, asked.excluded_actions)
        offered = _at(everything, positions)
        pmf = _logged(asked.logged_choice, offered)
        chosen = pmf.index(asked.logged_choice.probability)
    else:
        asks = config.constraints or config.boosts
        situation = Situation(config.time_zone, asked.context, decided_at) if asks else None
        positions = constraints.eligible(config, everything, asked, decided_at, seen, situation)
        offered = _at(everything, positions)
        found = _shaped(serving, asked, offered, decided_at, seen, situation) if mode == "online" else None
        if found is not None:
            pmf, unboosted = found
        else:
            mode = "fallback" if mode == "online" else mode
            pmf = BaselinePolicy(config).distribution(asked.context, offered)
        chosen = sampling.draw(pmf, draw)
    return Decision(
        decision_id=decision_id,
        bandit_key=serving.bandit.bandit_key,
        decided_at=decided_at,
        asked=asked,
        offered=offered,
        positions=positions,
        pmf=pmf,
        chosen=chosen,
        draw=draw,
        model_version=serving.model_version,
        config_version=serving.bandit.config_version,
        mode=mode,
        seen=seen,
        unboosted=unboosted,
    )


def _recording(config: BanditConfig) -> ServedMode:
    if config.mode != "logging_only":
        raise InvalidInputError(
            f"logged_choice: expected only in mode logging_only, but the bandit is in mode {config.mode}.",
            target="logged_choice",
        )
    return "logging_only"


def _without_kills(config: BanditConfig) -> BanditConfig:
    """What a caller served has happened, whatever should have been."""
    if not config.killed_actions and not config.killed_segments:
        return config
    return msgspec.structs.replace(config, killed_actions=[], killed_segments=[])


def _at(everything: list[Action], positions: list[int]) -> list[Action]:
    return everything if len(positions) == len(everything) else [everything[i] for i in positions]


def _shaped(
    serving: Served,
    asked: DecisionInput,
    offered: Sequence[Action],
    decided_at: datetime,
    seen: Seen | None,
    situation: Situation | None,
) -> Shaped | None:
    """What the policy's distribution becomes; None: there is no model that works."""
    try:
        if serving.policy is None:
            raise ModelRefusedError("expected a model, got none that could be loaded.")
        pmf = serving.policy.distribution(asked.context, offered)
        return shares.shaped(serving.bandit.config, offered, pmf, asked.context, decided_at, seen, situation)
    except Exception as error:  # a failed model, however it fails, never fails a decision
        _log.error(
            "model failed, baseline served", bandit_key=serving.bandit.bandit_key,
            model_version=serving.model_version, error=str(error),
        )  # fmt: skip
        return None


def _logged(choice: LoggedChoice, offered: Sequence[Action]) -> list[float]:
    """Only the probability of what was chosen is known; the others are given as 0."""
    pmf = [choice.probability if action.action_id == choice.action_id else 0.0 for action in offered]
    if not any(pmf):
        raise InvalidInputError(
            f"logged_choice.action_id: expected one of the offered actions, got {choice.action_id!r}.",
            target="logged_choice.action_id",
        )
    return pmf


def made(
    serving: Serving, asked: DecisionInput, milliseconds: int, shown: Sequence[Exposure] | None = None
) -> Decision:
    """The decision that is made of a request at this time, in milliseconds since 1970.

    `shown`: what its subject was shown before, oldest first; None: nobody knows.

    Raises:
        InvalidInputError: nothing can be chosen from what was asked.
        ConflictError: the bandit is archived.
    """
    if serving.bandit.archived:
        raise ConflictError(
            f"bandit_key: expected a bandit in service, got {serving.bandit.bandit_key!r}, "
            "which is archived.",
            target="bandit_key",
        )
    features.check(asked.context, "context")
    if asked.actions is not None:
        features.check_actions(asked.actions)
    decided_at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    decision_id = asked.decision_id or decisions.new_id(milliseconds, _random_digits())
    seen = None if shown is None else exposures.seen(serving.bandit.config, shown, decided_at)
    return choose(serving, asked, decision_id, decided_at, seen)


def _made_now(serving: Serving, asked: DecisionInput) -> Decision:
    return made(serving, asked, time.time_ns() // 1_000_000)


def _random_digits() -> str:
    """20 unpredictable hexadecimal digits; to ask the system for each decision's alone would take longer."""
    if not _RANDOM:
        fresh = os.urandom(10 * 256).hex()
        _RANDOM.extend(fresh[at : at + 20] for at in range(0, len(fresh), 20))
    return _RANDOM.pop()


class Decider:
    """Chooses and records. Decisions that arrive while a commit is under way share the next one.

    An id that was used before gives the decision that was made then. What subjects were shown before is not
    looked at: where that counts, `bandit.limited` decides.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._recorder = Recorder()
        self._asked: list[tuple[Serving, DecisionInput, _Answered]] = []
        self._groups = Groups(database, self._commit, most=_GROUP)

    async def decide(self, serving: Serving, asked: DecisionInput) -> Decision:
        """One decision, committed.

        Raises:
            InvalidInputError: nothing can be chosen from what was asked.
            ConflictError: the id was used for something else, or the bandit is archived.
            UnavailableError: it could not be committed.
        """
        loop = asyncio.get_running_loop()
        answered: _Answered = loop.create_future()
        if not self._asked:
            loop.call_soon(self._choose_all)
        self._asked.append((serving, asked, answered))
        answer = await answered
        if isinstance(answer, Decision):
            return answer
        return await self._made_before(serving.bandit.bandit_key, asked, answer)

    def _choose_all(self) -> None:
        """Choose for all who asked in this turn of the event loop: together that takes a tenth less time."""
        asked, self._asked = self._asked, []
        for serving, one, answered in asked:
            if answered.done():
                continue  # its caller has gone
            try:
                decision = _made_now(serving, one)
            except SegbanditError as error:
                answered.set_result(error)
            except Exception as error:  # whatever it is, its caller must hear of it, and the others go on
                answered.set_exception(error)
            else:
                self._groups.add((decision, serving.bandit.config.reward_wait), answered)

    async def decide_many(
        self, current: Callable[[], Awaitable[Serving]], asked: Sequence[DecisionInput]
    ) -> list[Decision]:
        """Several decisions in one commit: all of them or, on any error, none. Errors as for `decide`.

        Others get their turn in between, so `current` is asked again for the bandit to serve.
        """
        chosen, waits = [], []
        until = 0.0
        for index, one in enumerate(asked):
            if time.monotonic() >= until:
                await asyncio.sleep(0)
                serving = await current()
                until = time.monotonic() + TURN_SECONDS
            try:
                chosen.append(_made_now(serving, one))
            except SegbanditError as error:
                with in_batch(index):
                    chosen.append(await self._made_before(serving.bandit.bandit_key, one, error))
                until = 0.0  # others had their turn, so what is served may be another now
            waits.append(serving.bandit.config.reward_wait)
        async with self._database.connection() as connection:
            stored = await self._stored(connection, chosen, waits, all_or_none=True)
        return [decision for decision in stored if not isinstance(decision, ConflictError)]

    async def find(self, decision_id: str) -> Decision:
        """A logged decision.

        Raises:
            NotFoundError: there is none by that id.
        """
        async with self._database.connection() as connection:
            found = (await self._recorder.earlier(connection, [decision_id])).get(decision_id)
        if found is None:
            raise decisions.not_logged(decision_id)
        return found

    async def _made_before(self, bandit_key: str, asked: DecisionInput, refusal: SegbanditError) -> Decision:
        if asked.decision_id is None:
            raise refusal
        async with self._database.connection() as connection:
            found = await self._recorder.made_before(connection, bandit_key, asked, refusal)
        if isinstance(found, SegbanditError):
            raise found
        return found

    async def _commit(
        self, connection: Connection, group: Sequence[tuple[Decision, float]]
    ) -> Sequence[Decision | ConflictError]:
        return await self._stored(connection, [one for one, _ in group], [wait for _, wait in group])

    async def _stored(
        self,
        connection: Connection,
        chosen: Sequence[Decision],
        waits: Sequence[float],
        *,
        all_or_none: bool = False,
    ) -> Sequence[Decision | ConflictError]:
        began = time.perf_counter()
        stored = await self._recorder.store(connection, chosen, waits, all_or_none=all_or_none)
        new = [one.mode for one, result in zip(chosen, stored, strict=True) if result is one]
        metrics.committed(new, time.perf_counter() - began)
        return stored
