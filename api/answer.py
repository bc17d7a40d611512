"""A struct as a JSON response."""

from __future__ import annotations

import msgspec
from fastapi import Response

#: A value as the bytes of its JSON.
encode = msgspec.json.Encoder().encode


def answer(status: int, value: msgspec.Struct) -> Response:
    """`value` as JSON with this status."""
    return Response(encode(value), status, media_type="application/json")
