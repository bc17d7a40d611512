"""From logged rounds and a policy's distributions to the columns that estimators look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from bandit.sampling import uniform
from simulations.columns.exact import Floats
from simulations.columns.rounds import Predictions, Rounds
from simulations.logs.rows import Logged
from simulations.logs.scan import subject_hash

#: Of the rejection sampler: any text will do, always the same.
_SALT = "replay"


def rounds_of(
    rows: Sequence[Logged],
    targets: Sequence[Sequence[float]],
    *,
    predictions: Predictions | None = None,
    robust_predictions: Predictions | None = None,
    mixture_probability: Floats | None = None,
    embedded: bool = True,
) -> Rounds:
    """Rounds (n,) and the target's distribution over each one's actions, as columns.

    Columns that need the logged distribution are there if every row has one; `embedding_weight`, which only
    MIPS looks at, if it is to be `embedded`.
    """
    known = all(row.pmf is not None for row in rows)
    probability = np.array([row.probability for row in rows], float)
    chosen = np.array([pmf[row.chosen] for row, pmf in zip(rows, targets, strict=True)], float)
    # The logged distribution may hold the probability rounded otherwise.
    largest = np.maximum(_column(_largest_weight, rows, targets), chosen / probability) if known else None
    return Rounds(
        reward=np.array([row.reward for row in rows], float),
        probability=probability,
        target_probability=chosen,
        predictions=predictions,
        robust_predictions=robust_predictions,
        embedding_weight=_column(_embedding_weight, rows, targets) if known and embedded else None,
        mixture_probability=mixture_probability,
        largest_weight=largest,
        subject=np.array([subject_hash(row.subject or row.decision_id) for row in rows], np.uint64),
        draw=np.array([uniform(_SALT, row.decision_id) for row in rows], float),
    )


def as_logged(rounds: Rounds) -> Rounds:
    """The same rounds with the policy that logged them as the target: every weight is 1.

    Its value is what it earned; a reward model has nothing to add to that.
    """
    model = rounds.predictions
    ones = np.ones(len(rounds))
    return Rounds(
        reward=rounds.reward,
        probability=rounds.probability,
        target_probability=rounds.probability,
        predictions=None if model is None else Predictions(logged=model.logged, target=model.logged),
        robust_predictions=None if model is None else Predictions(logged=model.logged, target=model.logged),
        embedding_weight=ones,
        mixture_probability=rounds.probability,
        largest_weight=ones,
        subject=rounds.subject,
        draw=rounds.draw,
    )


def _column(
    of: Callable[[Logged, Sequence[float]], float], rows: Sequence[Logged], targets: Sequence[Sequence[float]]
) -> Floats:
    return np.array([of(row, pmf) for row, pmf in zip(rows, targets, strict=True)], float)


def _largest_weight(row: Logged, pmf: Sequence[float]) -> float:
    return max(t / p for t, p in zip(pmf, row.pmf or (), strict=True) if p > 0.0)


def _embedding_weight(row: Logged, pmf: Sequence[float]) -> float:
    """An action's embedding is its segment, or itself where it has none."""
    target: defaultdict[str, float] = defaultdict(float)
    logged: defaultdict[str, float] = defaultdict(float)
    for action, t, p in zip(row.actions, pmf, row.pmf or (), strict=True):
        target[action.segment or action.action_id] += t
        logged[action.segment or action.action_id] += p
    chosen = row.actions[row.chosen]
    embedding = chosen.segment or chosen.action_id
    return target[embedding] / (logged[embedding] or row.probability)
