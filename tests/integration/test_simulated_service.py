"""The service in simulated time makes the decisions that the running one makes."""

from __future__ import annotations

import httpx2
import msgspec
import numpy as np

from bandit.db.pool import Connection
from bandit.steering import Cap, Constraint, Novelty, Seen
from bandit.types import Features
from simulations.environments.supervised import Supervised
from simulations.simulation.service import SimulatedService
from tests.conftest import Step
from tests.integration.helpers import create, decide, logged, reward

_ROUNDS = 150


def _world() -> Supervised:
    """With so many fields that past events are relearned, which hangs on the salt too."""
    random = np.random.RandomState(1)
    contexts: list[Features] = [
        {f"x{i}": float(number) for i, number in enumerate(row)}
        for row in random.random_sample((_ROUNDS, 24))
    ]
    return Supervised("test", contexts, [f"label-{float(context['x0']) > 0.5}" for context in contexts])


async def test_the_same_salt_and_ids_give_the_same_decisions_by_the_same_models(
    client: httpx2.AsyncClient, connection: Connection, learn: Step
) -> None:
    world = _world()
    config = world.config
    await create(client, actions=msgspec.to_builtins(config.actions), terminal_kinds=config.terminal_kinds)
    salt = await connection.fetchval("SELECT salt FROM bandits WHERE bandit_key = 'hero'")
    simulated = SimulatedService(config, config.policy, salt=salt, publish_seconds=2.0)
    for number, one in enumerate(world.rounds(_ROUNDS, seed=1)):
        if settled := simulated.advance(one.at):
            assert await learn() == len(settled)
            await client.app.state.process.servings.refresh()  # type: ignore[attr-defined]  # see conftest
        ours = simulated.decide(one, f"d-{number:04}")
        theirs = await decide(client, decision_id=ours.decision_id, subject=one.subject, context=one.context)
        assert [each["probability"] for each in theirs["action_probs"]] == ours.pmf
        assert theirs["action"]["action_id"] == ours.action.action_id
        assert theirs["model_version"] == ours.model_version
        outcome = one.outcomes[ours.chosen]
        simulated.hear(ours, outcome)
        await reward(client, ours.decision_id, value=outcome.reported)
    assert ours.model_version >= 7
    assert max(ours.pmf) > 0.6


async def test_what_subjects_were_shown_counts_as_it_does_in_the_running_service(
    client: httpx2.AsyncClient, connection: Connection
) -> None:
    world = _world()
    constraints = [
        Constraint(name="not for ever", in_a_row=2),
        Constraint(name="fatigue", actions=["label-True"], cap=Cap(times=9, seconds=30 * 86_400.0)),
    ]
    novelty = Novelty(share=0.3, seconds=30 * 86_400.0)
    config = msgspec.structs.replace(
        world.config, constraints=constraints, novelty=novelty, baseline_action="label-False"
    )
    fields = ("actions", "terminal_kinds", "constraints", "novelty", "baseline_action")
    await create(client, **{name: msgspec.to_builtins(getattr(config, name)) for name in fields})
    salt = await connection.fetchval("SELECT salt FROM bandits WHERE bandit_key = 'hero'")
    simulated = SimulatedService(config, config.policy, salt=salt, publish_seconds=1e9)
    for number, one in enumerate(world.rounds(90, seed=1)):
        visit = msgspec.structs.replace(one, subject=f"s-{number % 4}")
        ours = simulated.decide(visit, f"d-{number:04}")
        await decide(client, decision_id=ours.decision_id, subject=visit.subject, context=one.context)
        theirs = await logged(client, ours.decision_id)
        assert msgspec.convert(theirs["seen"], Seen) == ours.seen
        assert [each["probability"] for each in theirs["action_probs"]] == ours.pmf
    assert ours.seen is not None
    assert sum(ours.seen.actions["2592000"].values()) == 22, "of every fourth of those before"
