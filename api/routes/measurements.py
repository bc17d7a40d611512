"""What the processes of this service measured of themselves, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from api.deps import Here
from bandit import metrics

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=PlainTextResponse)
def measurements(here: Here) -> Response:
    """Counters, gauges and histograms of all processes of this `serve`, in the text format of Prometheus."""
    return Response(metrics.exposition(here.settings.metrics_folder), media_type=metrics.CONTENT_TYPE)
