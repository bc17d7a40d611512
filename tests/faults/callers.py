"""Well-behaved callers of the service, and what they were promised."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2


@dataclass
class Acknowledged:
    """What the service has answered for, so what the database must hold."""

    decisions: dict[str, Any] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Of each decision that is to be learned: the values of the events that count.
    learned: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class Caller:
    """Repeats each call until it is answered, and notes down the answer."""

    def __init__(self, http: httpx2.AsyncClient, name: str, acknowledged: Acknowledged) -> None:
        self._http = http
        self._name = name
        self._acknowledged = acknowledged
        self._rng = random.Random(name)
        self._made = 0

    async def play(self) -> None:
        """Ask for one decision or five, and report what comes of them."""
        rng = self._rng
        ids = self.new_ids(rng.choice([1, 1, 1, 5]))
        deferred = rng.random() < 0.2
        shown = not deferred or rng.random() < 0.5
        if rng.random() < 0.2:
            await self.report(ids[0], "click", counts=shown)  # before its decision
        await self.decide(ids, deferred=deferred)
        for decision_id in ids if shown else []:
            if deferred:
                await asyncio.sleep(rng.random() / 5)
                await self.call("POST", f"/v1/decisions/{decision_id}/activate")
            await self._report_outcome(decision_id)

    async def _report_outcome(self, decision_id: str) -> None:
        """Up to two clicks; mostly an order, which settles the decision; sometimes a click too late."""
        rng = self._rng
        self._acknowledged.learned[decision_id] += []
        for _ in range(rng.choice([0, 1, 2])):
            await self.report(decision_id, "click")
        if rng.random() < 0.7:
            await self.report(decision_id, "order")
            if rng.random() < 0.1:
                while (await self.call("GET", f"/v1/decisions/{decision_id}"))["settled"] is None:
                    await asyncio.sleep(0.1)
                await self.report(decision_id, "click", counts=False)

    def new_ids(self, count: int) -> list[str]:
        """Decision ids that nobody has used."""
        self._made += count
        return [f"{self._name}-{self._made - i}" for i in range(count)]

    async def decide(self, ids: list[str], *, deferred: bool = False) -> None:
        """Ask for these decisions, sometimes twice: the answers are the same."""
        x = self._rng.random()
        asked = [{"decision_id": i, "deferred": deferred, "context": {"x": x, "id": i[-1]}} for i in ids]
        for _ in range(self._rng.choice([1] * 9 + [2])):
            if len(asked) == 1:
                made = [await self.call("POST", "/v1/decisions", {"bandit_key": "hero"} | asked[0])]
            else:
                batch = {"bandit_key": "hero", "decisions": asked}
                made = (await self.call("POST", "/v1/decisions:batch", batch))["decisions"]
            for one in made:
                assert self._acknowledged.decisions.setdefault(one["decision_id"], one) == one

    async def report(self, decision_id: str, kind: str, *, counts: bool = True) -> None:
        """Send a reward event, sometimes again: it is kept once."""
        value = self._rng.randrange(1, 9) / 8  # sums of these are exact
        event_id = f"{decision_id}-{len(self._acknowledged.events)}"
        event = {"decision_id": decision_id, "kind": kind, "value": value, "event_id": event_id}
        await self.call("POST", "/v1/rewards", event)
        self._acknowledged.events[event_id] = event
        if counts:
            self._acknowledged.learned[decision_id].append(value)
        if self._rng.random() < 0.1:
            again = await self.call("POST", "/v1/rewards", {"rewards": [event, event]})
            assert [line["status"] for line in again["results"]] == ["duplicate", "duplicate"]

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer, after however many attempts it takes."""
        while True:
            with suppress(httpx2.TransportError):
                answer = await self._http.request(method, path, json=body)
                if answer.status_code != 503:
                    assert answer.is_success, answer.text
                    return answer.json()
            await asyncio.sleep(0.05)
