from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bandit import features, sampling
from bandit.errors import InvalidInputError, SetupError
from bandit.fold import Fold
from bandit.policy import FixedPolicy, UniformPolicy
from bandit.types import Action, EpsilonGreedy, Features, PolicySettings, TrainingEvent
from bandit.vw import Model
from simulations.columns.rounds import Rounds
from simulations.environments.adversarial import Adversary, Flipped
from simulations.environments.cold_start import ColdStart
from simulations.environments.contract import Environment, value
from simulations.environments.delayed import Delayed
from simulations.environments.new_actions import NewActions
from simulations.environments.personas import Personas
from simulations.environments.supervised import Supervised
from simulations.estimators.contract import Running
from simulations.estimators.ips import IPS
from simulations.simulation.contenders import Contender, contender
from simulations.simulation.page import page
from simulations.simulation.regret_plot import as_svg, save
from simulations.simulation.runs import Run, logged, play, run
from simulations.simulation.service import SimulatedService
from simulations.simulation.simulate import simulate
from simulations.simulation.summaries import Simulation

_DEFAULT = Contender("default", PolicySettings())
_SOIL = Supervised(
    "soil",
    [{"wet": i % 2 == 0, "dark": i % 4 < 2} for i in range(1_000)],
    [f"s{i % 4}" for i in range(1_000)],
)


# --- the service in simulated time -------------------------------------------------------------------------


def test_decisions_are_what_the_production_functions_give() -> None:
    """By hand: features, model, draw, learning at once, as the learning benchmark does it."""
    world = Personas()
    service = SimulatedService(world.config, PolicySettings(), salt="salt", publish_seconds=0.0)
    fold = Fold.start(PolicySettings(), salt="salt")
    for seq, played in enumerate(play(world, service, 300, seed=1), start=1):
        decision = played.decision
        pmf = fold.policy.distribution(played.round.context, played.round.actions)
        chosen = sampling.draw(pmf, sampling.uniform("salt", str(seq)))
        assert (decision.pmf, decision.chosen, decision.mode) == (pmf, chosen, "online")
        fold.learn(
            TrainingEvent(
                seq=seq, context=played.round.context, actions=played.round.actions, chosen=chosen,
                probability=pmf[chosen], scaled_reward=played.earned,
            )
        )  # fmt: skip


def test_the_model_between_two_rounds_of_the_learner_predicts_what_its_snapshot_would() -> None:
    service = SimulatedService(Personas().config, PolicySettings(), salt="salt")
    *_, last = play(Personas(), service, 400, seed=1)
    fold = service._fold
    assert fold is not None
    data = fold.to_bytes()
    snapshot = Model.read_only(data, hashlib.sha256(data).hexdigest(), fold.settings)
    for one in Personas().rounds(50, 2):
        lines = features.encode(one.context, one.actions)
        assert fold.policy.model.expected_rewards(lines) == snapshot.expected_rewards(lines)
    assert last.decision.model_version > 100


def test_nothing_is_learned_before_it_is_known() -> None:
    world = Delayed(Personas(), delay=20.0, wait=30.0)
    service = SimulatedService(world.config, PolicySettings(), salt="salt")
    played = list(play(world, service, 800, seed=1))
    first = next(index for index, one in enumerate(played) if one.settled)
    assert played[first].round.at == pytest.approx(30.0)
    assert all(one.decision.pmf == pytest.approx([0.2] * 5) for one in played[:first])
    settled = [each.decision.decision_id for one in played for each in one.settled]
    assert settled == [str(number) for number in range(1, len(settled) + 1)]
    assert 480 <= len(settled) < 800
    assert len(settled) + len(service.finish()) == 800
    assert service.learned == 800


def test_a_pause_of_the_learner_is_a_pause() -> None:
    service = SimulatedService(Personas().config, PolicySettings(), salt="salt", publish_seconds=5.0)
    at = [one.round.at for one in play(Personas(), service, 300, seed=1) if one.settled]
    assert len(at) >= 5
    assert all(after - before >= 5.0 for before, after in pairwise(at))


# --- logs --------------------------------------------------------------------------------------------------


def test_a_log_is_what_was_decided() -> None:
    log = logged(Personas(), UniformPolicy(), rounds=200, seed=1, logger="uniform")
    assert log == logged(Personas(), UniformPolicy(), rounds=200, seed=1, logger="uniform")
    assert [row.row for row in log] == list(range(1, 201))
    for row, one in zip(log, Personas().rounds(200, 1), strict=True):
        assert (row.subject, row.context, row.actions) == (one.subject, one.context, one.actions)
        assert row.pmf is not None
        assert row.probability == row.pmf[row.chosen] == 0.2
        assert row.reward == one.outcomes[row.chosen].reward


