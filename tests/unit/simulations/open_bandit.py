"""The Open Bandit sample as rounds, and the reward model of the reference fitted again."""

from __future__ import annotations

import csv
import gzip
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.preprocessing import LabelEncoder

from simulations.columns.exact import Floats
from simulations.columns.rounds import Predictions, Rounds

from .reference import shared

RUNS = ["all:random->bts", "all:bts->random", "men:random->bts", "men:bts->random"]
Indices = npt.NDArray[np.int64]


class Sample(NamedTuple):
    """One log of the sample in the order of time, and the policy it is to evaluate."""

    reward: Floats
    probability: Floats
    action: Indices
    #: From 0.
    position: Indices
    #: Of the user (n, d), one-hot; of the items (K, e).
    context: Floats
    items: Floats
    #: Of the target (K, positions).
    target: Floats


@cache
def sample(run: str) -> Sample:
    """The log of a run such as `all:random->bts`."""
    campaign, _, policies = run.partition(":")
    logger, _, target = policies.partition("->")
    rows = sorted(_table(logger, campaign, campaign), key=lambda row: row["timestamp"])
    items = _table(logger, campaign, "item_context")
    published = np.load(shared("reference", "open_bandit_bts.npz"))[f"bts_{campaign}"]
    return Sample(
        reward=np.array([float(row["click"]) for row in rows]),
        probability=np.array([float(row["propensity_score"]) for row in rows]),
        action=np.array([int(row["item_id"]) for row in rows]),
        position=np.array([int(row["position"]) - 1 for row in rows]),
        context=np.column_stack([_one_hot([row[f"user_feature_{i}"] for row in rows]) for i in range(4)]),
        items=np.column_stack(
            [LabelEncoder().fit_transform([item[f"item_feature_{i}"] for item in items]) for i in (1, 2, 3)]
            + [np.array([float(item["item_feature_0"]) for item in items])]
        ),
        target=published if target == "bts" else np.full(published.shape, 1.0 / len(items)),
    )


def rounds(run: str, predictions: Predictions | None = None) -> Rounds:
    """The log of a run as rounds."""
    log = sample(run)
    return Rounds(
        reward=log.reward,
        probability=log.probability,
        target_probability=log.target[log.action, log.position],
        predictions=predictions,
    )


def refitted(run: str) -> Predictions:
    """Logistic regression on user and item features, one a position, cross-fitted in three folds."""
    log = sample(run)
    logged, target = np.empty(len(log.reward)), np.empty(len(log.reward))
    for train, test in KFold(n_splits=3, shuffle=True, random_state=12345).split(log.reward):
        for position in range(log.target.shape[1]):
            seen, asked = (rows[log.position[rows] == position] for rows in (train, test))
            model = LogisticRegression(C=100, max_iter=10_000, random_state=12345)
            model.fit(np.column_stack([log.context[seen], log.items[log.action[seen]]]), log.reward[seen])
            of_context, of_item = np.split(model.coef_[0], [log.context.shape[1]])
            score = (log.context[asked] @ of_context)[:, None] + log.items @ of_item + model.intercept_
            predicted = 1.0 / (1.0 + np.exp(-score))
            logged[asked] = predicted[np.arange(len(asked)), log.action[asked]]
            target[asked] = predicted @ log.target[:, position]
    return Predictions(logged=logged, target=target)


def _table(logger: str, campaign: str, name: str) -> list[dict[str, str]]:
    path = shared("data", "open-bandit-sample", logger, campaign, f"{name}.csv.gz")
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def _one_hot(values: list[str]) -> Floats:
    """One column for each value but the first."""
    found = np.array(values)
    return np.asarray(found[:, None] == np.unique(found)[None, 1:], dtype=np.float64)
