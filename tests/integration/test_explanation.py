"""Explanations are exact, made by the model that chose, whatever has changed since."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from bandit import features, serving
from bandit.db import bandits, models
from bandit.db.pool import Connection
from bandit.types import Action
from tests.conftest import Step
from tests.integration.helpers import ACTIONS, create, decide, refused
from tests.integration.test_learner import TERMINAL, play

CONTEXT: dict[str, Any] = {
    "x": 0.1, "half": "low", "device": {"os": "ios", "width": 390}, "tags": ["new", "big"], "returning": True,
}  # fmt: skip


async def learned(client: httpx2.AsyncClient, learn: Step, **fields: Any) -> None:
    await create(client, **TERMINAL | fields)
    await play(client, 60)
    await learn()
    await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest


async def explained(client: httpx2.AsyncClient, decision_id: str) -> dict[str, Any]:
    answer = await client.get(f"/v1/decisions/{decision_id}/explanation")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def without(context: dict[str, Any], feature: str, value: Any) -> dict[str, Any]:
    key, _, inner = feature.partition(".")
    if inner:
        return context | {key: without(context[key], inner, value)}
    if isinstance(context[key], list):
        return context | {key: [item for item in context[key] if item != value]}
    return {name: other for name, other in context.items() if name != key}


def of_context(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in found["features"] if one["side"] == "context"]


async def test_every_figure_comes_out_of_the_public_api_alone(
    client: httpx2.AsyncClient, learn: Step
) -> None:
    """The same context without the field, under the same model version, decided and explained."""
    await learned(client, learn)

    async def lead_of_b(context: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        made = await decide(client, context=context, excluded_actions=["a"])
        assert made["model_version"] == 1
        found = await explained(client, made["decision_id"])
        by_action = {
            found["action_id"]: found["score"],
            found["compared_with"]["action_id"]: found["compared_with"]["score"],
        }
        return by_action["b"] - by_action["c"], found

    lead, found = await lead_of_b(CONTEXT)
    assert lead > 0.05, "b pays where half is low"
    sign = 1 if found["action_id"] == "b" else -1
    assert len(of_context(found)) == features.size(CONTEXT) == 7
    sizes = [abs(one["moved_by"]) for one in found["features"]]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 0.01
    nothing, _ = await lead_of_b({})
    assert found["context_moved_by"] == pytest.approx(sign * (lead - nothing), abs=1e-12)
    for one in of_context(found):
        rest, _ = await lead_of_b(without(CONTEXT, one["feature"], one["value"]))
        assert one["moved_by"] == pytest.approx(sign * (lead - rest), abs=1e-12), one


@pytest.mark.parametrize("clip", [[0.0, 1.0], [-1.0, 3.0]])
async def test_every_figure_comes_out_of_the_model(
    client: httpx2.AsyncClient, connection: Connection, learn: Step, clip: list[float]
) -> None:
    """The published model itself, asked for the expected rewards of what was encoded by hand."""
    await learned(client, learn, reward={"clip": clip}, baseline_action="c")
    found = await explained(client, (await decide(client, context=CONTEXT))["decision_id"])
    bandit = await bandits.get(connection, "hero")
    policy = await serving.served_policy(connection, bandit, 1)
    actions = {one["action_id"]: one for one in ACTIONS}

    def score(context: dict[str, Any], action: dict[str, Any]) -> float:
        encoded = features.encode(
            context, [Action(**{name: value for name, value in action.items() if name != "payload"})]
        )
        return clip[0] + (clip[1] - clip[0]) * policy.model.expected_rewards(encoded)[0]

    chosen, other = actions[found["action_id"]], actions[found["compared_with"]["action_id"]]
    assert found["score"] == pytest.approx(score(CONTEXT, chosen), abs=1e-12)
    assert found["compared_with"]["score"] == pytest.approx(score(CONTEXT, other), abs=1e-12)
    assert "c" in (found["action_id"], found["compared_with"]["action_id"]), "the baseline"
    seen = set()
    for one in found["features"]:
        rest = score(CONTEXT, chosen), score(CONTEXT, other)
        if one["side"] == "context":
            context = without(CONTEXT, one["feature"], one["value"])
            left = score(context, chosen) - score(context, other)
        elif one["feature"] == "action.segment":
            left = score(CONTEXT, {**chosen, "segment": None}) - rest[1]
        else:
            left = score(CONTEXT, {**chosen, "features": {}}) - rest[1]
        assert one["moved_by"] == pytest.approx(rest[0] - rest[1] - left, abs=1e-12), one
        seen.add(one["feature"])
    by_hand = {"action.segment", "action.features.price"} if chosen is not actions["c"] else set()
    assert {name for name in seen if name.startswith("action")} == by_hand
    policy.model.close()


@pytest.mark.parametrize("algorithm", ["bag", "cover", "regcb"])
async def test_policies_without_scores_are_explained_by_their_probabilities(
    client: httpx2.AsyncClient, learn: Step, algorithm: str
) -> None:
    await learned(client, learn, policy={"exploration": {"algorithm": algorithm}})
    made = await decide(client, context=CONTEXT)
    found = await explained(client, made["decision_id"])
    assert found["score"] == found["probability_by_policy"]
    probabilities = {one["action_id"]: one["probability"] for one in made["action_probs"]}
    assert found["probability"] == probabilities[found["action_id"]]
    assert len(of_context(found)) == 7


async def test_the_owner_hides_fields_from_the_sentence_of_every_decision(
    client: httpx2.AsyncClient, learn: Step
) -> None:
    await learned(client, learn)
    found = {"sentence": ""}
    while "half" not in found["sentence"]:  # which has a part in it where the favourite is drawn
        decision_id = (await decide(client, context=CONTEXT))["decision_id"]
        found = await explained(client, decision_id)
    changed = await client.patch("/v1/bandits/hero", json={"explainable_fields": ["device"]})
    assert changed.json()["explainable_fields"] == ["device"]
    again = await explained(client, decision_id)
    assert "half" not in again["sentence"]
    assert again["sentence"].startswith("This was chosen ")
    assert again["features"] == found["features"], "they are for the owner"
    changed = await client.patch("/v1/bandits/hero", json={"explainable_fields": None})
    assert changed.status_code == 200, changed.text
    assert (await explained(client, decision_id))["sentence"] == found["sentence"]


async def test_decisions_of_earlier_models_and_configurations_stay_explained(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    """Right to explanation: the action is retired, the bytes are pruned, and nothing differs."""
    await learned(client, learn)
    ids = [(await decide(client, context=CONTEXT, decision_id=f"d-{i}"))["decision_id"] for i in range(5)]
    before = [await explained(client, one) for one in ids]
    assert {one["model_version"] for one in before} == {1}
    await play(client, 20, 60)
    await learn()
    fields = {"actions": [ACTIONS[0], {"action_id": "d"}], "baseline_action": "d", "mode": "apprentice"}
    assert (await client.patch("/v1/bandits/hero", json=fields)).status_code == 200
    await models.prune(connection, keep=0, every=1_000)
    assert not await models.is_kept(connection, await models.lineage(connection, "hero", 1))
    assert [await explained(client, one) for one in ids] == before
    standard = await explained(client, (await decide(client))["decision_id"])
    assert standard["sentence"] == (
        "This is the standard choice, because nothing is chosen for each person yet."
    )
    assert (standard["score"], standard["compared_with"], standard["features"]) == (None, None, [])


async def test_what_nobody_chose_is_not_explained_by_a_model(client: httpx2.AsyncClient) -> None:
    await create(client, mode="logging_only")
    logged = await decide(client, logged_choice={"action_id": "b", "probability": 0.4})
    found = await explained(client, logged["decision_id"])
    assert (found["chosen_by_caller"], found["score"], found["features"]) == (True, None, [])
    assert found["sentence"] == "This was chosen elsewhere, and is only recorded here."


async def test_alone_untrained_and_explored(client: httpx2.AsyncClient, learn: Step) -> None:
    await create(client, **TERMINAL)
    alone = await explained(client, (await decide(client, excluded_actions=["a", "b"]))["decision_id"])
    assert (alone["offered"], alone["actions"], alone["compared_with"]) == (1, 3, None)
    assert alone["sentence"] == "This was the only one that could be shown."
    fresh = await explained(client, (await decide(client))["decision_id"])
    assert fresh["alike"]
    assert fresh["sentence"].startswith("This was chosen by chance, because nothing speaks for one choice")
    await play(client, 60)
    await learn()
    await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest
    cases = set()
    for i in range(60):
        made = await decide(client, context=CONTEXT | {"n": f"{i}"})
        found = await explained(client, made["decision_id"])
        assert found["explored"] == made["explored"]
        cases.add(found["explored"])
        if found["explored"]:
            assert found["sentence"] == "This was chosen by chance, to learn how well it does."
        else:
            assert found["favoured"]
            assert found["sentence"].startswith("This was chosen because it ")
    assert cases == {True, False}


async def test_a_decision_that_comes_out_otherwise_is_not_explained(
    client: httpx2.AsyncClient, connection: Connection
) -> None:
    await create(client)
    made = await decide(client, decision_id="d")
    await connection.execute("UPDATE decisions SET draw = draw / 2")
    answer = await client.get("/v1/decisions/d/explanation")
    message = refused(answer, 500, "broken_log", "decision d: draw")
    assert "segbandit audit --bandit hero --all" in message
    assert made["decision_id"] == "d"


async def test_who_is_unknown_is_not_explained(client: httpx2.AsyncClient) -> None:
    refused(await client.get("/v1/decisions/ghost/explanation"), 404, "not_found", "decision_id")


async def test_decisions_are_made_between_the_pieces_of_a_long_explanation(
    client: httpx2.AsyncClient, learn: Step
) -> None:
    """500 fields: others get their turn after each, whatever the machine's speed."""
    await learned(client, learn)
    wide = {f"f{i}": i % 7 for i in range(500)}
    asked = await decide(client, context=wide)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    beside = asyncio.create_task(others())
    found = await explained(client, asked["decision_id"])
    beside.cancel()
    assert len(of_context(found)) == 500
    assert turns > 500


