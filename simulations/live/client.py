"""The service as the laboratory sees it: a port, and its HTTP adapter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import httpx2
import msgspec

from bandit.errors import ConflictError, SegbanditError, SetupError
from bandit.types import BanditConfig, DecisionInput, RewardEvent, ServedMode

#: Seconds until a call is given up: a learning service answers in milliseconds, a commit on a slow disk
#: may take some; an address at which nobody listens should be reported at once.
TIMEOUT = httpx2.Timeout(30.0, connect=5.0)
_CONNECTIONS = 16
_KEYS_TRIED = 1_000
T = TypeVar("T")


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of answers: open to fields of a newer service, unlike what the service accepts."""


class ChosenAction(_Answer, frozen=True, kw_only=True):
    """What to show."""

    action_id: str
    segment: str | None = None
    payload: Any = None


class Choice(_Answer, frozen=True, kw_only=True):
    """One decision as the service answers it."""

    decision_id: str
    action: ChosenAction
    #: With which the action was drawn, in (0, 1].
    probability: float
    #: 0: nothing was learned yet.
    model_version: int
    mode: ServedMode


class Settled(_Answer, frozen=True, kw_only=True):
    """A decision's place in the training log, from 1, and its reward."""

    seq: int
    reward: float


class LoggedDecision(Choice, frozen=True, kw_only=True):
    """One decision as it stands in the log."""

    bandit_key: str
    context: dict[str, Any]
    activated_at: datetime | None = None
    #: None while the decision waits for its reward.
    settled: Settled | None = None


class RewardReceipt(_Answer, frozen=True, kw_only=True):
    """What became of one reward event: accepted, duplicate or orphan."""

    event_id: str
    decision_id: str
    status: str


class Service(Protocol):
    """What the laboratory asks of a running service. Every call may raise a `SegbanditError`."""

    async def create_bandit(self, bandit_key: str, config: BanditConfig) -> None:
        """Create a decision point; ConflictError when the key is taken."""
        ...

    async def decide_many(self, bandit_key: str, asked: Sequence[DecisionInput]) -> list[Choice]:
        """One choice per decision asked for, in order; all are committed or none."""
        ...

    async def activate(self, decision_id: str) -> bool:
        """Say that a deferred decision was shown; False if it was active already."""
        ...

    async def send_rewards(self, events: Sequence[RewardEvent]) -> list[RewardReceipt]:
        """One receipt per event, in order; all are committed or none."""
        ...

    async def get(self, decision_id: str) -> LoggedDecision:
        """A decision as it was logged, and how it was settled."""
        ...


async def create_free(service: Service, name: str, config: BanditConfig) -> str:
    """Create a bandit under the first free key of `name`, `name-2`, `name-3`, ... and give that key.

    A key is never used twice, so nothing that was learned before can leak into a new run.

    Raises:
        ConflictError: none of the first 1,000 keys is free.
    """
    for number in range(1, _KEYS_TRIED + 1):
        key = name if number == 1 else f"{name}-{number}"
        try:
            await service.create_bandit(key, config)
        except ConflictError:
            continue
        return key
    raise ConflictError(
        f"bandit_key: expected a free key from {name} to {name}-{_KEYS_TRIED}, got none; use a new database.",
        target="bandit_key",
    )


