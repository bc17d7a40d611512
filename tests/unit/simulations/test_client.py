from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx2
import pytest

from bandit.errors import ConflictError, SegbanditError, SetupError, UnavailableError
from bandit.types import Action, BanditConfig, DecisionInput, RewardEvent
from simulations.live.client import HttpService, create_free

_CONFIG = BanditConfig(actions=[Action(action_id="a")], reward_wait=5.0)
_CHOICE = {
    "decision_id": "d/1",
    "action": {"action_id": "a", "segment": None, "payload": {"x": 1}},
    "probability": 1.0,
    "action_probs": [{"action_id": "a", "probability": 1.0}],
    "model_version": 3,
    "mode": "online",
    "explored": False,
    "from_a_newer_service": True,
}
Answer = Callable[[httpx2.Request], httpx2.Response]


def _service(answer: Answer) -> HttpService:
    return HttpService("http://service/", transport=httpx2.MockTransport(answer))


def _error(status: int, code: str) -> Answer:
    body = {"error": {"code": code, "message": "a: expected b, got c.", "target": "a", "details": ["d"]}}
    return lambda _: httpx2.Response(status, json=body)


def _decide(answer: Answer) -> SegbanditError:
    async def call() -> None:
        async with _service(answer) as service:
            await service.decide_many("hero", [DecisionInput()])

    with pytest.raises(SegbanditError) as caught:
        asyncio.run(call())
    return caught.value


def test_calls_and_answers() -> None:
    seen: list[tuple[str, str, object]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode()
        seen.append((request.method, path, json.loads(request.content or b"null")))
        results = [
            {"event_id": "e", "source": "api", "decision_id": "d/1", "status": "accepted", "detail": None}
        ]
        logged = {**_CHOICE, "bandit_key": "hero", "context": {}, "settled": {"seq": 1, "reward": 1.0}}
        answers: dict[str, object] = {
            "/v1/bandits": {"bandit_key": "hero"},
            "/v1/decisions:batch": {"decisions": [_CHOICE]},
            "/v1/decisions/d%2F1/activate": {"decision_id": "d/1", "activated": True},
            "/v1/rewards": {"results": results},
            "/v1/decisions/d%2F1": logged,
        }
        return httpx2.Response(200, json=answers[path])

    async def calls() -> None:
        async with _service(answer) as service:
            await service.create_bandit("hero", _CONFIG)
            [choice] = await service.decide_many("hero", [DecisionInput(context={"x": 1}, deferred=True)])
            assert (choice.decision_id, choice.action.payload, choice.model_version) == ("d/1", {"x": 1}, 3)
            assert await service.activate("d/1")
            [receipt] = await service.send_rewards([RewardEvent(decision_id="d/1", event_id="e")])
            assert receipt.status == "accepted"
            logged = await service.get("d/1")
            assert logged.settled is not None
            assert logged.settled.reward == 1.0

    asyncio.run(calls())
    method, path, body = seen[0]
    assert (method, path) == ("POST", "/v1/bandits")
    assert isinstance(body, dict)
    assert set(body) == {"bandit_key", "actions", "reward_wait"}  # the service's own defaults for the rest
    assert [(method, path) for method, path, _ in seen[1:]] == [
        ("POST", "/v1/decisions:batch"),
        ("POST", "/v1/decisions/d%2F1/activate"),
        ("POST", "/v1/rewards"),
        ("GET", "/v1/decisions/d%2F1"),
    ]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "conflict", ConflictError),
        (503, "unavailable", UnavailableError),
        (418, "new_code", SegbanditError),
    ],
)
def test_errors_come_with_the_services_own_words(status: int, code: str, kind: type[SegbanditError]) -> None:
    error = _decide(_error(status, code))
    assert type(error) is kind
    assert (error.message, error.target, error.details) == ("a: expected b, got c.", "a", ("d",))


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(404, text="<html>not here</html>"),
        httpx2.Response(200, text="<html>welcome</html>"),
        httpx2.Response(200, json={"decisions": []}),
    ],
)
def test_another_program_at_the_address(answer: httpx2.Response) -> None:
    error = _decide(lambda _: answer)
    assert isinstance(error, SetupError)
    assert "segbandit" in error.message


def test_nobody_at_the_address() -> None:
    async def call() -> None:
        async with HttpService("http://127.0.0.1:9") as service:  # the discard port
            await service.activate("d-1")

    with pytest.raises(
        SetupError, match=r"http://127\.0\.0\.1:9, but nothing answers there.*segbandit serve"
    ):
        asyncio.run(call())


def test_an_answer_that_never_comes() -> None:
    def never(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("too long", request=request)

    assert "within 30 s" in _decide(never).message


def test_a_connection_that_breaks() -> None:
    def broken(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadError("reset", request=request)

    assert "still running" in _decide(broken).message


def test_an_address_that_is_none() -> None:
    with pytest.raises(SetupError, match="expected an address like"):
        HttpService("localhost:8080")


def test_other_errors_do_not_look_like_a_taken_key() -> None:
    async def call() -> None:
        async with _service(_error(503, "unavailable")) as service:
            await create_free(service, "hero", _CONFIG)

    with pytest.raises(UnavailableError):
        asyncio.run(call())
