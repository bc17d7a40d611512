"""What owners should look at."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.answer import answer
from api.deps import Here
from api.openapi import documented
from api.routes.bandits import Key
from api.schemas import AlertList, alert_list
from bandit import alerts

router = APIRouter(prefix="/v1/bandits/{bandit_key}/alerts", tags=["alerts"])
#: What an alert's number, a bigint in the database, can be.
_LARGEST = 2**63 - 1
Before = Annotated[int, Query(ge=1, le=_LARGEST, description="Only past alerts under this one.")]
Limit = Annotated[int, Query(ge=1, le=1_000, description="How many past alerts at most.")]


@router.get("", **documented(200, AlertList))
async def list_alerts(bandit_key: Key, here: Here, before: Before = _LARGEST, limit: Limit = 100) -> Response:
    """The open alerts, and past ones, newest first."""
    found = await alerts.of_bandit(here.database, bandit_key, before=before, limit=limit + 1)
    return answer(200, alert_list(found, limit))