async def asked_until(client: httpx2.AsyncClient, action_id: str, *, explored: bool) -> dict[str, Any]:
    """The explanation of the first decision for this action that is, or is not, explored."""
    for i in range(300):
        made = await decide(client, context=CONTEXT | {"n": f"{i}"})
        if made["action"]["action_id"] == action_id and made["explored"] == explored:
            return await explained(client, made["decision_id"])
    raise AssertionError(f"{action_id} was never chosen so")


WANTED = "those who run this service want it to be shown more at the moment."


async def test_boosts_are_named_with_what_they_moved(client: httpx2.AsyncClient, learn: Step) -> None:
    boosts = [
        {"name": "sale", "actions": ["c"], "multiplier": 10, "if": "context.half == 'low'"},
        {"name": "b is sold out soon", "actions": ["b"], "multiplier": 0.1},
        {"name": "elsewhere", "actions": ["a"], "multiplier": 10, "if": "context.half == 'high'"},
    ]
    await learned(client, learn, boosts=boosts)
    found = await asked_until(client, "c", explored=False)
    assert not found["favoured"], "b pays"
    moved = {one["name"]: one["moved_by"] for one in found["reshaped_by"] if one["kind"] == "boost"}
    assert moved.keys() == {"sale", "b is sold out soon"}, "the third is not about this context"
    assert min(moved.values()) > 0.1
    assert found["probability"] - found["probability_without_boosts"] >= max(moved.values()) - 1e-12
    assert found["sentence"] == f"This was chosen because {WANTED}"


