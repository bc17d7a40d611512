"""A struct as a JSON response."""

from __future__ import annotations

import msgspec
from fastapi import Response

_encoder = msgspec.json.Encoder()


def answer(status: int, value: msgspec.Struct) -> Response:
    """`value` as JSON with this status."""
    return Response(_encoder.encode(value), status, media_type="application/json")