def test_a_learning_logger_is_logged_too() -> None:
    log = logged(Personas(), PolicySettings(), rounds=600, seed=1)
    assert log[0].probability == 0.2
    assert max(row.probability for row in log[300:]) > 0.5


@pytest.mark.parametrize("world", [Personas(), Delayed(Personas()), NewActions(), Adversary(Personas())])
def test_a_log_tells_the_known_value_of_another_policy(world: Environment) -> None:
    """By inverse propensities, from a log of uniform choices, within four standard errors."""
    target = FixedPolicy(world.config.actions[1].action_id)
    log = logged(world, UniformPolicy(), rounds=4_000, seed=4)
    rounds = Rounds(
        reward=np.array([row.reward for row in log]),
        probability=np.array([row.probability for row in log]),
        target_probability=np.array(
            [target.distribution(row.context, row.actions)[row.chosen] for row in log]
        ),
    )
    found = Running.of(IPS(), rounds)
    exact = value(world, target, rounds=4_000, seed=4, settled=True)
    assert abs(found.value - exact) < 4.0 * found.standard_error


# --- runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("world", "rounds", "share"),
    [
        (Personas(), 2_000, 0.70),
        (Personas(name="drift", drift=True), 3_000, 0.60),
        (Delayed(Personas()), 4_000, 0.55),
        (ColdStart(), 3_000, 0.75),
        (NewActions(), 3_000, 0.65),
        (Flipped(Personas(blur=0.2)), 3_000, 0.65),
        (Adversary(Personas()), 3_000, 0.55),
        (_SOIL, 1_000, 0.80),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_the_default_policy_beats_uniform_everywhere(world: Environment, rounds: int, share: float) -> None:
    found = run(world, _DEFAULT, rounds=rounds, seed=1)
    assert found.value > share * found.optimum
    assert found.value > 1.25 * value(world, UniformPolicy(), rounds=rounds, seed=1)
    if world.name != "drift":  # where it has to learn anew
        assert _later_share(found) < 0.45
    assert found.fallbacks == 0


def _later_share(found: Run) -> float:
    """Of the regret, what the second half of the run adds: half of it where nothing is learned."""
    return 1.0 - found.regret[len(found.regret) // 2 - 1] / found.regret[-1]


def test_new_actions_get_chosen() -> None:
    service = SimulatedService(NewActions().config, PolicySettings(), salt="salt")
    played = list(play(NewActions(), service, 3_000, seed=1))
    late = [one.decision.action.action_id for one in played[-600:]]
    assert sum(action_id in ("article-5", "article-6", "article-8") for action_id in late) > 450
    assert all(one.decision.asked.actions is None for one in played[:400])


def test_what_is_known_of_a_run_is_exact() -> None:
    uniform = run(Personas(), Contender("uniform", UniformPolicy()), rounds=500, seed=3)
    assert uniform.value == pytest.approx(value(Personas(), UniformPolicy(), rounds=500, seed=3))
    for action in Personas().config.actions:
        fixed = value(Personas(), FixedPolicy(action.action_id), rounds=500, seed=3)
        assert uniform.fixed[action.action_id] == pytest.approx(fixed)
    assert uniform.regret[-1] == pytest.approx(500 * (uniform.optimum - uniform.value))
    assert uniform.best_fixed_regret[-1] == pytest.approx(
        500 * (uniform.optimum - uniform.fixed[uniform.best_fixed])
    )


def test_an_action_that_is_not_offered_yet_is_the_first_one_meanwhile() -> None:
    found = run(NewActions(), Contender("uniform", UniformPolicy()), rounds=300, seed=1)
    for action_id in ("article-1", "article-8"):
        exact = value(NewActions(), FixedPolicy(action_id), rounds=300, seed=1)
        assert found.fixed[action_id] == pytest.approx(exact)


class _Broken:
    def distribution(self, context: Features, actions: Sequence[Action]) -> list[float]:
        raise ValueError(f"{context} and {len(actions)} actions are too much")


def test_a_policy_that_fails_is_told() -> None:
    found = simulate(Personas(), [Contender("broken", _Broken())], rounds=20, seeds=1, workers=1)
    assert found.summaries[0].fallbacks == 20


# --- simulations -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found() -> Simulation:
    return simulate("personas", ["uniform", "default", "fixed:gift-guide"], rounds=300, seeds=2, workers=1)


def test_processes_give_what_one_process_gives(found: Simulation) -> None:
    heard: list[tuple[int, int]] = []
    again = simulate(
        "personas", ["uniform", "default", "fixed:gift-guide"], rounds=300, seeds=2, workers=2,
        progress=lambda done, total: heard.append((done, total)),
    )  # fmt: skip
    assert again == found
    assert heard[-1] == (1_800, 1_800)


def test_a_summary_is_the_mean_over_seeds(found: Simulation) -> None:
    for one in found.summaries:
        runs = [run for run in found.runs if run.policy == one.policy]
        assert [run.seed for run in runs] == found.seeds == [1, 2]
        assert one.value.mean == pytest.approx(sum(run.value for run in runs) / 2)
        assert one.value.interval is not None
        assert one.value.interval.low <= one.value.mean <= one.value.interval.high
        assert len(runs[0].regret) == len(found.checkpoints)
    assert found.checkpoints[-1] == found.rounds == 300


def test_a_simulation_is_json_and_back(found: Simulation) -> None:
    data = msgspec.json.encode(found)
    assert msgspec.json.decode(data, type=Simulation) == found
    read = json.loads(data)
    assert [one["policy"] for one in read["summaries"]] == ["uniform", "default", "fixed:gift-guide"]
    assert {"value", "reward", "optimum", "fixed", "regret", "seed"} <= set(read["runs"][0])


def test_data_end_where_they_end() -> None:
    assert simulate(_SOIL, ["uniform"], rounds=10**9, seeds=1, workers=1).rounds == 1_000


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        (["fixed:nothing"], r"expected one of the actions deal-of-the-day.*got 'nothing', .* never offered"),
        (["default", "default"], "different names"),
        ([], "one or more"),
        (
            ["best"],
            "expected uniform, default, fixed:ACTION_ID, a .json or .csv file or MODULE:FUNCTION, got 'best'",
        ),
    ],
)
def test_policies_that_are_none_are_refused(policies: list[str], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        simulate(Personas(), policies, rounds=20, seeds=1, workers=1)


def test_a_policy_is_read_from_a_configuration_or_from_its_policy_alone(tmp_path: Path) -> None:
    policy = {"exploration": {"algorithm": "epsilon_greedy", "epsilon": 0.5}, "learning_rate": 0.1}
    whole = {"actions": [{"action_id": "a"}], "policy": policy, "reward_wait": 5.0}
    expected = PolicySettings(exploration=EpsilonGreedy(epsilon=0.5), learning_rate=0.1)
    for name, content in (("greedy", policy), ("whole", whole)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        assert contender(str(path)) == Contender(name, expected)


@pytest.mark.parametrize(
    "text", ["no json", "[]", '{"exploration": {"algorithm": "luck"}}', '{"epsilon": 1}']
)
def test_a_file_that_holds_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=r"policy\.json: expected a JSON object with the policy"):
        contender(str(path))


# --- pictures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ending", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_a_plot_is_written(found: Simulation, tmp_path: Path, ending: str, begins: bytes) -> None:
    save(found, tmp_path / f"plot.{ending}")
    assert (tmp_path / f"plot.{ending}").read_bytes().startswith(begins)


def test_a_plot_is_the_same_every_time_and_one_seed_is_enough(found: Simulation) -> None:
    assert as_svg(found) == as_svg(found)
    assert as_svg(simulate(Personas(), ["uniform"], rounds=5, seeds=1, workers=1)).startswith("<svg")


def test_a_plot_that_cannot_be_written_is_told(found: Simulation, tmp_path: Path) -> None:
    for name in ("plot.gif4", "no/folder.svg"):
        with pytest.raises(SetupError, match="expected to write the plot"):
            save(found, tmp_path / name)


def test_a_page_is_whole_and_escapes_names(found: Simulation) -> None:
    shown = page(msgspec.structs.replace(found, environment="<b>&"))
    assert "<h1>&lt;b&gt;&amp;</h1>" in shown
    assert "<svg" in shown
    assert "fixed:gift-guide" in shown
    for outside in ("<script", "<link", "src=", "@import"):
        assert outside not in shown


def test_a_segment_table_and_a_function_are_simulated_as_they_are_evaluated(tmp_path: Path) -> None:
    table = tmp_path / "by_landing.csv"
    table.write_text("visit.landing,action\nsale,deal-of-the-day\n,bestsellers\n")
    odd = "tests.unit.simulations.varied_log:odd_preference"
    found = simulate(Personas(), [str(table), odd], rounds=200, seeds=1, workers=2)
    assert [(one.policy, one.fallbacks) for one in found.summaries] == [("by_landing", 0), (odd, 0)]
    policy = contender(str(table)).policy
    assert not isinstance(policy, PolicySettings)
    actions = [Action(action_id=name) for name in ("bestsellers", "deal-of-the-day")]
    assert policy.distribution({"visit": {"landing": "sale"}}, actions) == [0.0, 1.0]
    assert policy.distribution({"visit": {"landing": "gifts"}}, actions) == [1.0, 0.0]
