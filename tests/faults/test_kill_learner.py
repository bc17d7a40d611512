from __future__ import annotations

import asyncio
import random
import signal

import httpx2

from bandit.db.pool import Connection
from tests.integration.helpers import create, decide, reward
from tests.integration.test_learner import assert_newest_model_is_the_fold_of_its_log
from tests.processes import serving

ROUNDS = 400
KILLS = 4


async def test_a_learner_killed_again_and_again_loses_and_repeats_nothing(
    database_url: str, connection: Connection
) -> None:
    rng = random.Random(1)
    with serving(database_url, publish_seconds=0.02, poll_seconds=0.05) as service:
        async with httpx2.AsyncClient(base_url=service.url) as http:
            await create(http, terminal_kinds=["reward"])
            kills = sorted(rng.sample(range(ROUNDS), KILLS))
            for i in range(ROUNDS):
                made = await decide(http, context={"x": i % 10 / 10})
                await reward(http, made["decision_id"], value=float(made["action"]["action_id"] == "b"))
                if i in kills:
                    service.learner.send_signal(signal.SIGKILL)
                    await asyncio.sleep(1.5)  # serve starts another
            async with asyncio.timeout(30):
                while await connection.fetchval("SELECT count(*) FROM training_log") < ROUNDS:
                    await asyncio.sleep(0.1)
    assert await connection.fetchval("SELECT count(*) FROM unsettled") == 0
    assert await connection.fetchval("SELECT count(DISTINCT decision_id) FROM training_log") == ROUNDS
    await assert_newest_model_is_the_fold_of_its_log(connection)
