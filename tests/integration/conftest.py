from __future__ import annotations

import pytest

from bandit.db import schema
from bandit.db.pool import Connection
from tests.integration.days import DAY


@pytest.fixture
async def old_partitions(connection: Connection) -> None:
    """Partitions of days of long ago, as they would stand there had the service run then."""
    await schema.ensure_partitions(connection, DAY)
