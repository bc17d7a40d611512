"""Use case: accept activations and rewards, once each, in whatever order they come."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from bandit import exposures, metrics
from bandit.db import decisions, rewards, training
from bandit.db import exposures as shown
from bandit.db.bandits import ConfigCache
from bandit.db.exposures import Pair
from bandit.db.pool import WORK, Connection, Database, notify
from bandit.errors import InvalidInputError
from bandit.types import BanditConfig, Decision, ReceivedEvent, RewardEvent, Settlement, Value

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_CLOCKS_DIFFER = timedelta(days=1)
Status = Literal["accepted", "duplicate", "orphan"]


class Receipt(Value, frozen=True, kw_only=True):
    """What became of one reward event."""

    event_id: str
    source: str
    decision_id: str
    #: orphan: kept, and joined when its decision arrives.
    status: Status
    #: What the sender may want to know, in words.
    detail: str | None = None


class Feedback:
    """Accepts what comes back about decisions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._configs = ConfigCache()

    async def accept(self, events: Sequence[RewardEvent]) -> list[Receipt]:
        """Keep every event that is new; one receipt per event, in order. All are committed or none.

        Raises:
            InvalidInputError: an event's time cannot be.
            UnavailableError: nothing can be promised; send the same events again.
        """
        now = datetime.now(UTC)
        place = "rewards[{}]." if len(events) > 1 else ""
        received = [_received(event, now, place.format(i)) for i, event in enumerate(events)]
        async with self._database.transaction() as connection:
            new = await rewards.insert(connection, received)
            known = await decisions.locate(connection, {event.decision_id for event in received})
            settled = await training.settled_among(connection, known)
            configs = await self._configs.current(connection, {key for _, key in known.values()})
            kept = await rewards.first(connection, received) if len(new) < len(received) else {}
            receipts, signals, to_wake = [], [], set()
            for event in received:
                key = known[event.decision_id][1] if event.decision_id in known else None
                config = configs[key] if key else None
                identity = (event.source, event.event_id)
                if identity in new:
                    new.discard(identity)
                    late = event.decision_id in settled
                    receipts.append(_receipt(event, key, config, late=late))
                    terminal = config is None or (event.kind in config.terminal_kinds and not late)
                    if terminal and event.corrects is None:
                        signals.append(event)
                        to_wake |= {key} if key else set()
                else:
                    receipts.append(_duplicate(event, kept[identity]))
            await rewards.signal(connection, signals)
            for key in to_wake:
                await notify(connection, WORK, key)
        metrics.rewarded(receipt.status for receipt in receipts)
        return receipts

    async def activate(self, decision_id: str) -> bool:
        """Say that a deferred decision was really shown: from now on it waits for its reward and is learned.

        True if it is active now, by this call or an earlier one; False if it was never deferred.

        Raises:
            NotFoundError: there is no decision by that id.
        """
        async with self._database.transaction() as connection:
            place = (await decisions.locate(connection, [decision_id])).get(decision_id)
            if place is None:
                raise decisions.not_logged(decision_id)
            decided_at, bandit_key = place
            config = (await self._configs.current(connection, {bandit_key}))[bandit_key]
            counted = await self._counted(connection, (decision_id, decided_at), config)
            wait = timedelta(seconds=config.reward_wait)
            activated = await decisions.activate(connection, (decision_id, decided_at), wait)
            if counted is not None and activated.at is not None:
                pair, decision = counted
                await shown.insert(connection, [(pair, exposures.of(decision, activated.at))])
            await notify(connection, WORK, bandit_key)  # its reward may be here already
            return activated.deferred

    async def _counted(
        self, connection: Connection, place: tuple[str, datetime], config: BanditConfig
    ) -> tuple[Pair, Decision] | None:
        """Of what counts as shown to its subject once it is activated, for whom nobody decides meanwhile."""
        if not exposures.counts(config):
            return None
        (decision,) = (await decisions.fetch(connection, self._configs, [place])).values()
        if decision.asked.subject is None:
            return None
        pair = decision.bandit_key, decision.asked.subject
        await shown.hold(connection, [pair])
        return pair, decision

    async def received(self, decision_id: str) -> tuple[list[ReceivedEvent], Settlement | None]:
        """All reward events of a decision by time, and how it was settled (None while it waits)."""
        async with self._database.connection() as connection:
            events = (await rewards.for_decisions(connection, [decision_id]))[decision_id]
            settled = await training.settlement(connection, decision_id)
        return sorted(events, key=lambda e: (e.occurred_at, e.source, e.event_id)), settled


def _received(event: RewardEvent, now: datetime, at: str) -> ReceivedEvent:
    occurred_at = event.occurred_at or now
    if not _EARLIEST <= occurred_at <= now + _CLOCKS_DIFFER:
        raise InvalidInputError(
            f"{at}occurred_at: expected a time from the year 2000 to a day from now, got {occurred_at}.",
            target=f"{at}occurred_at",
        )
    if event.corrects is not None and event.corrects == event.event_id:
        raise InvalidInputError(
            f"{at}corrects: expected the event_id of an earlier event, got its own, {event.event_id!r}.",
            target=f"{at}corrects",
        )
    return ReceivedEvent(
        decision_id=event.decision_id,
        source=event.source,
        event_id=event.event_id or _content_id(event),
        kind=event.kind,
        value=event.value,
        occurred_at=min(occurred_at, now).astimezone(
            UTC
        ),  # a clock that is ahead must not cost its sender the reward
        received_at=now,
        corrects=event.corrects,
    )


def _content_id(event: RewardEvent) -> str:
    content = msgspec.json.encode(
        (event.decision_id, event.kind, event.value, event.occurred_at, event.corrects)
    )
    return "content-" + hashlib.blake2b(content, digest_size=16).hexdigest()


def _receipt(event: ReceivedEvent, key: str | None, config: BanditConfig | None, *, late: bool) -> Receipt:
    detail = None
    if event.corrects is not None:
        detail = (
            f"kept; its value takes the place of event {event.corrects!r} of source {event.source!r}, if "
            "that is one of this decision"
            + (": when the model is rebuilt, for it was settled before" if late else "")
        )
    elif config is not None and event.kind not in config.reward.kinds:
        detail = (
            f"kept, but kind {event.kind!r} is not in the reward definition of bandit {key!r} "
            f"({', '.join(sorted(config.reward.kinds))}), so it does not count"
        )
    elif late:
        detail = (
            "kept, but its decision was settled before it came, so it does not change the reward; if it "
            "occurred in time, it enters when the model is rebuilt, and in evaluation"
        )
    return _line(event, "orphan" if config is None else "accepted", detail)


def _duplicate(event: ReceivedEvent, first: ReceivedEvent) -> Receipt:
    detail = None
    if (event.decision_id, event.kind, event.value) != (first.decision_id, first.kind, first.value):
        detail = (
            f"not kept: this event_id of source {event.source!r} stands for kind {first.kind!r} of decision "
            f"{first.decision_id!r} with value {first.value}; give another event another event_id"
        )
    return _line(event, "duplicate", detail)


def _line(event: ReceivedEvent, status: Status, detail: str | None) -> Receipt:
    return Receipt(
        event_id=event.event_id,
        source=event.source,
        decision_id=event.decision_id,
        status=status,
        detail=detail,
    )
