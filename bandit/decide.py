"""Use case: choose, record, answer.

`choose` is pure, so an audit repeats it; a decision is answered only after it is committed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import structlog

from bandit import constraints, features, metrics, sampling
from bandit.db import decisions
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection, Database
from bandit.errors import (
    ConflictError,
    InvalidInputError,
    ModelRefusedError,
    SegbanditError,
    UnavailableError,
)
from bandit.policy import FixedPolicy, Policy
from bandit.serving import Serving
from bandit.types import Action, Decision, DecisionInput, LoggedChoice, ServedMode

_log = structlog.get_logger()
#: The most decisions that one commit carries.
_GROUP = 500
#: How long a batch keeps others waiting before it gives them a turn.
_TURN_SECONDS = 0.005
#: A decision, when its reward is due, and the caller who waits for the commit.
_Waiting = tuple[Decision, datetime, asyncio.Future[Decision]]


def choose(serving: Serving, asked: DecisionInput, decision_id: str, decided_at: datetime) -> Decision:
    """The decision that this bandit and this model make; the same arguments always give the same one.

    Raises:
        InvalidInputError: nothing can be chosen from what was asked.
    """
    config = serving.bandit.config
    everything = asked.actions or config.actions
    positions = constraints.eligible(everything, asked.excluded_actions)
    offered = [everything[position] for position in positions]
    draw = sampling.uniform(serving.bandit.salt, decision_id)
    mode: ServedMode = config.mode
    if mode == "logging_only" and asked.logged_choice is not None:
        pmf = _logged(asked.logged_choice, offered)
        chosen = pmf.index(asked.logged_choice.probability)
    else:
        if asked.logged_choice is not None:
            raise InvalidInputError(
                f"logged_choice: expected only in mode logging_only, but the bandit is in mode {mode}.",
                target="logged_choice",
            )
        pmf, mode = _distribution(serving, asked, offered)
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
    )


def _distribution(
    serving: Serving, asked: DecisionInput, offered: Sequence[Action]
) -> tuple[list[float], ServedMode]:
    config = serving.bandit.config
    baseline: Policy = FixedPolicy(config.baseline_action)
    if config.mode != "online":
        return baseline.distribution(asked.context, offered), config.mode
    try:
        if serving.policy is None:
            raise ModelRefusedError("expected a model, got none that could be loaded.")
        return serving.policy.distribution(asked.context, offered), "online"
    except Exception as error:  # a failed model, however it fails, never fails a decision
        _log.error(
            "model failed, baseline served", bandit_key=serving.bandit.bandit_key,
            model_version=serving.model_version, error=str(error),
        )  # fmt: skip
        return baseline.distribution(asked.context, offered), "fallback"


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
    now = datetime.now(UTC)
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    return choose(serving, asked, asked.decision_id or decisions.new_id(now, secrets.randbits(80)), now)


class Decider:
    """Chooses and records. Decisions that arrive while a commit is under way share the next one.

    An id that was used before gives the decision that was made then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._configs = ConfigCache()
        self._waiting: list[_Waiting] = []
        self._committing: asyncio.Task[None] | None = None

    async def decide(self, serving: Serving, asked: DecisionInput) -> Decision:
        """One decision, committed.

        Raises:
            InvalidInputError: nothing can be chosen from what was asked.
            ConflictError: the id was used for something else, or the bandit is archived.
            UnavailableError: it could not be committed.
        """
        decision = await self._chosen_or_made_before(serving, asked)
        recorded: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._waiting.append((decision, _due(serving, decision), recorded))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())
        return await recorded

    async def decide_many(
        self, current: Callable[[], Awaitable[Serving]], asked: Sequence[DecisionInput]
    ) -> list[Decision]:
        """Several decisions in one commit: all of them or, on any error, none. Errors as for `decide`.

        Others get their turn in between, so `current` is asked again for the bandit to serve.
        """
        made, due = [], []
        until = 0.0
        for index, one in enumerate(asked):
            if time.monotonic() >= until:
                await asyncio.sleep(0)
                serving = await current()
                until = time.monotonic() + _TURN_SECONDS
            with _named(index):
                made.append(await self._chosen_or_made_before(serving, one))
            due.append(_due(serving, made[-1]))
        began = time.perf_counter()
        async with self._database.transaction() as connection:
            results = []
            for index, result in enumerate(await self._store(connection, made, due)):
                with _named(index):
                    if isinstance(result, ConflictError):
                        raise result
                results.append(result)
        _measure(made, results, began)
        return results

    async def _chosen_or_made_before(self, serving: Serving, asked: DecisionInput) -> Decision:
        """What can no longer be decided may have been, under an earlier configuration: then that stands."""
        try:
            return _chosen(serving, asked)
        except SegbanditError:
            if asked.decision_id is None:
                raise
            async with self._database.connection() as connection:
                earlier = (await self._earlier(connection, [asked.decision_id])).get(asked.decision_id)
            if earlier is None or not _repeats(serving.bandit.bandit_key, asked, earlier):
                raise
            return earlier

    async def _commit_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:_GROUP], self._waiting[_GROUP:]
            await self._commit(group)
        self._committing = None

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        results: Sequence[Decision | Exception]
        began = time.perf_counter()
        try:
            async with self._database.transaction() as connection:
                results = await self._store(
                    connection, [d for d, _, _ in group], [due for _, due, _ in group]
                )
        except Exception as error:  # whatever it is, each caller must hear of it
            if len(group) > 1 and not isinstance(error, UnavailableError):
                for one in group:  # one of them spoils the commit of all: let it fail alone
                    await self._commit([one])
                return
            results = [error] * len(group)
        else:
            _measure([d for d, _, _ in group], results, began)
        for (_, _, recorded), result in zip(group, results, strict=True):
            if recorded.done():
                continue  # its caller has gone; the decision stays logged
            if isinstance(result, Exception):
                recorded.set_exception(result)
            else:
                recorded.set_result(result)

    async def _store(
        self, connection: Connection, made: Sequence[Decision], due: Sequence[datetime]
    ) -> list[Decision | ConflictError]:
        named = [decision for decision in made if decision.asked.decision_id is not None]
        free = await decisions.claim(connection, named) if named else set()
        new = []
        for index, decision in enumerate(made):
            if decision.asked.decision_id is None or decision.decision_id in free:
                free.discard(decision.decision_id)
                new.append(index)
        await decisions.insert(connection, [made[i] for i in new], [due[i] for i in new])
        if len(new) == len(made):
            return list(made)
        earlier = await self._earlier(connection, [d.decision_id for d in named])
        fresh = set(new)
        return [d if i in fresh else _same(d, earlier.get(d.decision_id)) for i, d in enumerate(made)]

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


def _measure(made: Sequence[Decision], results: Sequence[object], began: float) -> None:
    new = [d.mode for d, result in zip(made, results, strict=True) if result is d]
    metrics.committed(new, time.perf_counter() - began)


def _due(serving: Serving, decision: Decision) -> datetime:
    return decision.decided_at + timedelta(seconds=serving.bandit.config.reward_wait)


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
    without_id = msgspec.structs.replace(asked, decision_id=None)
    plain = _same_numbers(msgspec.to_builtins(without_id))
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
