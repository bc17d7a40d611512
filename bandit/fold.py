"""A model as a pure fold over the training log: the same events give the same weights, wherever it runs.

With each new event some past ones are relearned; which ones is a hash of the bandit's salt and the event's
place in the log. A fold resumes from a snapshot and the last `relearn_window` events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from bandit import features, rewards, sampling
from bandit.policy import VwPolicy
from bandit.types import Decision, PolicySettings, RewardDefinition, TrainingEvent
from bandit.vw import Model

_FIELDS_LEARNED_ONCE = 12
_FIELDS_PER_RELEARNED = 3


def relearn_count(settings: PolicySettings, fields: int) -> int:
    """How many past events are relearned with one whose context has `fields` fields; see `PolicySettings`.

    >>> [relearn_count(PolicySettings(), fields) for fields in (10, 15, 36, 500)]
    [0, 1, 8, 8]
    """
    return min(max((fields - _FIELDS_LEARNED_ONCE) // _FIELDS_PER_RELEARNED, 0), settings.relearn)


def relearned_from(settings: PolicySettings) -> int:
    """From how many last events of the log those that are relearned are drawn; so many are kept at hand."""
    return settings.relearn_window if settings.relearn else 0


def training_event(
    seq: int, decision: Decision, reward: float, definition: RewardDefinition
) -> TrainingEvent:
    """A settled decision as models learn it."""
    return TrainingEvent(
        seq=seq,
        context=decision.asked.context,
        actions=decision.offered,
        chosen=decision.chosen,
        probability=decision.probability,
        scaled_reward=rewards.scale(definition, reward),
    )


class Fold:
    """A model and how far in the training log it has come.

    >>> from bandit.types import Action
    >>> fold = Fold.start(PolicySettings(), "salt")
    >>> actions = [Action(action_id="a"), Action(action_id="b")]
    >>> event = TrainingEvent(seq=1, context={"x": 1}, actions=actions, chosen=0, probability=0.5,
    ...                       scaled_reward=1.0)
    >>> fold.learn(event)
    >>> fold.policy.distribution({"x": 1}, actions)[0] > 0.5
    True
    """

    def __init__(
        self,
        settings: PolicySettings,
        salt: str,
        model: Model,
        seq: int,
        learned: int,
        begins_after: int,
    ) -> None:
        self.settings = settings
        self._salt = salt
        self._model = model
        self.policy = VwPolicy(model, settings.exploration, learned)
        #: How far in the training log it has come; `begins_after` before the first event.
        self.seq = seq
        self._begins_after = begins_after
        #: The last events as the model learns them, oldest first; None for one that was passed over.
        self._past: deque[list[str] | None] = deque(maxlen=relearned_from(settings))

    @classmethod
    def start(cls, settings: PolicySettings, salt: str, begins_after: int = 0) -> Fold:
        """A fold that has learned nothing; its first event is the one after `begins_after`."""
        return cls(settings, salt, Model.untrained(settings), begins_after, 0, begins_after)

    @classmethod
    def resume(
        cls,
        settings: PolicySettings,
        salt: str,
        model: Model,
        seq: int,
        learned: int,
        past: Iterable[TrainingEvent | None],
        begins_after: int = 0,
    ) -> Fold:
        """Go on after `seq`; `past` are the events after the fold's `resumes_after`, up to `seq`.

        None stands for an event that was passed over; `learned` counts what was learned and relearned.
        """
        fold = cls(settings, salt, model, seq, learned, begins_after)
        fold._past.extend(None if event is None else fold._labelled(event) for event in past)
        expected = seq - fold.resumes_after
        if len(fold._past) != expected:
            raise ValueError(f"expected the {expected} events up to seq {seq}, got {len(fold._past)}")
        return fold

    @property
    def resumes_after(self) -> int:
        """Who goes on from its snapshot needs the events after this."""
        return max(self._begins_after, self.seq - relearned_from(self.settings))

    def learn(self, event: TrainingEvent) -> None:
        """Learn the next event of the log, then relearn some past ones."""
        self._advance(event.seq)
        new = self._labelled(event)
        count = relearn_count(self.settings, features.size(event.context)) if self.settings.relearn else 0
        self._model.learn(new)
        self.policy.learned += 1
        for past in self._relearned(event.seq, count):
            if past is not None:
                self._model.learn(past)
                self.policy.learned += 1
        self._past.append(new)

    def pass_over(self, seq: int) -> None:
        """Leave out the next event of the log."""
        self._advance(seq)
        self._past.append(None)

    def _advance(self, seq: int) -> None:
        if seq != self.seq + 1:
            raise ValueError(f"expected event {self.seq + 1} of the training log, got {seq}")
        self.seq = seq

    def to_bytes(self) -> bytes:
        """The snapshot that `resume` goes on from."""
        return self._model.to_bytes()

    def close(self) -> None:
        """Free the model."""
        self._model.close()

    def _relearned(self, seq: int, count: int) -> Iterator[list[str] | None]:
        if self._past and count:
            for back in sampling.positions(self._salt, seq, count, len(self._past)):
                yield self._past[-1 - back]

    def _labelled(self, event: TrainingEvent) -> list[str]:
        probability = max(event.probability, self.settings.importance_bound)
        return self._model.labelled(
            event.context, event.actions, event.chosen, event.scaled_reward, probability
        )
