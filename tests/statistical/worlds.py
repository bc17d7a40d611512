"""Logs of worlds in which the value of every policy is known: contexts, ten actions, clicks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simulations.columns.exact import Floats
from simulations.columns.rounds import Rounds

ROUNDS, ACTIONS = 2_000, 10
#: A model's click rate of an action with few rounds is drawn to the mean of all by so many more.
_PRIOR = 20.0


class World(NamedTuple):
    """Each context is as likely as the next; matrices are contexts by actions."""

    name: str
    logging: Floats
    #: Of the policy that is evaluated, and of the one it is compared with.
    target: Floats
    other: Floats
    #: How often each action is clicked, relative to the mean rate.
    relative: Floats

    def value(self, policy: Floats, rate: float) -> float:
        return float((policy * self.relative * rate).sum(axis=1).mean())

    def draw(self, rng: np.random.Generator, rate: float, rounds: int = ROUNDS) -> tuple[Rounds, Rounds]:
        """One log, beside both targets; with predictions of a model that saw another log as long."""
        _, seen, clicks = self._log(rng, rate, rounds)
        tried = np.bincount(seen, minlength=ACTIONS)
        clicked = np.bincount(seen, weights=clicks, minlength=ACTIONS)
        model = (clicked + _PRIOR * clicks.mean()) / (tried + _PRIOR)
        context, action, reward = self._log(rng, rate, rounds)
        both = [
            Rounds.from_matrices(
                reward=reward,
                action=action,
                probability=self.logging[context, action],
                target_probabilities=policy[context],
                predicted_rewards=np.broadcast_to(model, (rounds, ACTIONS)),
            )
            for policy in (self.target, self.other)
        ]
        return both[0], both[1]

    def _log(
        self, rng: np.random.Generator, rate: float, rounds: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
        context = rng.integers(len(self.logging), size=rounds)
        bounds = self.logging.cumsum(axis=1)[:, :-1]
        action = (rng.random(rounds)[:, None] > bounds[context]).sum(axis=1)
        reward = (rng.random(rounds) < self.relative[context, action] * rate).astype(float)
        return context, action, reward


def favourite() -> World:
    """One action logged at .82, nine at .02; the target is uniform, the other half way to the logger."""
    logging, uniform = np.array([[0.82] + [0.02] * 9]), np.full((1, ACTIONS), 0.1)
    return World("favourite", logging, uniform, (logging + uniform) / 2.0, np.ones((1, ACTIONS)))


def unequal() -> World:
    """The same, but the favourite is clicked more often than the rest, and these differ."""
    relative = np.array([[1.6, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.2, 1.4, 1.5]])
    return favourite()._replace(name="unequal", relative=relative)


def contexts() -> World:
    """Five contexts; logger, target and click rates differ in each, without having to do with each other."""
    rng = np.random.default_rng(5)

    def softmax(scale: float) -> Floats:
        scores = np.exp(scale * rng.normal(size=(5, ACTIONS)))
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))

    relative = rng.uniform(0.3, 1.7, size=(5, ACTIONS))
    logging = 0.7 * softmax(1.0) + 0.3 / ACTIONS
    return World("contexts", logging, softmax(0.5), np.full((5, ACTIONS), 1.0 / ACTIONS), relative)


WORLDS = (favourite, unequal, contexts)
