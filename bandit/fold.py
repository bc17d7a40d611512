"""A model as a pure fold over the training log: the same events give the same weights, wherever it runs.

With each new event some past ones are relearned; which ones is a hash of the bandit's salt and the event's
place in the log. To forget is to begin anew: from then on the model is the fold over the last events alone. A
fold resumes from a snapshot and the events that it keeps at hand (`held`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from statistics import fmean
from typing import NamedTuple

from bandit import drift, exploration, features, rewards, sampling
from bandit.drift import Detector, Fall, Level
from bandit.errors import InvalidInputError
from bandit.policy import VwPolicy
from bandit.types import (
    Decision,
    Drift,
    HalfLife,
    PolicySettings,
    RewardDefinition,
    TrainingEvent,
    Window,
)
from bandit.vw import Model

_FIELDS_LEARNED_ONCE = 12
_FIELDS_PER_RELEARNED = 3
#: What fades does so in this many steps per half-life.
_FADES = 8
#: Fewer events say nothing of what is expected on average. An alarm is about fifteen or more.
_FEW = 10
#: So many are learned, at most, when a model begins anew: with 60 fields in about a minute.
_MOST_ANEW = 350_000


def relearn_count(settings: PolicySettings, fields: int) -> int:
    """How many past events are relearned with one whose context has `fields` fields; see `PolicySettings`.

    >>> [relearn_count(PolicySettings(), fields) for fields in (10, 15, 36, 500)]
    [0, 1, 8, 8]
    """
    return min(max((fields - _FIELDS_LEARNED_ONCE) // _FIELDS_PER_RELEARNED, 0), settings.relearn)


def held(settings: PolicySettings) -> int:
    """How many last events of the log are kept at hand, to be relearned, looked into, or begun anew with.

    >>> held(PolicySettings())
    2000
    """
    relearned = settings.relearn_window if settings.relearn else 0
    watched = 2 * settings.relearn_window if _watches(settings) else 0
    forgotten = settings.forgetting.events if isinstance(settings.forgetting, Window) else 0
    return max(relearned, watched, forgotten)


def check(settings: PolicySettings) -> None:
    """Refuse settings under which a model would take minutes to begin anew.

    Raises:
        InvalidInputError: naming the field.

    >>> check(PolicySettings(relearn_window=100_000))
    Traceback (most recent call last):
    bandit.errors.InvalidInputError: policy.relearn_window: expected at most 350,000 events to be learned ...
    """
    anew = {
        "relearn_window": 2 * settings.relearn_window if settings.on_drift == "restart" else 0,
        "forgetting": 3 * (settings.forgetting.events // 4) if isinstance(settings.forgetting, Window) else 0,
    }
    for field, events in anew.items():
        if (learned := events * (1 + settings.relearn)) > _MOST_ANEW:
            raise InvalidInputError(
                f"policy.{field}: expected at most {_MOST_ANEW:,} events to be learned when the model begins "
                f"anew, got {events:,} with {settings.relearn} relearned for each, {learned:,}; lower it or "
                "policy.relearn.",
                target=f"policy.{field}",
            )


def _watches(settings: PolicySettings) -> bool:
    return settings.on_drift != "ignore" and isinstance(settings.exploration, exploration.Rule)


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


class _Lesson(NamedTuple):
    """An event as the model learns it."""

    labelled: list[str]
    #: How many past ones are relearned with it.
    relearn: int
    scaled_reward: float


class Fold:
    """A model and how far in the training log it has come.

    An event after which the model begins anew takes as long as thousands; `steps` are short ones.

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
        self, settings: PolicySettings, salt: str, model: Model, seq: int, learned: int, begins_after: int,
        detector: Detector,
    ) -> None:  # fmt: skip
        self.settings = settings
        self._salt = salt
        self.policy = VwPolicy(model, settings.exploration, learned)
        #: How far in the training log it has come; `begins_after` before the first event.
        self.seq = seq
        #: Nothing up to here has left a trace in the model.
        self.begins_after = begins_after
        self.detector = detector
        self._drifts: list[Drift] = []
        #: The last events, oldest first; None for one that was passed over.
        self._past: deque[_Lesson | None] = deque(maxlen=held(settings))

    @classmethod
    def start(cls, settings: PolicySettings, salt: str, begins_after: int = 0) -> Fold:
        """A fold that has learned nothing; its first event is the one after `begins_after`."""
        return cls(settings, salt, Model.untrained(settings), begins_after, 0, begins_after, Detector())

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
        detector: Detector | None = None,
    ) -> Fold:
        """Go on after `seq`; `past` are the events after the fold's `resumes_after`, up to `seq`.

        None stands for an event that was passed over; `learned` counts what was learned and relearned.
        """
        fold = cls(settings, salt, model, seq, learned, begins_after, detector or Detector())
        for event in past:
            fold.recall(event)
        fold.check_recalled()
        return fold

    def recall(self, event: TrainingEvent | None) -> None:
        """Take one of the `past` of `resume`; the first is the oldest."""
        self._past.append(None if event is None else self._lesson(event))

    def check_recalled(self) -> None:
        """Refuse to go on without all of the past that is needed."""
        expected = self.seq - self.resumes_after
        if len(self._past) != expected:
            raise ValueError(f"expected the {expected} events up to seq {self.seq}, got {len(self._past)}")

    @property
    def resumes_after(self) -> int:
        """Who goes on from its snapshot needs the events after this."""
        return max(self.begins_after, self.seq - held(self.settings))

    def learn(self, event: TrainingEvent) -> None:
        """Learn the next event of the log, then relearn some past ones."""
        for _ in self.steps(event.seq, event):
            pass

    def pass_over(self, seq: int) -> None:
        """Leave out the next event of the log."""
        for _ in self.steps(seq, None):
            pass

    def steps(self, seq: int, event: TrainingEvent | None) -> Iterator[None]:
        """Learn the next event, or leave it out, in steps of one event each; all of them must be taken."""
        if seq != self.seq + 1:
            raise ValueError(f"expected event {self.seq + 1} of the training log, got {seq}")
        fall = self._follow(None if event is None else self._lesson(event))
        if fall is not None:
            yield from self._look_into(fall)
        if isinstance(self.settings.forgetting, Window):
            quarter = self.settings.forgetting.events // 4
            if seq % quarter == 0 and seq - self.begins_after > 3 * quarter:
                yield from self._restart(3 * quarter)

    def take_drifts(self) -> list[Drift]:
        """The alarms since it was started or resumed, or since they were taken last."""
        taken, self._drifts = self._drifts, []
        return taken

    def to_bytes(self) -> bytes:
        """The snapshot that `resume` goes on from."""
        return self.policy.model.to_bytes()

    def close(self) -> None:
        """Free the model."""
        self.policy.model.close()

    def _look_into(self, fall: Fall) -> Iterator[None]:
        found = yield from self._drift(fall)
        if found is None:
            return
        self._drifts.append(found)
        if self.settings.on_drift == "restart":
            yield from self._restart(fall.events)
        else:
            self.detector = Detector()

    def _drift(self, fall: Fall) -> Generator[None, None, Drift | None]:
        """Compares what is at hand of before the fall, else what was usual then, with what is of after it."""
        past = list(self._past)
        after = yield from self._level(past[-fall.events :])
        before = (yield from self._level(past[: -fall.events])) or fall.usual
        if after is None or not drift.unexpected(fall, before, after):
            return None
        return Drift(
            seq=self.seq,
            since=self.seq - fall.events,
            reward_before=before.reward,
            reward_after=after.reward,
            expected_before=before.expected,
            expected_after=after.expected,
        )

    def _level(self, lessons: list[_Lesson | None]) -> Generator[None, None, Level | None]:
        learned = [one for one in lessons if one is not None]
        if len(learned) < _FEW:
            return None
        expected = []
        for one in learned:
            expected.append(self.policy.model.expected(one.labelled))
            yield
        return Level(fmean(one.scaled_reward for one in learned), fmean(expected))

    def _restart(self, events: int) -> Iterator[None]:
        """Become the fold over the last so many events alone, as far as they are at hand."""
        past = list(self._past)[-events:]
        self._past.clear()
        self.policy.model.close()
        self.policy.model, self.policy.learned = Model.untrained(self.settings), 0
        self.detector = Detector()
        self.begins_after = self.seq = self.seq - len(past)
        for lesson in past:
            self._follow(lesson)
            yield

    def _follow(self, lesson: _Lesson | None) -> Fall | None:
        """Take the next event; what its reward shows."""
        self.seq += 1
        fall = self._take(lesson) if lesson is not None else None
        self._past.append(lesson)
        if isinstance(self.settings.forgetting, HalfLife):
            self._fade(self.settings.forgetting.events)
        return fall

    def _fade(self, half_life: int) -> None:
        if self.seq % (half_life // _FADES) == 0:
            share = 0.5 ** (1.0 / _FADES)
            self.policy.model = self.policy.model.faded(share, self.settings)
            self.policy.learned = int(share * self.policy.learned)

    def _take(self, lesson: _Lesson) -> Fall | None:
        expected = self.policy.model.learn(lesson.labelled)
        self.policy.learned += 1
        for past in self._relearned(lesson.relearn):
            if past is not None:
                self.policy.model.learn(past.labelled)
                self.policy.learned += 1
        if expected is None or self.settings.on_drift == "ignore":
            return None
        return self.detector.add(lesson.scaled_reward, expected)

    def _relearned(self, count: int) -> Iterator[_Lesson | None]:
        window = min(len(self._past), self.settings.relearn_window)
        if window and count:
            for back in sampling.positions(self._salt, self.seq, count, window):
                yield self._past[-1 - back]

    def _lesson(self, event: TrainingEvent) -> _Lesson:
        probability = max(event.probability, self.settings.importance_bound)
        labelled = self.policy.model.labelled(
            event.context, event.actions, event.chosen, event.scaled_reward, probability
        )
        count = relearn_count(self.settings, features.size(event.context)) if self.settings.relearn else 0
        return _Lesson(labelled, count, event.scaled_reward)
