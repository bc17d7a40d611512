"""What a log says of a target policy and of a reference, chunk by chunk; it adds up without rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np

from simulations.columns.exact import Floats
from simulations.columns.rounds import Predictions, Rounds
from simulations.diagnostics import Diagnostics
from simulations.estimators.contract import Estimator, Running
from simulations.estimators.mips import MIPS
from simulations.evaluation.columns import as_logged, rounds_of
from simulations.evaluation.reward_model import Encoded, RewardModel, encode
from simulations.intervals.bootstrap import Buckets
from simulations.intervals.paired import compared
from simulations.intervals.rewarded import Rewarded, Usual
from simulations.logs.rows import Chunk, Logged
from simulations.policies.targets import Target, TheLogged


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What one estimator has seen: of a policy's value, or of the difference between two."""

    running: Running
    rewarded: Rewarded
    #: The same by subject.
    buckets: Buckets | None

    def __add__(self, other: Seen) -> Seen:
        """Both seen."""
        buckets = None
        if self.buckets is not None and other.buckets is not None:
            buckets = self.buckets + other.buckets
        return Seen(
            running=self.running + other.running, rewarded=self.rewarded + other.rewarded, buckets=buckets
        )


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that is remembered of a log, whatever its length; `a + b` is of the rounds of both."""

    #: One for each estimator; empty: no rounds yet.
    target: tuple[Seen, ...] = ()
    reference: tuple[Seen, ...] = ()
    differences: tuple[Seen, ...] = ()
    diagnostics: Diagnostics = Diagnostics()
    #: Empty where the reference is the policy that logged.
    reference_diagnostics: Diagnostics = Diagnostics()
    #: Rounds that a policy may have learned from before.
    left_out: int = 0

    def __add__(self, other: Evidence) -> Evidence:
        """Of the rounds of both."""
        return Evidence(
            target=_added(self.target, other.target),
            reference=_added(self.reference, other.reference),
            differences=_added(self.differences, other.differences),
            diagnostics=self.diagnostics + other.diagnostics,
            reference_diagnostics=self.reference_diagnostics + other.reference_diagnostics,
            left_out=self.left_out + other.left_out,
        )


class WarmUp:
    """The first rounds of a log, from which policies learn before they are evaluated.

    >>> warm_up = WarmUp(150)
    >>> [warm_up.take(100), warm_up.take(100), warm_up.take(100)]
    [100, 50, 0]
    """

    def __init__(self, rounds: int) -> None:
        self._left = rounds

    def take(self, rounds: int) -> int:
        """How many of the next rounds belong to it."""
        taken = min(self._left, rounds)
        self._left -= taken
        return taken


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What each chunk of a log is asked; `evidence` is the step of the pass."""

    target: Target
    reference: Target
    estimators: Sequence[Estimator]
    #: Whether subjects have several rounds.
    clustered: bool = False
    #: Fitted by least squares.
    model: RewardModel | None = None
    #: Fitted as MRDR wants it, for target and reference.
    robust_models: tuple[RewardModel, RewardModel] | None = None
    #: Everyone who logged, and its share of the rounds.
    loggers: Sequence[tuple[Target, float]] = ()
    #: Told of each chunk's rounds beside target and reference; only where a log is read in its order.
    watch: Callable[[Rounds, Rounds], None] | None = None
    #: The reward of most rounds.
    usual: Usual = Usual()  # noqa: RUF009 it is frozen
    #: The first rounds, where a log is read in its order, are only learned from.
    warm_up: WarmUp
    #: Rounds up to then are left out too, as for a policy that is compared and has learned from them.
    learned_until: datetime | None = None

    def evidence(self, chunk: Chunk) -> Evidence:
        """What these rows say; policies that learn have learned them then."""
        rows, skipped = chunk.rows, self.warm_up.take(len(chunk.rows))
        fresh = [row for row in rows[skipped:] if not self._has_learned(row)]
        learning = [policy for policy in (self.target, self.reference) if policy.learns]
        for row in [*rows[:skipped], *(row for row in rows[skipped:] if self._has_learned(row))]:
            for policy in learning:
                policy.distribution(row)
        left_out = len(rows) - len(fresh)
        return msgspec.structs.replace(self._of(fresh) if fresh else Evidence(), left_out=left_out)

    def _of(self, rows: Sequence[Logged]) -> Evidence:
        encoded = encode(rows) if self.model or self.robust_models else None
        mixture = self._mixture(rows)
        targets = [self.target.distribution(row) for row in rows]
        rounds = self._rounds(rows, targets, encoded, 0, mixture)
        if isinstance(self.target, TheLogged):
            rounds = as_logged(rounds)
        if isinstance(self.reference, TheLogged):
            others, reference_diagnostics = as_logged(rounds), Diagnostics()
        else:
            references = [self.reference.distribution(row) for row in rows]
            others = self._rounds(rows, references, encoded, 1, mixture)
            reference_diagnostics = Diagnostics.of(rows, references, others)
        if self.watch is not None:
            self.watch(rounds, others)
        return Evidence(
            target=tuple(self._value(estimator, rounds) for estimator in self.estimators),
            reference=tuple(self._value(estimator, others) for estimator in self.estimators),
            differences=tuple(self._difference(estimator, rounds, others) for estimator in self.estimators),
            diagnostics=Diagnostics.of(rows, targets, rounds),
            reference_diagnostics=reference_diagnostics,
        )

    def _rounds(
        self,
        rows: Sequence[Logged],
        pmfs: Sequence[Sequence[float]],
        encoded: Encoded | None,
        which: int,
        mixture: Floats | None,
    ) -> Rounds:
        def predictions(model: RewardModel | None) -> Predictions | None:
            return model.predictions(encoded, pmfs) if model and encoded else None

        return rounds_of(
            rows,
            pmfs,
            predictions=predictions(self.model),
            robust_predictions=predictions(self.robust_models[which] if self.robust_models else None),
            mixture_probability=mixture,
            embedded=any(isinstance(estimator, MIPS) for estimator in self.estimators),
        )

    def _mixture(self, rows: Sequence[Logged]) -> Floats | None:
        if not self.loggers:
            return None
        return np.array(
            [
                sum(share * logger.distribution(row)[row.chosen] for logger, share in self.loggers)
                for row in rows
            ]
        )

    def _value(self, estimator: Estimator, rounds: Rounds) -> Seen:
        return Seen(
            running=Running.of(estimator, rounds),
            rewarded=Rewarded.of(estimator, rounds, self.usual),
            buckets=Buckets.of(estimator, rounds) if self.clustered else None,
        )

    def _difference(self, estimator: Estimator, rounds: Rounds, others: Rounds) -> Seen:
        running, rewarded = compared(estimator, rounds, estimator, others, self.usual)
        columns = [*estimator.columns(rounds), *estimator.columns(others)]
        buckets = Buckets.of_columns(running.estimator, columns, rounds) if self.clustered else None
        return Seen(running=running, rewarded=rewarded, buckets=buckets)

    def _has_learned(self, row: Logged) -> bool:
        given = (self.target.learned_until, self.reference.learned_until, self.learned_until)
        ends = [end for end in given if end is not None]
        return any(row.decided_at is None or row.decided_at <= end for end in ends)


def _added(some: tuple[Seen, ...], more: tuple[Seen, ...]) -> tuple[Seen, ...]:
    if not (some and more):
        return some or more
    return tuple(a + b for a, b in zip(some, more, strict=True))
