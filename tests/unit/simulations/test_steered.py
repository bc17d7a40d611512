"""A configuration that is evaluated acts as it does in production."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from bandit.catalogue import checked
from bandit.errors import InvalidInputError
from bandit.policy import Policy, UniformPolicy
from bandit.steering import Boost, Cap, Constraint, Novelty, Schedule, Seen
from bandit.types import Action, BanditConfig, Features, PolicySettings
from simulations.environments.personas import Personas
from simulations.evaluation.evaluate import evaluate
from simulations.logs.memory import MemoryLog
from simulations.logs.parquet import rows_of
from simulations.logs.rows import Logged
from simulations.policies.named import target
from simulations.policies.steered import Steering
from simulations.policies.targets import Learning, Static, of_config
from simulations.simulation.runs import play
from simulations.simulation.service import SimulatedService

ACTIONS = [
    Action(action_id=name, segment=segment) for name, segment in (("a", "one"), ("b", "two"), ("c", "two"))
]
UNIT = (0.0, 1.0)
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
UNTIL_JUNE = Schedule(until=datetime(2026, 6, 1, tzinfo=UTC))


def row(**fields: Any) -> Logged:
    whole = {
        "row": 7, "decision_id": "d", "actions": ACTIONS, "chosen": 1, "probability": 0.5, "reward": 1.0,
        "decided_at": NOON,
    }  # fmt: skip
    return Logged(**{**whole, **fields})


def uniform(config: BanditConfig, one: Logged) -> list[float]:
    return list(Static("under-test", UniformPolicy(), config=config).distribution(one))


class Skewed(Policy):
    def distribution(self, context: Features, actions: list[Action]) -> list[float]:  # type: ignore[override]
        weights = [1.0 + len(str(context)) % (2 + i) for i in range(len(actions))]
        return [weight / sum(weights) for weight in weights]


def steered_world(**fields: Any) -> BanditConfig:
    return msgspec.structs.replace(Personas().config, **fields)


STEERED = steered_world(
    constraints=[
        Constraint(name="at least", segments=["gift-seekers"], floor=0.15),
        Constraint(name="at most", actions=["bestsellers"], ceiling=0.1),
        Constraint(name="phones only", actions=["new-arrivals"], eligible_if="context.device == 'phone'"),
        Constraint(name="nights", actions=["members-first"], schedule=Schedule(hours=(22.0, 6.0))),
    ],
    boosts=[Boost(name="deals", actions=["deal-of-the-day"], multiplier=3.0)],
    killed_actions=["gift-guide"],
    exploration_floor=0.1,
)


@pytest.mark.parametrize("killed", [[], ["gift-guide"]])
def test_it_gives_the_distributions_that_the_service_draws_from_bit_by_bit(killed: list[str]) -> None:
    """A log of everything uniformly is asked for what the steered service does in the same rounds."""
    config = msgspec.structs.replace(STEERED, killed_actions=killed)
    service = SimulatedService(config, Skewed(), salt="s")
    steering, boosted = Steering("steered", config), 0
    for played in play(Personas(), service, 300, seed=1):
        made = played.decision
        asked = row(
            actions=played.round.actions, context=made.asked.context, subject=made.asked.subject,
            decided_at=made.decided_at,
        )  # fmt: skip
        found = steering.pmf(Skewed(), asked)
        assert [found[position] for position in made.positions] == made.pmf
        assert sum(found) == pytest.approx(1.0)
        boosted += made.unboosted is not None
    assert boosted == 300
    service.close()


@pytest.mark.parametrize("fields", [{"mode": "apprentice"}, {"paused": True}, {}])
@pytest.mark.parametrize("named", [True, False])
def test_a_killed_baseline_gives_its_place_to_the_same_action_as_in_the_service(
    named: bool, fields: dict[str, Any]
) -> None:
    """What stands under a condition cannot take its place, though it comes first."""
    ids = [action.action_id for action in Personas().config.actions]
    config = steered_world(
        killed_actions=ids[:1], baseline_action=ids[0] if named else None,
        constraints=[Constraint(name="few", actions=ids[1:2], eligible_if="context.device == 'phone'")],
        **fields,
    )  # fmt: skip
    service, steering = SimulatedService(checked(config), Skewed(), salt="s"), Steering("x", config)
    for played in play(Personas(), service, 50, seed=1):
        made = played.decision
        found = steering.pmf(
            Skewed(),
            row(actions=played.round.actions, context=made.asked.context, decided_at=made.decided_at),
        )
        assert [found[position] for position in made.positions] == made.pmf
        assert not fields or made.action.action_id == ids[2]
    service.close()


LIMITED = steered_world(
    constraints=[
        Constraint(name="once a minute", actions=["new-arrivals"], cap=Cap(times=1, seconds=60.0)),
        Constraint(name="not thrice", in_a_row=2),
    ],
    novelty=Novelty(share=0.3, seconds=120.0),
)


def test_limits_go_by_what_the_log_says_that_the_subject_had_been_shown() -> None:
    service, steering, narrowed = SimulatedService(LIMITED, Skewed(), salt="s"), Steering("x", LIMITED), 0
    for number, one in enumerate(Personas().rounds(300, seed=1)):
        made = service.decide(msgspec.structs.replace(one, subject=f"s{number % 10}"), str(number))
        asked = row(
            actions=one.actions, context=made.asked.context, subject=made.asked.subject,
            decided_at=made.decided_at, seen=made.seen,
        )  # fmt: skip
        found = steering.pmf(Skewed(), asked)
        assert [found[position] for position in made.positions] == made.pmf
        narrowed += len(made.positions) < len(one.actions)
    assert narrowed > 30
    service.close()


@pytest.mark.parametrize("seen", [None, Seen(actions={"3600": {}}, segments={"3600": {}})])
def test_a_row_that_does_not_say_what_limits_ask_is_refused(seen: Seen | None) -> None:
    actions = Personas().config.actions
    with pytest.raises(
        InvalidInputError, match=r"under-test: expected of row 7 what its subject had been shown.*--since"
    ):
        uniform(LIMITED, row(actions=actions, subject="s", seen=seen))
    assert sum(uniform(LIMITED, row(actions=actions, subject=None))) == pytest.approx(1.0)


def test_what_is_killed_or_disabled_now_is_not_chosen() -> None:
    assert uniform(BanditConfig(actions=ACTIONS, killed_actions=["b"]), row()) == [0.5, 0.0, 0.5]
    assert uniform(BanditConfig(actions=ACTIONS, killed_segments=["two"]), row()) == [1.0, 0.0, 0.0]
    disabled = [ACTIONS[0], msgspec.structs.replace(ACTIONS[1], enabled=False), ACTIONS[2]]
    assert uniform(BanditConfig(actions=disabled), row()) == [0.5, 0.0, 0.5]


def test_what_the_catalogue_has_no_more_is_not_chosen() -> None:
    config = BanditConfig(actions=[ACTIONS[0], ACTIONS[2]])
    assert uniform(config, row(from_catalogue=True)) == [0.5, 0.0, 0.5]
    with pytest.raises(InvalidInputError, match="expected of row 7 that it could decide, got"):
        uniform(BanditConfig(actions=[Action(action_id="new")]), row(from_catalogue=True))


def test_what_a_request_brought_is_its_own_affair_unless_it_is_killed() -> None:
    disabled = [ACTIONS[0], msgspec.structs.replace(ACTIONS[1], enabled=False)]
    config = BanditConfig(actions=disabled, killed_actions=["c"])
    assert uniform(config, row(from_catalogue=False)) == [0.5, 0.5, 0.0]
    assert uniform(config, row(from_catalogue=None)) == [1.0, 0.0, 0.0], "nobody logged who brought them"


@pytest.mark.parametrize("brought", [None, [Action(action_id="x"), Action(action_id="y")]])
def test_a_log_of_ours_says_whether_the_catalogue_offered(brought: list[Action] | None) -> None:
    offered = brought or ACTIONS
    columns = {
        "actions": [msgspec.json.encode(offered).decode()], "chosen": [0], "probability": [0.5],
        "reward": [1.0], "mode": ["online"], "model_version": [1], "config_version": [1],
        "requested_actions": [None if brought is None else msgspec.json.encode(brought).decode()],
    }  # fmt: skip
    found = rows_of(pa.RecordBatch.from_pydict(columns), 1)
    assert [one.from_catalogue for one in found.rows] == [brought is None]
    del columns["mode"], columns["requested_actions"]
    assert rows_of(pa.RecordBatch.from_pydict(columns), 1).rows[0].from_catalogue is None


def test_what_the_log_did_not_offer_is_not_chosen() -> None:
    config = BanditConfig(actions=[*ACTIONS, Action(action_id="new")])
    assert uniform(config, row(actions=ACTIONS[:2])) == [0.5, 0.5]


def test_schedules_go_by_when_the_row_was_decided() -> None:
    spring = Constraint(name="spring", actions=["b"], schedule=UNTIL_JUNE)
    config = BanditConfig(actions=ACTIONS, constraints=[spring])
    assert uniform(config, row()) == [0.5, 0.0, 0.5]
    assert uniform(config, row(decided_at=datetime(2026, 5, 1, tzinfo=UTC))) == [1 / 3] * 3


@pytest.mark.parametrize(
    "fields",
    [
        {"constraints": [Constraint(name="spring", actions=["b"], schedule=UNTIL_JUNE)]},
        {"boosts": [Boost(name="spring", multiplier=2.0, actions=["b"], schedule=UNTIL_JUNE)]},
    ],
)
def test_rows_without_a_time_cannot_be_judged_by_schedules(fields: dict[str, Any]) -> None:
    config = BanditConfig(actions=ACTIONS, **fields)
    with pytest.raises(
        InvalidInputError, match=r"under-test: expected of row 7 when it was decided, for its"
    ):
        uniform(config, row(decided_at=None))
    floor = Constraint(name="floor", actions=["b"], floor=0.5)
    assert uniform(BanditConfig(actions=ACTIONS, constraints=[floor]), row(decided_at=None))[1] == 0.5


def test_what_the_configuration_would_refuse_is_named_with_its_row() -> None:
    config = BanditConfig(actions=ACTIONS, killed_actions=["a", "b", "c"])
    with pytest.raises(InvalidInputError, match="under-test: expected of row 7 that it could decide, got"):
        uniform(config, row())


@pytest.mark.parametrize("fields", [{"mode": "apprentice"}, {"paused": True}])
def test_where_no_policy_chooses_it_is_the_baseline(fields: dict[str, Any]) -> None:
    config = BanditConfig(actions=ACTIONS, baseline_action="b", **fields)
    assert of_config("x", config, UNIT).distribution(row()) == [0.0, 1.0, 0.0]
    killed = msgspec.structs.replace(config, killed_actions=["b"])
    assert of_config("x", killed, UNIT).distribution(row()) == [1.0, 0.0, 0.0]


def test_bare_settings_stay_as_they_are_and_a_configuration_s_are_steered(tmp_path: Path) -> None:
    config = BanditConfig(actions=ACTIONS, killed_actions=["b"])
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(config))
    (tmp_path / "settings.json").write_bytes(msgspec.json.encode(PolicySettings()))
    shown = {**msgspec.to_builtins(config), "bandit_key": "hero", "config_version": 3, "candidate": None}
    (tmp_path / "shown.json").write_bytes(msgspec.json.encode(shown))
    steered, bare = (target(str(tmp_path / f"{name}.json"), UNIT) for name in ("config", "settings"))
    assert target(str(tmp_path / "shown.json"), UNIT).distribution(row()) == steered.distribution(row())
    assert steered.distribution(row())[1] == 0.0
    assert bare.distribution(row())[1] > 0.0
    assert target("default", UNIT).distribution(row())[1] > 0.0
    assert steered.anew().distribution(row())[1] == 0.0
    assert isinstance(steered, Learning)


def test_it_learns_what_was_logged_though_it_would_not_have_offered_it() -> None:
    """The logged action is killed in the configuration; what it earned is learned all the same."""
    config = BanditConfig(actions=ACTIONS, killed_actions=["b"])
    learning = of_config("x", config, UNIT)
    bare = Learning("x", config.policy, UNIT)
    for number in range(60):
        one = row(row=number, chosen=number % 3, reward=float(number % 3 == 2))
        steered, free = learning.distribution(one), bare.distribution(one)
        assert steered[1] == 0.0
    assert steered[2] > steered[0]
    assert free[2] > free[0]


def test_where_constraints_leave_nothing_it_is_the_baseline_the_first_action_unless_named() -> None:
    nobody = Constraint(name="nobody", eligible_if="false")
    assert uniform(BanditConfig(actions=ACTIONS, constraints=[nobody]), row()) == [1.0, 0.0, 0.0]
    named = BanditConfig(actions=ACTIONS, constraints=[nobody], baseline_action="c")
    assert uniform(named, row()) == [0.0, 0.0, 1.0]


def test_its_value_is_what_it_earns_in_production() -> None:
    """Asked of a uniform log, the interval holds what the steered service earns in the same rounds."""
    rounds, seed = 6_000, 3
    config = msgspec.structs.replace(STEERED, constraints=STEERED.constraints[:3])
    service = SimulatedService(config, UniformPolicy(), salt="s")
    earned = sum(played.value for played in play(Personas(), service, rounds, seed)) / rounds
    service.close()
    free = SimulatedService(Personas().config, UniformPolicy(), salt="u")
    rows = [
        row(
            row=number, decision_id=str(number), actions=played.decision.offered, pmf=played.decision.pmf,
            chosen=played.decision.chosen, probability=played.decision.probability, reward=played.earned,
            context=played.decision.asked.context, decided_at=played.decision.decided_at,
        )
        for number, played in enumerate(play(Personas(), free, rounds, seed), start=1)
    ]  # fmt: skip
    free.close()
    steered = Static("steered", UniformPolicy(), config=config)
    found = evaluate(MemoryLog(rows, reward_range=UNIT), steered, estimators=["snips"]).estimates[0]
    unsteered = evaluate(MemoryLog(rows, reward_range=UNIT), "uniform", estimators=["snips"]).estimates[0]
    assert found.low is not None
    assert found.high is not None
    assert found.low < earned < found.high
    assert unsteered.value is not None
    assert not found.low < unsteered.value < found.high, "steering makes a difference that can be seen"
