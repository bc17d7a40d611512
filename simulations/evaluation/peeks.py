"""A confidence sequence of a difference, looked at now and then while a log is read."""

from __future__ import annotations

from dataclasses import replace

from simulations.columns.rounds import Rounds
from simulations.evaluation.values import ConfidenceSequence, Peek
from simulations.intervals.paired_sequence import DifferenceSequence

#: How often it is looked at.
_PEEKS = 60


class Peeks:
    """Fed with rounds in the order of the log, in units of the reward.

    It needs to know between what rewards must lie (what they were seen to lie between will not do), and the
    largest weights; without, there is none.
    """

    def __init__(self, reward_range: tuple[float, float] | None, rounds: int) -> None:
        self._low, high = reward_range or (0.0, 0.0)
        self._span = high - self._low
        self._every = max(rounds // _PEEKS, 1)
        self._state: DifferenceSequence | None = DifferenceSequence() if self._span > 0.0 else None
        self._peeks: list[Peek] = []

    def add(self, rounds: Rounds, others: Rounds) -> None:
        """The next rounds, beside target and reference."""
        if rounds.largest_weight is None or others.largest_weight is None:
            self._state = None
        for at in range(0, len(rounds), self._every):
            if self._state is None:
                return
            part = slice(at, at + self._every)
            self._state = self._state.add(self._scaled(rounds[part]), self._scaled(others[part]))
            found = self._state.interval()
            self._peeks.append(
                Peek(
                    rounds=self._state.count,
                    low=self._span * found.low,
                    estimate=self._span * self._state.gained / self._state.count,
                    high=self._span * found.high,
                )
            )

    def found(self) -> ConfidenceSequence | None:
        """What it looked like; None where it could not be."""
        if self._state is None or not self._peeks:
            return None
        return ConfidenceSequence(
            label="target - reference", method="betting", peeks=self._peeks, compared_with=0.0
        )

    def _scaled(self, rounds: Rounds) -> Rounds:
        return replace(rounds, reward=(rounds.reward - self._low) / self._span)
