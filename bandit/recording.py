"""Decisions into the log, each id once, and out of it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from bandit.db import decisions
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection
from bandit.errors import ConflictError, InvalidInputError, SegbanditError
from bandit.types import Decision, DecisionInput


class Recorder:
    """Writes decisions and finds them. An id that was used before gives the decision that was made then."""

    def __init__(self) -> None:
        self._configs = ConfigCache()

    async def store(
        self,
        connection: Connection,
        made: Sequence[Decision],
        waits: Sequence[float],
        *,
        all_or_none: bool = False,
    ) -> Sequence[Decision | ConflictError]:
        """Write decisions, which wait so many seconds for their reward; what stands for each, or why none.

        Raises:
            ConflictError: one cannot, with `all_or_none`.
        """
        named = [decision for decision in made if decision.asked.decision_id is not None]
        if not named:  # then nothing can be in the way: one statement, which is a transaction by itself
            await decisions.insert(connection, made, waits)
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
                found = await self.earlier(connection, [d.decision_id for d in named])
                for index in set(range(len(made))).difference(new):
                    decision = made[index]
                    earlier = found.get(decision.decision_id)
                    results[index] = result = repeated(decision.bandit_key, decision.asked, earlier)
                    with in_batch(index):
                        if all_or_none and isinstance(result, ConflictError):
                            raise result
        return results

    async def earlier(self, connection: Connection, ids: Sequence[str]) -> dict[str, Decision]:
        """Those decisions that are logged, by id."""
        places = await decisions.locate(connection, ids)
        found = [(decision_id, at) for decision_id, (at, _) in places.items()]
        return await decisions.fetch(connection, self._configs, found)

    async def made_before(
        self, connection: Connection, bandit_key: str, asked: DecisionInput, refusal: SegbanditError
    ) -> Decision | SegbanditError:
        """What can no longer be decided may have been, under an earlier configuration: then that stands."""
        if asked.decision_id is None:
            return refusal
        earlier = (await self.earlier(connection, [asked.decision_id])).get(asked.decision_id)
        return refusal if earlier is None or not _repeats(bandit_key, asked, earlier) else earlier


def repeated(bandit_key: str, asked: DecisionInput, earlier: Decision | None) -> Decision | ConflictError:
    """The decision that had this id before, if it was made for the same request; None: it is gone."""
    if earlier is not None and _repeats(bandit_key, asked, earlier):
        return earlier
    return ConflictError(
        "decision_id: expected an unused id or a repetition of the same request, "
        f"got {asked.decision_id!r}, which was used for a different one; nothing was stored.",
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
def in_batch(index: int) -> Iterator[None]:
    """Say of an error which decision of the batch it is about."""
    try:
        yield
    except (InvalidInputError, ConflictError) as error:
        name = f"decisions[{index}]."
        raise type(error)(name + error.message, target=f"{name}{error.target}") from error
