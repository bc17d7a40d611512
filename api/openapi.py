"""How the wire stands in OpenAPI: schemas from the structs, described by the comments over their fields."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.schemas import (
    Activation,
    AlertList,
    AuditAnswer,
    BanditAnswer,
    BanditCreate,
    BanditList,
    BanditPatch,
    BatchAnswer,
    BatchRequest,
    DecisionAnswer,
    DecisionRecord,
    DecisionRequest,
    ErrorAnswer,
    Health,
    ModelList,
    RewardAnswer,
    RewardBatch,
    Signed,
)
from api.switching import ChangeList, SwitchAnswer, SwitchRequest
from bandit.explanation import Explanation
from bandit.readiness import Readiness
from bandit.types import RewardEvent, Value


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, with our schemas."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary="Decisions that can be proved: choose, log, reward, learn.",
            routes=app.routes,
        )
        document.setdefault("components", {})["schemas"] = components()
        app.openapi_schema = document
    return app.openapi_schema


_WIRE = [
    BanditCreate, BanditPatch, BanditAnswer, BanditList, Signed, SwitchRequest, SwitchAnswer, ChangeList,
    DecisionRequest, BatchRequest, DecisionAnswer, BatchAnswer, DecisionRecord, Activation,
    AuditAnswer, Explanation, Readiness, ModelList, AlertList,
    RewardEvent, RewardBatch, RewardAnswer, Health, ErrorAnswer,
]  # fmt: skip


def components() -> dict[str, Any]:
    """The JSON schemas of everything on the wire, by name; what `#:` says of a field is its description."""
    schemas = msgspec.json.schema_components(_WIRE, ref_template="#/components/schemas/{name}")[1]
    said = {kind.__name__: _said_of_fields(kind) for kind in _structs(Value)}
    for name, schema in schemas.items():
        for field, definition in schema.get("properties", {}).items():
            if field in said.get(name, {}) and "$ref" not in definition:
                definition.setdefault("description", said[name][field])
    return schemas


def _structs(base: type[Value]) -> Iterator[type[Value]]:
    yield base
    for kind in base.__subclasses__():
        yield from _structs(kind)


def _said_of_fields(kind: type[Value]) -> dict[str, str]:
    """The `#:` comments over the fields of a struct and of those it extends, by field."""
    said: dict[str, str] = {}
    for parent in kind.__mro__:
        if isinstance(parent, type) and issubclass(parent, Value):
            for comment, field in _COMMENTED.findall(inspect.getsource(parent)):
                said.setdefault(field, " ".join(comment.replace("#:", "").split()))
    return said


_COMMENTED = re.compile(r"((?:^    #:.*\n)+)    (\w+):", re.MULTILINE)


def documented(
    status: int,
    answer: type,
    *,
    body: Any = None,
    body_example: Any = None,
    body_needed: bool = True,
    example: Any = None,
) -> dict[str, Any]:
    """Arguments of a route decorator that put the body, the answer and the errors into OpenAPI."""
    extra: dict[str, Any] = {}
    if body is not None:
        extra["requestBody"] = {"required": body_needed, "content": _content(body, body_example)}
    errors = {
        code: {"description": text, "content": _content(ErrorAnswer, None)} for code, text in _ERRORS.items()
    }
    answers = {
        str(status): {"description": (answer.__doc__ or "").strip(), "content": _content(answer, example)}
    }
    return {"status_code": status, "openapi_extra": extra | {"responses": answers | errors}}


_ERRORS = {
    "404": "There is nothing by that name.",
    "409": "The name is taken by something else, or its state does not allow this.",
    "413": "The body is too large.",
    "422": "The body is not what is expected; nothing was changed.",
    "503": "The database is away; repeat the call, with the same ids, until it is answered.",
}


def _content(kind: Any, example: Any) -> dict[str, Any]:
    kinds = kind if isinstance(kind, list) else [kind]
    schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")[0]
    schema = {"oneOf": list(schemas)} if isinstance(kind, list) else schemas[0]
    media: dict[str, Any] = {"schema": schema}
    if example is not None:
        media["example"] = example
    return {"application/json": media}
