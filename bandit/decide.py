"""Use case: choose, record, answer.

`choose` is pure, so an audit repeats it; a decision is answered only after it is committed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

import msgspec
import structlog

from bandit import constraints, features, metrics, sampling, shares
from bandit.db import decisions
from bandit.db.bandits import ConfigCache
from bandit.db.pool import AWAY, Connection, Database
from bandit.errors import (
    ConflictError,
    InvalidInputError,
    ModelRefusedError,
    SegbanditError,
    UnavailableError,
)
from bandit.policy import FixedPolicy, Policy
from bandit.serving import Serving
from bandit.shares import Shaped
from bandit.steering import Seen
from bandit.types import Action, Bandit, BanditConfig, Decision, DecisionInput, LoggedChoice, ServedMode

_log = structlog.get_logger()
#: The most decisions that one commit carries.
_GROUP = 500
#: How long a batch keeps others waiting before it gives them a turn.
_TURN_SECONDS = 0.002
#: Random digits for decision ids to come. (API processes are spawned, never forked, so no two share them.)
_RANDOM: list[str] = []
#: Who waits for a decision: for the commit, or for why there is none.
_Answered: TypeAlias = "asyncio.Future[Decision | SegbanditError]"
#: A decision, for how many seconds its reward is waited for, and who waits for its commit.
_Waiting = tuple[Decision, float, _Answered]


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
        positions = constraints.eligible(config, everything, asked, decided_at, seen)
        offered = _at(everything, positions)
        found = _shaped(serving, asked, offered, decided_at, seen) if mode == "online" else None
        if found is not None:
            pmf, unboosted = found
        else:
            mode = "fallback" if mode == "online" else mode
            pmf = FixedPolicy(config.baseline_action).distribution(asked.context, offered)
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
    serving: Served, asked: DecisionInput, offered: Sequence[Action], decided_at: datetime, seen: Seen | None
) -> Shaped | None:
    """What the policy's distribution becomes; None: there is no model that works."""
    try:
        if serving.policy is None:
            raise ModelRefusedError("expected a model, got none that could be loaded.")
        pmf = serving.policy.distribution(asked.context, offered)
        return shares.shaped(serving.bandit.config, offered, pmf, asked.context, decided_at, seen)
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


def _chosen(serving: Serving, asked: DecisionInput) -> Decision:
    if serving.bandit.archived:
        raise ConflictError(
            f"bandit_key: expected a bandit in service, got {serving.bandit.bandit_key!r}, "
            "which is archived.",
            target="bandit_key",
        )
    features.check(asked.context, "context")
    if asked.actions is not None:
        features.check_actions(asked.actions)
    milliseconds = time.time_ns() // 1_000_000
    decided_at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    decision_id = asked.decision_id or decisions.new_id(milliseconds, _random_digits())
    return choose(serving, asked, decision_id, decided_at)


def _random_digits() -> str:
    """20 unpredictable hexadecimal digits; to ask the system for each decision's alone would take longer."""
    if not _RANDOM:
        fresh = os.urandom(10 * 256).hex()
        _RANDOM.extend(fresh[at : at + 20] for at in range(0, len(fresh), 20))
    return _RANDOM.pop()