async def test_constraints_are_named_and_what_they_excluded_is_counted(
    client: httpx2.AsyncClient, learn: Step
) -> None:
    constraints = [
        {"name": "contract", "actions": ["c"], "floor": 0.4},
        {"name": "adults", "actions": ["a"], "eligible_if": "context.age >= 18"},
    ]
    await learned(client, learn, constraints=constraints, baseline_action="b")
    found = await asked_until(client, "c", explored=True)
    assert (found["offered"], found["actions"]) == (2, 3)
    assert found["probability"] == pytest.approx(0.4)
    (moved,) = found["reshaped_by"]
    assert (moved["kind"], moved["name"]) == ("constraint", "contract")
    assert found["probability_by_policy"] < 0.2
    assert found["sentence"] == (
        "This was chosen by chance; it comes up more often because those who run this service have set how "
        "often it is shown."
    )


async def test_what_was_barred_is_not_said_to_do_worse(client: httpx2.AsyncClient, learn: Step) -> None:
    barred = {"name": "not here", "actions": ["b"], "eligible_if": "context.vip == false"}
    await learned(client, learn, constraints=[barred])
    asked = await decide(client, context={"vip": True})
    found = await explained(client, asked["decision_id"])
    assert (found["offered"], found["actions"]) == (2, 3)
    assert "whoever it is for" not in found["sentence"]


async def test_a_floor_that_leaves_all_to_chance_is_named(client: httpx2.AsyncClient, learn: Step) -> None:
    await learned(client, learn, exploration_floor=1.0)
    for number in range(10):
        asked = await decide(client, context=CONTEXT | {"n": f"{number}"})
        found = await explained(client, asked["decision_id"])
        (moved,) = found["reshaped_by"]
        assert moved["kind"] == "exploration_floor"
        assert moved["moved_by"] == pytest.approx(1 / 3 - found["probability_by_policy"])
        assert found["sentence"].startswith("This was chosen by chance")
