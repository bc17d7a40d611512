"""Whether a log can answer for a target policy at all: weights, support, and logged probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from simulations.columns.exact import Floats, exact_sum, number
from simulations.columns.rounds import Rounds
from simulations.diagnostics import calibration, groups
from simulations.diagnostics.calibration import Calibration
from simulations.diagnostics.diagnosis import Check, Diagnosis, Support
from simulations.diagnostics.flat import Flat
from simulations.diagnostics.keyed import Keyed
from simulations.diagnostics.tail import limit_of_k
from simulations.diagnostics.wagers import Wagers
from simulations.diagnostics.weights import Weights
from simulations.logs.rows import Logged

#: A logged probability may differ so much from that in its distribution, by the digits that were written.
_ROUNDING = 1e-4
#: Where distributions are not logged, no weight is taken to exceed the largest one seen more than so often.
_UNSEEN = 2.0


class Diagnostics(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a log and a target policy, whatever its length; exact: `a + b` equals the whole.

    >>> from bandit.types import Action
    >>> rows = [Logged(row=row, decision_id=str(row), actions=[Action(action_id="a"), Action(action_id="b")],
    ...                chosen=row % 2, probability=0.5, pmf=[0.5, 0.5], reward=1.0) for row in range(100)]
    >>> rounds = Rounds(reward=np.ones(100), probability=np.full(100, 0.5),
    ...                 target_probability=np.tile([1.0, 0.0], 50))
    >>> found = Diagnostics.of(rows, [[1.0, 0.0]] * 100, rounds).diagnosis()
    >>> found.effective_sample_size, found.mean_weight, found.support.unsupported_mass
    (50.0, 1.0, 0.0)
    """

    weights: Weights = Weights()
    #: Of weight, with the target's probability of what cannot be chosen added.
    weight_wagers: Wagers = Wagers()
    #: Of 1 / (K p), and its exact sum.
    inverse_wagers: Wagers = Wagers()
    inverse: int = 0
    #: The largest weight that any offer of a logged distribution would have had, chosen or not.
    possible_weight: float = 0.0
    calibration: Calibration = Calibration()
    #: Rounds whose distribution is logged; of those, such that have unsupported target probability, the exact
    #: sum of it, offers with probability zero, and rounds whose probability is not that of the distribution.
    known: int = 0
    unsupported_rounds: int = 0
    unsupported: int = 0
    zero_probabilities: int = 0
    contradictions: int = 0
    #: Exact sums of the rewards' absolute values: of all, and of those with weight zero.
    absolute_reward: int = 0
    absolute_without_weight: int = 0
    actions: Keyed = Keyed(sums={}, total=(0,) * groups.ACTION_SIZE)
    segments: Keyed = Keyed(sums={}, total=(0,) * groups.GROUP_SIZE)
    days: Keyed = Keyed(sums={}, total=(0,) * groups.GROUP_SIZE, days=True)

    @classmethod
    def of(cls, rows: Sequence[Logged], targets: Sequence[Sequence[float]], rounds: Rounds) -> Diagnostics:
        """Of rows, the target policy's distribution over each row's actions, and the same rows as columns.

        Raises:
            InvalidInputError: not one probability for each action, or not one target for each row.
        """
        if not rows:
            return cls()
        flat = Flat.of(rows, targets)
        zero = flat.pmf == 0.0
        lost: Floats = np.zeros(len(rows))
        np.add.at(lost, flat.round[zero], flat.target[zero])
        possible = flat.pmf > 0.0
        inverse = 1.0 / (flat.offered.astype(np.float64) * rounds.probability)
        logged = flat.pmf[flat.chosen]
        absolute = np.abs(rounds.reward)
        return cls(
            weights=Weights.of(rounds.weight, rounds.reward),
            weight_wagers=Wagers.of(rounds.weight + lost),
            inverse_wagers=Wagers.of(inverse),
            inverse=exact_sum(inverse),
            possible_weight=float((flat.target[possible] / flat.pmf[possible]).max(initial=0.0)),
            calibration=Calibration.of(flat),
            known=int(np.count_nonzero(~np.isnan(logged))),
            unsupported_rounds=int(np.count_nonzero(lost)),
            unsupported=exact_sum(lost),
            zero_probabilities=int(np.count_nonzero(zero)),
            contradictions=int(np.count_nonzero(np.abs(logged - rounds.probability) > _ROUNDING * logged)),
            absolute_reward=exact_sum(absolute),
            absolute_without_weight=exact_sum(absolute[rounds.weight == 0.0]),
            actions=groups.by_action(flat, rounds),
            segments=groups.by_segment(flat, rounds),
            days=groups.by_day(flat, rounds),
        )

    def __add__(self, other: Diagnostics) -> Diagnostics:
        """Of the rows of both."""
        merged = {name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__}
        merged["possible_weight"] = max(self.possible_weight, other.possible_weight)
        return Diagnostics(**merged)

    @property
    def rounds(self) -> int:
        """How many were seen."""
        return self.weights.moments.count

    def diagnosis(self) -> Diagnosis:
        """What it comes to."""
        weights, count = self.weights, self.rounds
        return Diagnosis(
            rounds=count,
            effective_sample_size=weights.effective_sample_size,
            largest_weight=weights.largest_weight,
            top_ten_share=weights.top_ten_share,
            mean_weight=number(weights.moments.sums[0]) / max(count, 1),
            mean_inverse=number(self.inverse) / max(count, 1),
            pareto_k=weights.pareto_k,
            pareto_limit=limit_of_k(count),
            support=self._support(),
            checks=self._checks(),
            contradictions=self.contradictions,
            reward_without_weight=_share(self.absolute_without_weight, self.absolute_reward),
            reward_never_chosen=groups.never_chosen_share(self.actions),
            weights=weights.bars,
            by_probability=self.calibration.found(),
            by_action=groups.expected(self.actions),
            actions=groups.breakdown(self.actions),
            segments=groups.breakdown(self.segments),
            days=groups.breakdown(self.days),
        )

    def _support(self) -> Support:
        mass = number(self.unsupported) + groups.never_logged(self.actions)
        return Support(
            known_share=self.known / max(self.rounds, 1),
            unsupported_mass=mass / max(self.rounds, 1),
            unsupported_rounds=self.unsupported_rounds / max(self.known, 1),
            zero_probabilities=self.zero_probabilities,
        )

    def _checks(self) -> list[Check]:
        found = [
            self._weight_check(),
            self._inverse_check(),
            calibration.check("choices by probability", self.calibration.found()),
            groups.calibration_check(self.actions),
            groups.inverse_check(self.actions),
        ]
        return [check for check in found if check is not None] if self.rounds else []

    def _weight_check(self) -> Check:
        limit = self.possible_weight
        if self.known < self.rounds:
            limit = max(limit, _UNSEEN * self.weights.largest_weight)
        mean = number(self.weights.moments.sums[0] + self.unsupported) / max(self.rounds, 1)
        # Weight and unsupported probability together are at most the limit or 1 more.
        p = 2.0 * min(self.weight_wagers.p_above(), self.weight_wagers.p_below(limit + 1.0))
        finding = f"expected 1 with the unsupported share added, found {mean:.4g}"
        return Check(name="mean weight", p_value=min(1.0, p), off=abs(mean - 1.0), finding=finding)

    def _inverse_check(self) -> Check:
        mean = number(self.inverse) / max(self.rounds, 1)
        return Check(
            name="mean of 1 / (K p)",
            p_value=self.inverse_wagers.p_above(),
            off=max(mean - 1.0, 0.0),
            finding=f"expected at most 1, found {mean:.4g}",
        )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
