"""Use case: say why a decision came out as it did, by the very model that made it.

Decisions of the same process go on meanwhile: between two predictions others have their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

import msgspec

from bandit import features, recompute, shares
from bandit.db import bandits, decisions, models, training
from bandit.db.bandits import ConfigCache
from bandit.db.pool import Connection, Database
from bandit.errors import BrokenLogError
from bandit.explanation import Compared, Explanation, Moved, Reshaped, Reshaper, sentence
from bandit.fields import fields
from bandit.policy import VwPolicy
from bandit.recompute import SMALL_CHUNK, AsServed
from bandit.serving import Serving
from bandit.steering import Newcomers
from bandit.types import Action, BanditConfig, Decision, Features

#: Probabilities that differ by less are the same but for rounding.
_ROUNDING = 1e-9


async def explain(database: Database, decision_id: str) -> Explanation:
    """Why this decision came out as it did.

    Raises:
        NotFoundError: there is none by that id, or its model is not in this database.
        ArchivedError: its model's bytes are not kept, and what these are the fold of was archived.
        BrokenLogError: made again, it comes out otherwise, so nothing can be said of it.
    """
    with ExitStack() as until_explained:
        async with database.snapshot() as connection:
            await training.hold(connection)
            decision = await _logged(connection, decision_id)
            served = AsServed(connection, decision.bandit_key, chunk=SMALL_CHUNK)
            until_explained.enter_context(closing(served))
            serving = await served.of(decision)
            if serving is None:
                raise await training.archived(connection, decision.bandit_key, 1)
            reward_range = await _reward_range(connection, served, decision)
            # Of the configuration in force: what is hidden now was to be hidden then.
            nameable = (await bandits.get(connection, decision.bandit_key)).config.explainable_fields
        # Nobody waits for the connection while the model is asked.
        _check_same(serving, decision)
        found = _stated(serving.bandit.config, decision)
        if decision.mode == "online" and serving.policy is not None:
            model = _Scores(serving.policy, reward_range)
            found = await _reasons(found, decision, serving.bandit.config, model)
    return msgspec.structs.replace(found, sentence=sentence(found, nameable))


async def _logged(connection: Connection, decision_id: str) -> Decision:
    place = (await decisions.locate(connection, [decision_id])).get(decision_id)
    if place is None:
        raise decisions.not_logged(decision_id)
    found = await decisions.fetch(connection, ConfigCache(), [(decision_id, place[0])])
    return found[decision_id]


async def _reward_range(connection: Connection, served: AsServed, decision: Decision) -> tuple[float, float]:
    """What the model's 0 and 1 stand for: it may have learned under an earlier configuration."""
    version = decision.config_version
    if decision.model_version:
        model = await models.lineage(connection, decision.bandit_key, decision.model_version)
        version = model.config_version
    return (await served.bandit(version)).config.reward.clip


def _check_same(serving: Serving, decision: Decision) -> None:
    if differs := recompute.difference(serving, decision):
        raise BrokenLogError(
            f"expected a decision that comes out the same when it is made again, got {differs.target}: the "
            f"log has {differs.logged!r}, recomputed is {differs.recomputed!r}. Somebody changed the log: "
            f"segbandit audit --bandit {decision.bandit_key} --all",
            target=differs.target,
        )


def _stated(config: BanditConfig, decision: Decision) -> Explanation:
    """What can be said whatever chose."""
    return Explanation(
        decision_id=decision.decision_id,
        bandit_key=decision.bandit_key,
        action_id=decision.action.action_id,
        segment=decision.action.segment,
        mode=decision.mode,
        model_version=decision.model_version,
        config_version=decision.config_version,
        probability=decision.probability,
        explored=decision.explored,
        chosen_by_caller=decision.asked.logged_choice is not None,
        offered=len(decision.offered),
        actions=len(decision.asked.actions or config.actions),
    )


async def _reasons(
    found: Explanation, decision: Decision, config: BanditConfig, model: _Scores
) -> Explanation:
    """What the model and the configuration had to do with it."""
    context, offered, chosen = decision.asked.context, decision.offered, decision.chosen
    wanted = model.policy.distribution(context, offered)
    plain = decision.pmf if decision.unboosted is None else decision.unboosted
    scores = model.of(context, offered)
    found = msgspec.structs.replace(
        found,
        probability_without_boosts=plain[chosen],
        probability_by_policy=wanted[chosen],
        favoured=wanted[chosen] >= max(wanted) - _ROUNDING,
        alike=max(wanted) - min(wanted) <= _ROUNDING,
        reshaped_by=await _reshaped(decision, config, wanted),
        score=scores[chosen],
    )
    if len(offered) == 1:
        return found
    other = _other(config, decision, scores)
    return msgspec.structs.replace(
        found,
        compared_with=Compared(action_id=offered[other].action_id, score=scores[other]),
        context_moved_by=_lead(scores, chosen, other) - _lead(model.of({}, offered), chosen, other),
        features=await _moved(model, context, offered, chosen, other),
    )


