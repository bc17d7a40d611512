"""Constraints, kills and a changing catalogue through the API, the real learner and the audit."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from bandit import audit
from bandit.db.pool import Connection, Database
from tests.conftest import Step, api_process
from tests.integration.helpers import create, decide, refused, reward
from tests.integration.test_learner import TERMINAL

TOPICS = ("sport", "money")
#: Two articles of each topic.
ARTICLES: list[dict[str, Any]] = [
    {"action_id": f"{topic}-{i}", "segment": topic, "features": {"topic": topic}}
    for topic in TOPICS
    for i in range(2)
]
FRESH = {"action_id": "sport-2", "segment": "sport", "features": {"topic": "sport"}}


async def patch(client: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.patch("/v1/bandits/hero", json=fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def refresh(client: httpx2.AsyncClient) -> None:
    await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest


async def read(client: httpx2.AsyncClient, rounds: int, **fields: Any) -> list[dict[str, Any]]:
    """Readers of both topics in turn, who like theirs."""
    made = []
    for i in range(rounds):
        likes = TOPICS[i % 2]
        made.append(await decide(client, context={"likes": likes}, **fields))
        paid = made[-1]["action"]["action_id"].startswith(likes)
        await reward(client, made[-1]["decision_id"], value=float(paid))
    return made


def shares(decision: dict[str, Any]) -> dict[str, float]:
    return {each["action_id"]: each["probability"] for each in decision["action_probs"]}


async def audited(database: Database) -> audit.AuditReport:
    report = await audit.audit_everything(database, "hero")
    assert report.difference is None
    return report


async def taught(client: httpx2.AsyncClient, learn: Step, **fields: Any) -> None:
    await create(client, actions=ARTICLES, **TERMINAL, **fields)
    for _ in range(8):
        await read(client, 40)
        await learn()
        await refresh(client)


async def test_an_action_added_now_is_tried_by_every_process_and_known_by_its_features(
    client: httpx2.AsyncClient, database_url: str, database: Database, learn: Step
) -> None:
    await taught(client, learn, newcomers={"share": 0.2})
    async with api_process(database_url) as other:
        await decide(other, context={"likes": "money"})
        changed = await patch(client, actions=[*ARTICLES, FRESH])
        assert [action["added_at"] is not None for action in changed["actions"]] == [False] * 4 + [True]
        await refresh(other)
        for process in (client, other):
            decision = await decide(process, context={"likes": "money"})
            assert shares(decision)["sport-2"] == pytest.approx(0.2), "though readers of money do not want it"
    served = await client.app.state.process.servings.get("hero")  # type: ignore[attr-defined]
    config = served.bandit.config
    pmf = served.policy.distribution({"likes": "sport"}, config.actions)
    assert pmf[4] > 3 * max(pmf[2:4]), "of what it was never seen to earn, its topic says much"
    drawn = [d["action"]["action_id"] for d in await read(client, 60)]
    assert "sport-2" in drawn
    await learn()
    await audited(database)


async def test_a_newcomer_is_one_for_a_while_and_whatever_its_caller_says(
    client: httpx2.AsyncClient,
) -> None:
    old = "2020-01-01T00:00:00Z"
    made = await create(client, actions=[a | {"added_at": old} for a in ARTICLES])
    assert {action["added_at"] for action in made["actions"]} == {None}
    await patch(client, newcomers={"share": 0.5, "seconds": 0.05}, actions=[*ARTICLES, FRESH])
    changed = await patch(client, actions=[*ARTICLES, FRESH | {"added_at": old, "payload": 1}])
    assert changed["actions"][4]["added_at"] > "2026", "it keeps the time at which it came"
    for _ in range(50):
        decision = await decide(client)
        if shares(decision)["sport-2"] == pytest.approx(0.2):
            break
    assert shares(decision)["sport-2"] == pytest.approx(0.2), "like all others of an untrained model"


async def test_a_retired_action_is_never_offered_again_and_its_decisions_stay_provable(
    client: httpx2.AsyncClient, database: Database, learn: Step
) -> None:
    await taught(client, learn)
    before = await read(client, 40)
    assert {d["action"]["action_id"] for d in before} >= {"sport-0", "sport-1"}
    await patch(client, actions=[ARTICLES[0] | {"enabled": False}, *ARTICLES[2:]], baseline_action=None)
    after = await read(client, 40)
    assert {a for d in after for a in shares(d)} == {"money-0", "money-1"}
    await learn()
    report = await audited(database)
    assert report.decisions == 8 * 40 + 80
    answer = await client.get(f"/v1/decisions/{before[0]['decision_id']}/audit")
    assert answer.json()["difference"] is None


async def test_a_killed_action_is_not_served_whoever_brings_it(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await create(client, actions=ARTICLES)
    await patch(client, killed_actions=["sport-0", "rum"], killed_segments=["money"])
    brought = [*ARTICLES, {"action_id": "rum"}, {"action_id": "gin"}]
    for decision in (await decide(client), await decide(client, actions=brought)):
        assert set(shares(decision)) <= {"sport-1", "gin"}
    answer = await client.post("/v1/decisions", json={"bandit_key": "hero", "actions": brought[2:5]})
    assert "lift a kill" in refused(answer, 422, "invalid_input", "excluded_actions")
    answer = await client.patch("/v1/bandits/hero", json={"killed_segments": ["money", "sport"]})
    assert "pause the bandit" in refused(answer, 422, "invalid_input", "killed_segments")
    await patch(client, killed_actions=[], killed_segments=[])
    assert len(shares(await decide(client))) == 4
    assert (await audited(database)).decisions == 3


#: One change of the configuration for each kind of clause.
CHANGES: list[dict[str, Any]] = [
    {"constraints": [{"name": "floor", "actions": ["money-1"], "floor": 0.4}]},
    {"constraints": [{"name": "ceiling", "segments": ["sport"], "ceiling": 0.2}]},
    {"constraints": [{"name": "hours", "segments": ["money"],
                      "schedule": {"hours": [9, 17], "weekdays": [1, 2, 3, 4, 5]}}],
     "time_zone": {"field": "zone", "default": "Asia/Tokyo"}},
    {"constraints": [{"name": "rule", "segments": ["money"], "eligible_if": "context.likes == 'money'"}]},
    {"constraints": [{"name": "cap", "cap": {"times": 2, "seconds": 3600}},
                     {"name": "row", "segments": ["sport"], "in_a_row": 2}]},
    {"constraints": [], "boosts": [{"name": "boost", "segments": ["money"], "multiplier": 3.5,
                                    "if": "context.likes == 'sport'"}]},
    {"boosts": [], "novelty": {"share": 0.7, "seconds": 3600}},
    {"novelty": None, "exploration_floor": 0.6},
    {"killed_actions": ["sport-1"]},
    {"killed_actions": [], "paused": True},
    {"paused": False, "actions": [*ARTICLES, FRESH], "newcomers": {"share": 0.3}},
]  # fmt: skip


async def test_decisions_under_every_kind_of_clause_are_made_again_from_the_log(
    client: httpx2.AsyncClient, database: Database, learn: Step
) -> None:
    """Though the configuration was changed since, and models went on learning."""
    await taught(client, learn)
    for version, change in enumerate(CHANGES, 2):
        assert (await patch(client, **change))["config_version"] == version
        for zone in ("Europe/Berlin", "Nowhere"):
            await decide(client, subject="s", context={"likes": "sport", "zone": zone})
        await read(client, 6, subject="s")
        await learn()
        await refresh(client)
    last = await decide(client, context={"likes": "money"})
    assert shares(last)["sport-2"] >= 0.2 - 1e-9
    assert (await audited(database)).decisions == 8 * 40 + 8 * len(CHANGES) + 1


async def test_clauses_act_on_what_is_served(client: httpx2.AsyncClient) -> None:
    await create(client, actions=ARTICLES, constraints=[{"name": "x", "actions": ["money-1"], "floor": 0.4}])
    assert shares(await decide(client))["money-1"] == pytest.approx(0.4)
    await patch(client, constraints=[{"name": "x", "segments": ["sport"], "ceiling": 0.2}])
    found = shares(await decide(client))
    assert found["sport-0"] + found["sport-1"] == pytest.approx(0.2)
    await patch(client, constraints=[{"name": "x", "segments": ["money"], "eligible_if": "context.x > 0.6"}])
    assert set(shares(await decide(client))) == {"sport-0", "sport-1"}
    assert len(shares(await decide(client, context={"x": 0.7}))) == 4
    answer = await client.post("/v1/decisions", json={"bandit_key": "hero", "actions": ARTICLES[2:]})
    assert "baseline action" in refused(answer, 422, "invalid_input", "actions")
    answer = await client.patch(
        "/v1/bandits/hero", json={"constraints": [{"name": "x", "actions": ["sport-1"], "eligible_if": "a"}]}
    )
    refused(answer, 422, "invalid_input", "constraints[0].eligible_if")


async def test_a_candidate_is_compared_as_it_would_be_served(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    """Under the constraints, not as its model by itself would choose."""
    dull = {"learning_rate": 1e-6, "interactions": [], "relearn": 0}
    floor = {"name": "contract", "actions": ["money-0"], "floor": 0.5}
    await create(client, actions=ARTICLES, policy=dull, constraints=[floor], **TERMINAL)
    await read(client, 80)
    await learn()
    await decide(client)  # until it is settled, what is predicted later is kept
    await patch(client, policy={"exploration": {"algorithm": "epsilon_greedy"}})
    await learn()
    await read(client, 40)
    await learn()
    predicted = await connection.fetch(
        "SELECT weight * pmf[chosen + 1] AS share FROM predictions JOIN decisions USING (decision_id) "
        "WHERE chosen = 2 AND context->>'likes' = 'sport'"
    )
    assert len(predicted) > 5
    shares_of_it = {round(row["share"], 6) for row in predicted}
    assert shares_of_it == {0.5}, "by itself it would hardly be chosen for them"
