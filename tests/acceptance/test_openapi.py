"""The service against its own OpenAPI document, as a generated client would use it."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.conftest import cloned_database
from tests.processes import serving


@pytest.fixture(scope="module")
def url(server_url: str, template: str) -> Iterator[str]:
    with cloned_database(server_url, template) as database_url, serving(database_url) as service:
        hero = {"bandit_key": "hero", "actions": [{"action_id": "a"}, {"action_id": "b"}]}
        _call(f"{service.url}/v1/bandits", hero)
        _call(f"{service.url}/v1/decisions", {"bandit_key": "hero", "decision_id": "d"})
        yield service.url


CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
]  # fmt: skip


def test_whatever_is_sent_the_answer_is_a_documented_one(url: str) -> None:
    tried = set()
    for found in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        tried.add(operation.label)

        @given(case=operation.as_strategy())
        @settings(
            max_examples=30, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def conforms(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(checks=CHECKS)

        conforms()
    assert "POST /v1/decisions" in tried
    assert len(tried) == 25


def test_every_example_is_accepted_as_it_stands(url: str) -> None:
    document = _call(f"{url}/openapi.json")
    tried = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            if method == "post" and "example" in media and "archive" not in path and "models" not in path:
                example = media["example"]
                if path == "/v1/bandits":
                    example = {**example, "bandit_key": "from-example"}
                _call(url + path.replace("{bandit_key}", "hero"), example)
                tried += 1
    assert tried == 8


def test_fields_are_described_in_the_words_of_the_code(url: str) -> None:
    schemas = _call(f"{url}/openapi.json")["components"]["schemas"]
    described = schemas["DecisionRequest"]["properties"]["deferred"]["description"]
    assert described == "Learned from only once activated."
    names = ("DecisionRequest", "BanditCreate", "RewardEvent")
    fields = [field for name in names for field in schemas[name]["properties"].values()]
    assert sum("description" in field for field in fields) > 0.8 * len(fields)


def test_the_pages_of_the_api_are_there(url: str) -> None:
    """All of them from the service itself: it may run where nothing else is reached."""
    with urllib.request.urlopen(f"{url}/docs", timeout=5) as answer:  # noqa: S310 our own address
        page = answer.read().decode()
    parts = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(parts) >= 2
    for part in parts:
        assert part.startswith("/")
        with urllib.request.urlopen(url + part, timeout=5) as answer:  # noqa: S310 our own address
            assert answer.status == 200


def _call(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(url, data=data, timeout=10) as answer:  # noqa: S310 our own address
        return json.load(answer)