class HttpService:
    """A service at an address, as an async context manager.

    Errors of the service are raised as the class of `bandit.errors` that bears their code, with the service's
    own message.

    Raises:
        SetupError: the address is not one, nobody answers there, or what answers is not this service.

    >>> async def main() -> None:
    ...     async with HttpService("http://127.0.0.1:8080") as service:
    ...         await service.decide_many("hero", [DecisionInput(context={"age": 30})])
    """

    def __init__(self, url: str, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._url = url.rstrip("/")
        if not self._url.startswith(("http://", "https://")):
            raise SetupError(f"--url: expected an address like http://127.0.0.1:8080, got {url!r}.")
        limits = httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        self._http = httpx2.AsyncClient(timeout=TIMEOUT, limits=limits, transport=transport)

    async def __aenter__(self) -> HttpService:
        """Open; connections are made with the first call."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def create_bandit(self, bandit_key: str, config: BanditConfig) -> None:
        """See `Service`. Fields at their default are left to the service's own."""
        default = BanditConfig(actions=config.actions)
        fields = {name: getattr(config, name) for name in BanditConfig.__struct_fields__}
        given = {n: v for n, v in fields.items() if n == "actions" or v != getattr(default, n)}
        await self._call("POST", "/v1/bandits", dict[str, Any], {"bandit_key": bandit_key, **given})

    async def decide_many(self, bandit_key: str, asked: Sequence[DecisionInput]) -> list[Choice]:
        """See `Service`."""
        body = {"bandit_key": bandit_key, "decisions": asked}
        answer = await self._call("POST", "/v1/decisions:batch", dict[str, list[Choice]], body)
        return _one_each(answer.get("decisions", []), asked)

    async def activate(self, decision_id: str) -> bool:
        """See `Service`."""
        path = f"/v1/decisions/{quote(decision_id, safe='')}/activate"
        answer = await self._call("POST", path, dict[str, Any])
        return bool(answer.get("activated"))

    async def send_rewards(self, events: Sequence[RewardEvent]) -> list[RewardReceipt]:
        """See `Service`."""
        answer = await self._call("POST", "/v1/rewards", dict[str, list[RewardReceipt]], {"rewards": events})
        return _one_each(answer.get("results", []), events)

    async def get(self, decision_id: str) -> LoggedDecision:
        """See `Service`."""
        return await self._call("GET", f"/v1/decisions/{quote(decision_id, safe='')}", LoggedDecision)

    async def _call(self, method: str, path: str, expected: type[T], body: Any = None) -> T:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            answer = await self._http.request(method, self._url + path, content=content, headers=headers)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise SetupError(
                f"expected a running service at {self._url}, but nothing answers there. "
                "Start one with `segbandit serve`, or correct the address (--url)."
            ) from error
        except httpx2.TimeoutException as error:
            raise SetupError(
                f"{method} {path}: expected an answer of {self._url} within {TIMEOUT.read:.0f} s, got none. "
                "Look at the service's log; it may be overloaded or its database slow."
            ) from error
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise SetupError(
                f"{method} {path}: expected an answer of {self._url}, got {type(error).__name__}: {error}. "
                "Is the service still running?"
            ) from error
        if answer.is_error:
            raise _error(answer, method, path)
        try:
            return msgspec.json.decode(answer.content, type=expected)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SetupError(
                f"{method} {path}: expected an answer of a segbandit service at {self._url}, got one that "
                f"does not read as such ({error}). Is another program listening there?"
            ) from error


class _ErrorBody(_Answer, frozen=True, kw_only=True):
    message: str
    code: str = SegbanditError.code
    target: str | None = None
    details: list[str] = []


class _ErrorAnswer(_Answer, frozen=True, kw_only=True):
    error: _ErrorBody


_CLASSES = {kind.code: kind for kind in SegbanditError.__subclasses__()}


def _error(answer: httpx2.Response, method: str, path: str) -> SegbanditError:
    try:
        said = msgspec.json.decode(answer.content, type=_ErrorAnswer).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return SetupError(
            f"{method} {path}: expected an answer of a segbandit service, got status {answer.status_code} "
            "without its error shape. Is another program listening at that address?"
        )
    return _CLASSES.get(said.code, SegbanditError)(said.message, target=said.target, details=said.details)


def _one_each(answers: list[T], asked: Sequence[Any]) -> list[T]:
    if len(answers) != len(asked):
        raise SetupError(
            f"expected one answer per item sent, got {len(answers)} for {len(asked)}. Is it segbandit?"
        )
    return answers
