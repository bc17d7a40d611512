"""What a bandit's configuration makes of a policy in a logged round: by the very code that decides."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from bandit import exposures
from bandit.decide import choose
from bandit.errors import InvalidInputError
from bandit.policy import Policy
from bandit.types import Bandit, BanditConfig, DecisionInput
from simulations.logs.rows import Logged

#: Of rounds without a time: nothing is new any more.
_SOME_DAY = datetime(9000, 1, 1, tzinfo=UTC)


class Served(NamedTuple):
    """A bandit that was never stored; see `bandit.decide.Served`."""

    bandit: Bandit
    policy: Policy | None
    model_version: int = 0


class Steering:
    """A configuration as it acts in each logged round: on whom, when, and over what was offered there.

    Of the actions offered there, those are left that it offers: of a catalogue's, those that it has and
    enables. What it offers beyond them nobody knows. What a subject had been shown before is as the log says,
    as the context is.

    >>> from bandit.policy import UniformPolicy
    >>> from bandit.types import Action
    >>> actions = [Action(action_id="a"), Action(action_id="b")]
    >>> row = Logged(row=1, decision_id="d", actions=actions, chosen=0, probability=0.5, reward=1.0)
    >>> Steering("b-killed", BanditConfig(actions=actions, killed_actions=["b"])).pmf(UniformPolicy(), row)
    [1.0, 0.0]
    """

    def __init__(self, name: str, config: BanditConfig) -> None:
        self._name = name
        if config.baseline_action is None:  # as it is once somebody creates a bandit with it
            enabled = next((action.action_id for action in config.actions if action.enabled), None)
            config = replace(config, baseline_action=enabled)
        self._bandit = Bandit(
            bandit_key="evaluated", config_version=1, config=config, salt="", archived=False,
            created_at=_SOME_DAY,
        )  # fmt: skip
        self._enabled = {action.action_id: action.enabled for action in config.actions}
        schedules = [
            *(each.schedule for each in config.constraints),
            *(each.schedule for each in config.boosts),
        ]
        self._needs_time = any(schedules)

    def pmf(self, policy: Policy, row: Logged) -> list[float]:
        """One probability per action of the round, in their order; 0 for what is not offered.

        Raises:
            InvalidInputError: the configuration would refuse the round, or asks what the row does not say.
        """
        decided_at = self._checked_time(row)
        asked = DecisionInput(
            subject=row.subject,
            context=row.context,
            actions=row.actions,
            excluded_actions=self._gone(row),
        )
        self._check_seen(row, decided_at)
        try:
            made = choose(Served(self._bandit, policy), asked, row.decision_id, decided_at, row.seen)
        except InvalidInputError as error:
            raise self._refused(row, "that it could decide", error.message) from error
        pmf = [0.0] * len(row.actions)
        for position, probability in zip(made.positions, made.pmf, strict=True):
            pmf[position] = probability
        return pmf

    def _gone(self, row: Logged) -> list[str]:
        """What of a catalogue's actions it does not have or enable; whoever brings actions enables them."""
        if row.from_catalogue is False:
            return []
        known = not row.from_catalogue  # a request may have brought what the catalogue does not have
        return [a.action_id for a in row.actions if not self._enabled.get(a.action_id, known)]

    def _checked_time(self, row: Logged) -> datetime:
        if row.decided_at is None and self._needs_time:
            raise self._refused(row, "when it was decided, for its schedules", "no decided_at")
        return row.decided_at or _SOME_DAY

    def _check_seen(self, row: Logged, decided_at: datetime) -> None:
        wanted = exposures.seen(self._bandit.config, [], decided_at)
        if row.subject is None or wanted is None:
            return
        if row.seen is None or wanted.actions.keys() - row.seen.actions.keys():
            what = "what its subject had been shown before, for caps, repetition limits and novelty"
            raise self._refused(
                row, what, "a row that was logged without such limits",
                "evaluate the decisions since they were set (--since, --until)",
            )  # fmt: skip

    def _refused(
        self, row: Logged, expected: str, came: str, do: str = "leave the row out"
    ) -> InvalidInputError:
        return InvalidInputError(
            f"{self._name}: expected of row {row.row} {expected}, got {came}; {do}, or "
            "evaluate the policy's settings alone.",
            target=self._name,
        )