def _other(config: BanditConfig, decision: Decision, scores: Sequence[float]) -> int:
    """The baseline, unless that was chosen or is not offered: then the best of those not chosen."""
    for index, action in enumerate(decision.offered):
        if action.action_id == config.baseline_action and index != decision.chosen:
            return index
    return max((i for i in range(len(scores)) if i != decision.chosen), key=scores.__getitem__)


# --- what moved the score --------------------------------------------------------------------------------


class _Scores(NamedTuple):
    """A model that says how actions do."""

    policy: VwPolicy
    #: What its 0 and 1 stand for.
    reward_range: tuple[float, float]

    def of(self, context: Features, actions: Sequence[Action]) -> list[float]:
        """One score per action, in their order."""
        if not self.policy.model.scores:
            return self.policy.distribution(context, actions)
        low, high = self.reward_range
        expected = self.policy.model.expected_rewards(features.encode(context, actions))
        return [low + (high - low) * each for each in expected]


async def _moved(
    model: _Scores, context: Features, offered: Sequence[Action], chosen: int, other: int
) -> list[Moved]:
    """What each field did to the lead of the chosen action over the other, most first."""
    if model.policy.model.scores:  # of an action by itself, whatever else is offered
        offered, chosen, other = [offered[chosen], offered[other]], 0, 1

    def lead(context: Features, action: Action) -> float:
        scores = model.of(context, [*offered[:chosen], action, *offered[chosen + 1 :]])
        return _lead(scores, chosen, other)

    action, moved = offered[chosen], []
    everything = lead(context, action)
    for field in fields(context):
        await asyncio.sleep(0)
        by = everything - lead(field.rest, action)
        moved.append(Moved(feature=field.name, side="context", value=field.value, moved_by=by))
    for name, value, rest in _action_fields(action):
        await asyncio.sleep(0)
        by = everything - lead(context, rest)
        moved.append(Moved(feature=name, side="action", value=value, moved_by=by))
    return sorted(moved, key=lambda one: -abs(one.moved_by))


def _lead(scores: Sequence[float], chosen: int, other: int) -> float:
    return scores[chosen] - scores[other]


def _action_fields(action: Action) -> Iterator[tuple[str, Any, Action]]:
    """Segment and features of an action, each with the action without it."""
    if action.segment is not None:
        yield "action.segment", action.segment, _like(action, None, action.features)
    for field in fields(action.features):
        yield f"action.features.{field.name}", field.value, _like(action, action.segment, field.rest)


def _like(action: Action, segment: str | None, features: Features) -> Action:
    """A new action, which remembers no encoding."""
    return Action(action_id=action.action_id, segment=segment, features=features)


# --- what reshaped the distribution ----------------------------------------------------------------------


async def _reshaped(decision: Decision, config: BanditConfig, wanted: list[float]) -> list[Reshaped]:
    """What each part of the configuration did to the probability, by leaving it out, most first."""

    def probability(config: BanditConfig) -> float:
        made = shares.shaped(
            config, decision.offered, list(wanted), decision.asked.context, decision.decided_at, decision.seen
        )
        return made.pmf[decision.chosen]

    found = []
    for kind, name, without in _parts(config):
        await asyncio.sleep(0)
        by = decision.probability - probability(without)
        if abs(by) > _ROUNDING:
            found.append(Reshaped(kind=kind, name=name, moved_by=by))
    return sorted(found, key=lambda one: -abs(one.moved_by))


def _parts(config: BanditConfig) -> Iterator[tuple[Reshaper, str | None, BanditConfig]]:
    """All that reshapes a distribution, each with the configuration without it."""
    for boost in config.boosts:
        others = [one for one in config.boosts if one is not boost]
        yield "boost", boost.name, msgspec.structs.replace(config, boosts=others)
    for constraint in config.constraints:
        rest = [one for one in config.constraints if one is not constraint]
        yield "constraint", constraint.name, msgspec.structs.replace(config, constraints=rest)
    if config.novelty is not None:
        yield "novelty", None, msgspec.structs.replace(config, novelty=None)
    if config.newcomers.share:
        yield "newcomers", None, msgspec.structs.replace(config, newcomers=Newcomers(share=0.0))
    yield "exploration_floor", None, msgspec.structs.replace(config, exploration_floor=0.0)
