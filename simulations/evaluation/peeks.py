"""A confidence sequence of a difference, looked at now and then while a log is read."""

from __future__ import annotations

import math
from dataclasses import replace

from simulations.columns.rounds import Rounds
from simulations.evaluation.values import ConfidenceSequence, Peek
from simulations.intervals.paired_sequence import DifferenceSequence

#: How often it is looked at, at most.
_PEEKS = 60


class Peeks:
    """Fed with rounds in the order of the log, in units of the reward.

    It needs to know between what rewards must lie (what they were seen to lie between will not do), and the
    largest weights; without, there is none.
    """

    def __init__(self, reward_range: tuple[float, float] | None, rounds: int) -> None:
        self._low, high = reward_range or (0.0, 0.0)
        self._span = high - self._low
        self._every = max(math.ceil(rounds / _PEEKS), 1)
        self._state: DifferenceSequence | None = DifferenceSequence() if self._span > 0.0 else None
        self._peeks: list[Peek] = []

    def add(self, rounds: Rounds, others: Rounds) -> None:
        """The next rounds, beside target and reference."""
        if rounds.largest_weight is None or others.largest_weight is None:
            self._state = None
        at = 0
        while self._state is not None and at < len(rounds):
            part = slice(at, at + self._every - self._state.count % self._every)
            self._state = self._state.add(self._scaled(rounds[part]), self._scaled(others[part]))
            if self._state.count % self._every == 0:
                self._peeks.append(self._peek(self._state))
            at = part.stop

    def found(self) -> ConfidenceSequence | None:
        """What it looked like; None where it could not be."""
        if self._state is None or not self._state.count:
            return None
        last = [self._peek(self._state)] if self._state.count % self._every else []
        return ConfidenceSequence(
            label="target - reference", method="betting", peeks=self._peeks + last, compared_with=0.0
        )

    def _peek(self, state: DifferenceSequence) -> Peek:
        found = state.interval()
        return Peek(
            rounds=state.count,
            low=self._span * found.low,
            estimate=self._span * state.gained / state.count,
            high=self._span * found.high,
        )

    def _scaled(self, rounds: Rounds) -> Rounds:
        return replace(rounds, reward=(rounds.reward - self._low) / self._span)