class Decider:
    """Chooses and records. Decisions that arrive while a commit is under way share the next one.

    An id that was used before gives the decision that was made then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._configs = ConfigCache()
        self._asked: list[tuple[Serving, DecisionInput, _Answered]] = []
        self._waiting: list[_Waiting] = []
        self._committing: asyncio.Task[None] | None = None

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
                decision = _chosen(serving, one)
            except SegbanditError as error:
                answered.set_result(error)
            except Exception as error:  # whatever it is, its caller must hear of it, and the others go on
                answered.set_exception(error)
            else:
                self._waiting.append((decision, serving.bandit.config.reward_wait, answered))
        if self._committing is None and self._waiting:
            self._committing = asyncio.create_task(self._commit_all())

    async def decide_many(
        self, current: Callable[[], Awaitable[Serving]], asked: Sequence[DecisionInput]
    ) -> list[Decision]:
        """Several decisions in one commit: all of them or, on any error, none. Errors as for `decide`.

        Others get their turn in between, so `current` is asked again for the bandit to serve.
        """
        made, waits = [], []
        until = 0.0
        for index, one in enumerate(asked):
            if time.monotonic() >= until:
                await asyncio.sleep(0)
                serving = await current()
                until = time.monotonic() + _TURN_SECONDS
            try:
                made.append(_chosen(serving, one))
            except SegbanditError as error:
                with _named(index):
                    made.append(await self._made_before(serving.bandit.bandit_key, one, error))
                until = 0.0  # others had their turn, so what is served may be another now
            waits.append(serving.bandit.config.reward_wait)
        async with self._database.connection() as connection:
            stored = await self._stored(connection, made, waits, all_or_none=True)
        return [decision for decision in stored if not isinstance(decision, ConflictError)]

    async def _made_before(self, bandit_key: str, asked: DecisionInput, refusal: SegbanditError) -> Decision:
        """What can no longer be decided may have been, under an earlier configuration: then that stands."""
        if asked.decision_id is None:
            raise refusal
        async with self._database.connection() as connection:
            earlier = (await self._earlier(connection, [asked.decision_id])).get(asked.decision_id)
        if earlier is None or not _repeats(bandit_key, asked, earlier):
            raise refusal
        return earlier

    async def _commit_all(self) -> None:
        """Commit what waits, a group at a time, on one connection for as long as something waits."""
        group: list[_Waiting] = []
        try:
            while self._waiting:
                try:
                    async with self._database.connection() as connection:
                        while self._waiting:
                            group, self._waiting = self._waiting[:_GROUP], self._waiting[_GROUP:]
                            await self._commit(connection, group)
                            group = []
                except Exception as error:  # whatever it is, each caller must hear of it
                    if not group:  # there was no connection for any
                        group, self._waiting = self._waiting, []
                    _tell(group, [error] * len(group))
                    group = []
        finally:  # who is left was stopped together with us
            stopped = UnavailableError("expected to commit the decision, but was stopped. Repeat the call.")
            _tell(group, [stopped] * len(group))
            self._committing = None

    async def _commit(self, connection: Connection, group: Sequence[_Waiting]) -> None:
        results: Sequence[Decision | Exception]
        try:
            results = await self._stored(connection, [d for d, _, _ in group], [wait for _, wait, _ in group])
        except AWAY:
            raise
        except Exception as error:
            if len(group) > 1:
                for one in group:  # one of them spoils the commit of all: let it fail alone
                    await self._commit(connection, [one])
                return
            results = [error]
        _tell(group, results)

    async def _stored(
        self,
        connection: Connection,
        made: Sequence[Decision],
        waits: Sequence[float],
        *,
        all_or_none: bool = False,
    ) -> Sequence[Decision | ConflictError]:
        """Commit decisions; what stands for each, or why it cannot, which `all_or_none` raises."""
        named = [decision for decision in made if decision.asked.decision_id is not None]
        began = time.perf_counter()
        if not named:  # then nothing can be in the way: one statement, which is a transaction by itself
            await decisions.insert(connection, made, waits)
            metrics.committed([d.mode for d in made], time.perf_counter() - began)
            return made
        async with connection.transaction():
            free = await decisions.claim(connection, named)
            new = []
            for index, decision in enumerate(made):
                if decision.asked.decision_id is None or decision.decision_id in free:
                    free.discard(decision.decision_id)
                    new.append(index)
            await decisions.insert(connection, [made[i] for i in new], [waits[i] for i in new])
            results: list[Decision | ConflictError] = list(made)
            if len(new) < len(made):
                earlier = await self._earlier(connection, [d.decision_id for d in named])
                for index in set(range(len(made))).difference(new):
                    results[index] = found = _same(made[index], earlier.get(made[index].decision_id))
                    with _named(index):
                        if all_or_none and isinstance(found, ConflictError):
                            raise found
        metrics.committed([made[i].mode for i in new], time.perf_counter() - began)
        return results

    async def _earlier(self, connection: Connection, ids: Sequence[str]) -> dict[str, Decision]:
        places = await decisions.locate(connection, ids)
        return await decisions.fetch(connection, self._configs, [(i, at) for i, (at, _) in places.items()])

    async def find(self, decision_id: str) -> Decision:
        """A logged decision.

        Raises:
            NotFoundError: there is none by that id.
        """
        async with self._database.connection() as connection:
            found = (await self._earlier(connection, [decision_id])).get(decision_id)
        if found is None:
            raise decisions.not_logged(decision_id)
        return found


def _tell(group: Sequence[_Waiting], results: Sequence[Decision | Exception]) -> None:
    for (_, _, answered), result in zip(group, results, strict=True):
        if answered.done():
            continue  # its caller has gone; the decision stays logged
        if isinstance(result, Exception):
            answered.set_exception(result)
        else:
            answered.set_result(result)


def _same(decision: Decision, earlier: Decision | None) -> Decision | ConflictError:
    if earlier is not None and _repeats(decision.bandit_key, decision.asked, earlier):
        return earlier
    return ConflictError(
        "decision_id: expected an unused id or a repetition of the same request, "
        f"got {decision.decision_id!r}, which was used for a different one; nothing was stored.",
        target="decision_id",
    )


def _repeats(bandit_key: str, asked: DecisionInput, earlier: Decision) -> bool:
    return _request(bandit_key, asked) == _request(earlier.bandit_key, earlier.asked)


def _request(bandit_key: str, asked: DecisionInput) -> bytes:
    said = [getattr(asked, name) for name in DecisionInput.__struct_fields__ if name != "decision_id"]
    plain = _same_numbers(msgspec.to_builtins(said))
    return msgspec.json.encode((bandit_key, plain), order="deterministic")


def _same_numbers(value: Any) -> Any:
    """One client writes 1 where another writes 1.0; it is the same request."""
    if isinstance(value, dict):
        return {key: _same_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_same_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@contextmanager
def _named(index: int) -> Iterator[None]:
    """Say of an error which decision of the batch it is about."""
    try:
        yield
    except (InvalidInputError, ConflictError) as error:
        name = f"decisions[{index}]."
        raise type(error)(name + error.message, target=f"{name}{error.target}") from error
