"""The whole border with Vowpal Wabbit: the only importer, the only home of costs, bytes in and out.

A workspace is not thread-safe: one thread owns a model.
"""

from __future__ import annotations

import copy
import hashlib
import math
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pylibvw
import vowpalwabbit

from bandit import features
from bandit.errors import InvalidInputError, ModelRefusedError
from bandit.model_file import Head, fixed_options, read_head
from bandit.types import Action, Features, HalfLife, PolicySettings
from bandit.vw_arguments import NEUTRAL, arguments, check_raw

VERSION: str = vowpalwabbit.__version__
#: The binding below the package's own methods, which spend as long on wrapping each line as it does on work.
_native = pylibvw.vw

_SUM_TOLERANCE = 1e-3
#: Action lines that a parser keeps prepared: 60 MB.
_MOST_PREPARED = 2_000
#: What a workspace takes beside its weights, in bytes, most of it for the options that it knows.
_WORKSPACE_BYTES = 700 * 1024


def check(settings: PolicySettings) -> None:
    """Refuse settings that Vowpal Wabbit would not take, and raw options outside the allowlist.

    Raises:
        InvalidInputError: naming the option.

    >>> check(PolicySettings(vw_arguments=["--coin", "--ftrl"]))
    Traceback (most recent call last):
    bandit.errors.InvalidInputError: policy: expected settings that Vowpal Wabbit takes, got its refusal: ...
    """
    check_raw(settings)
    if isinstance(settings.forgetting, HalfLife) and not _reads_weights_alone(arguments(settings)):
        raise InvalidInputError(
            "policy.forgetting: expected a half-life only with adaptive learning rates and an exploration "
            "over expected rewards (epsilon_greedy, squarecb, softmax), got others; use a window.",
            target="policy.forgetting",
        )
    try:
        model = Model.untrained(settings)
        context, actions = {"x": 1}, [Action(action_id="a"), Action(action_id="b")]
        lines = features.encode(context, actions)
        for chosen, reward in ((0, 1.0), (1, 0.0), (0, 0.0)):
            model.learn(model.labelled(context, actions, chosen, reward, 0.5))
            model.expected_rewards(lines) if model.scores else model.predict(lines)
        model.close()
    except ModelRefusedError as error:
        raise InvalidInputError(
            f"policy: expected settings that Vowpal Wabbit takes, got its refusal: {error}", target="policy"
        ) from error


@lru_cache(maxsize=256)
def _expected_head(command: tuple[str, ...]) -> tuple[Head, int]:
    """The head that every model of this command line has, and how many bytes of state follow it."""
    model = Model(command)
    data = model.to_bytes()
    model.close()
    head = read_head(data)
    return head, len(data) - head.end


def weights_sha256(data: bytes, settings: PolicySettings) -> str:
    """A fingerprint of the weights alone: equal if and only if all weights are.

    The whole bytes also count predictions and examples, which differ between two models that are the same.

    Raises:
        ModelRefusedError: a weight is not finite.
    """
    _, state = _expected_head(tuple(arguments(settings)))
    weights = data[read_head(data).end + state :]
    # Indices and values, of four bytes each: an index, read as a float, is a tiny number.
    if len(weights) % 4 or not math.isfinite(sum(array("f", weights))):
        raise ModelRefusedError(
            "expected finite weights, got others: what was learned last ruined the model."
        )
    return hashlib.sha256(weights).hexdigest()


def _reads_weights_alone(command: Sequence[str]) -> bool:
    """Whether predictions need no more of a weight than its value: not what adapts its rate."""
    return "--cb_adf" in command and "--adaptive" in command


@lru_cache(maxsize=256)
def _read_only(command: tuple[str, ...]) -> tuple[bytes, Model]:
    """A model file of this command line without weights and what adapts them, and a model to parse for it."""
    fixed = [argument for argument in command if argument not in ("--adaptive", "--invariant")]
    model = Model([*fixed, "--sgd", "--predict_only_model"])
    return model.to_bytes(), model


def _check_head(data: bytes, settings: PolicySettings) -> None:
    expected, _ = _expected_head(tuple(arguments(settings)))
    found = read_head(data)
    if found.form != expected.form or fixed_options(found.options) != fixed_options(expected.options):
        raise ModelRefusedError(
            f"expected a model of Vowpal Wabbit {VERSION} with the options {' '.join(expected.options)}, got "
            f"{' '.join(found.options)[:500]} in form {found.form}. Nothing was loaded; rebuild from the log."
        )


def _verify(data: bytes, sha256: str, settings: PolicySettings) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ModelRefusedError(
            f"expected model bytes with sha256 {sha256}, got {found}; they were changed after they "
            "were written. Nothing was loaded; roll back to another version or rebuild from the log."
        )
    _check_head(data, settings)


@contextmanager
def _refusals() -> Iterator[None]:
    """A full disk, no memory, Vowpal Wabbit's own words: whatever it is, this model cannot be used."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        raise ModelRefusedError(
            f"expected a model to work with, got {type(error).__name__}: {error}"
        ) from error


class _Parser:
    """Makes examples of text. They take some 30 KB each, so models that only predict share one parser."""

    def __init__(self, workspace: Any) -> None:
        self._workspace = workspace
        #: By its line, what was parsed ahead and stays until nobody holds it.
        self.prepared: dict[str, Any] = {}
        self._held: Counter[str] = Counter()

    def parse(self, lines: Sequence[str]) -> list[Any]:
        """Examples that must be finished, or they leak."""
        examples: list[Any] = _native._parse(self._workspace, "\n".join(lines))
        return examples

    def finish(self, examples: Sequence[Any]) -> None:
        """Take back what `parse` gave."""
        _native._finish_example_multi_ex(self._workspace, examples)

    def hold(self, lines: Sequence[str]) -> None:
        """Keep these lines prepared, as far as there is room; they are parsed with each request otherwise."""
        self._held.update(lines)
        for line in lines:
            if line not in self.prepared and len(self.prepared) < _MOST_PREPARED:
                (self.prepared[line],) = self.parse([line])

    def release(self, lines: Sequence[str]) -> None:
        """Nobody needs these any more who held them once."""
        self._held.subtract(lines)
        unused = [line for line in lines if self._held[line] == 0]
        for line in unused:
            del self._held[line]
        examples = [self.prepared.pop(line) for line in unused if line in self.prepared]
        if examples:
            whole = [*self.parse(["shared |"]), *examples]
            _native.predict_multi(self._workspace, whole)  # Vowpal Wabbit finishes only what was predicted
            self.finish(whole)


class Model:
    """One workspace with its weights.

    >>> model = Model.untrained(PolicySettings())
    >>> model.expected_rewards(["shared |c x:1", "|a #id=a", "|a #id=b"])
    [0.5, 0.5]
    >>> model.close()
    """

    def __init__(self, command: Sequence[str]) -> None:
        with _refusals():
            # A ring of examples takes 8 MB; it grows by itself.
            self._workspace: Any = vowpalwabbit.Workspace(arg_list=[*command, "--quiet", "--ring_size=1"])
        self._parser = _Parser(self._workspace)
        self._owns_workspace = True
        # Cover's policies learn from the whole choice. The others regress on what was chosen alone; the other
        # lines would only divide each update by their number, at their cost.
        learners = self._workspace.get_enabled_learners()
        self._whole_choice = "cb_explore_adf_cover" in learners
        #: Whether it says what each action is expected to earn, rather than a distribution.
        self.scores = not any("explore" in name for name in learners)
        #: The lines that it keeps prepared.
        self._prepared: list[str] = []

    @classmethod
    def untrained(cls, settings: PolicySettings) -> Model:
        """A model that has learned nothing."""
        return cls(arguments(settings))

    @classmethod
    def from_bytes(cls, data: bytes, sha256: str, settings: PolicySettings) -> Model:
        """The model that `to_bytes` gave under these settings, weights and state exactly as they were.

        A model file carries command-line options that Vowpal Wabbit obeys. So the bytes are verified first,
        and then their options: they must be those that a new model of these settings has, and no others.

        Raises:
            ModelRefusedError: the bytes do not match the recorded hash, carry other options, or cannot be
                loaded.
        """
        _verify(data, sha256, settings)
        return cls._loaded(data)

    @classmethod
    def read_only(cls, data: bytes, sha256: str, settings: PolicySettings) -> Model:
        """The same model to predict only, bit for bit, in a fifth of the memory where that is possible.

        It is with a rule over expected rewards, under gradient descent: what adapts a weight's rate stays
        behind, and one parser serves all.

        Raises:
            ModelRefusedError: as for `from_bytes`.
        """
        _verify(data, sha256, settings)
        command = tuple(arguments(settings))
        if not _reads_weights_alone(command):
            return cls._loaded(data)
        begin, parser = _read_only(command)
        _, state = _expected_head(command)
        weights = array("I", data[read_head(data).end + state :])  # index, weight, and what adapts its rate
        kept = array("I", bytes(len(weights) // 3 * 8))
        kept[0::2], kept[1::2] = weights[0::3], weights[1::3]
        model = cls._loaded(begin + kept.tobytes(), "--sgd")
        model._parser = parser._parser
        return model

    @classmethod
    def read_only_untrained(cls, settings: PolicySettings) -> Model:
        """A model that has learned nothing and will not; where that is possible one does for all who ask."""
        command = tuple(arguments(settings))
        if not _reads_weights_alone(command):
            return cls(command)
        model = copy.copy(_read_only(command)[1])
        model._owns_workspace = False
        return model

    @property
    def size(self) -> int:
        """The memory that it takes, in bytes, once all its weights are used."""
        if not self._owns_workspace:
            return 0
        return int(self._workspace.num_weights() * self._workspace.get_stride() * 4 + _WORKSPACE_BYTES)

    @classmethod
    def _loaded(cls, data: bytes, *options: str) -> Model:
        with _refusals(), tempfile.TemporaryDirectory(prefix="segbandit-") as folder:
            path = Path(folder) / "model"
            path.write_bytes(data)
            return cls([f"--initial_regressor={path}", *options])

    def __reduce__(self) -> tuple[Any, ...]:
        """To be pickled, such as for another process that predicts."""
        return Model._loaded, (self.to_bytes(),)

    def to_bytes(self) -> bytes:
        """Weights and learner state, to be read by `from_bytes`."""
        with _refusals(), tempfile.TemporaryDirectory(prefix="segbandit-") as folder:
            path = Path(folder) / "model"
            self._workspace.save(path)
            return path.read_bytes()

    def faded(self, share: float, settings: PolicySettings) -> Model:
        """The same weights, of which what adapts the rate of each is shrunk to this share; `self` is freed.

        Only under settings that `check` lets have a half-life.
        """
        data = self.to_bytes()
        at = read_head(data).end + _expected_head(tuple(arguments(settings)))[1]
        values = array("I", data[at:])  # index, weight, and what adapts its rate
        squares = array("f", values[2::3].tobytes())
        values[2::3] = array("I", array("f", [share * each for each in squares]).tobytes())
        self.close()
        return Model._loaded(data[:at] + values.tobytes())

    def prepare(self, lines: Iterable[str]) -> None:
        """Parse these action lines once for all predictions to come: those of a catalogue come every time."""
        self._prepared = list(lines)
        self._parser.hold(self._prepared)

    def predict(self, lines: list[str]) -> list[float]:
        """The distribution over the action lines (all but the first), summing to 1.

        Raises:
            ModelRefusedError: what came is no distribution over these actions.
        """
        raw = self._ask(lines)
        total = math.fsum(raw)
        if (
            len(raw) != len(lines) - 1
            or not abs(total - 1.0) <= _SUM_TOLERANCE
            or not all(0.0 <= p <= 1.0 for p in raw)
        ):
            raise ModelRefusedError(
                f"expected {len(lines) - 1} probabilities that sum to 1, got {len(raw)} that sum to {total}."
            )
        return [p / total for p in raw]

    def expected_rewards(self, lines: list[str]) -> list[float]:
        """The scaled reward that each action line (all but the first) is expected to earn.

        Raises:
            ModelRefusedError: what came are not as many finite numbers.
        """
        raw = self._ask(lines)
        if len(raw) != len(lines) - 1 or not math.isfinite(math.fsum(raw)):
            raise ModelRefusedError(
                f"expected {len(lines) - 1} finite expected rewards, got {len(raw)}: {raw[:5]}."
            )
        return [NEUTRAL - cost for cost in raw]

    def labelled(
        self,
        context: Features,
        actions: Sequence[Action],
        chosen: int,
        scaled_reward: float,
        probability: float,
    ) -> list[str]:
        """What `learn` takes: the outcome `scaled_reward` in [0, 1] of the action at index `chosen`."""
        label = f"0:{NEUTRAL - scaled_reward!r}:{probability!r} "
        if not self._whole_choice:
            return [features.encode_context(context), label + features.encode_action(actions[chosen])]
        lines = features.encode(context, actions)
        lines[chosen + 1] = label + lines[chosen + 1]
        return lines

    def learn(self, labelled: list[str]) -> float | None:
        """Learn one outcome, as `labelled` gave it; the scaled reward that was expected just before.

        None: this model does not say what it expects.
        """
        scores = self._run(_native.learn_multi, labelled)
        return NEUTRAL - scores[0] if self.scores else None

    def expected(self, labelled: list[str]) -> float:
        """The scaled reward that is expected of the action that `labelled` is about; only if it `scores`."""
        return NEUTRAL - self._run(_native.predict_multi, labelled)[0]

    def _ask(self, lines: list[str]) -> list[float]:
        prepared = self._parser.prepared
        try:
            actions = [prepared[line] for line in lines[1:]]
        except KeyError:
            return self._run(_native.predict_multi, lines)
        return self._run(_native.predict_multi, lines[:1], actions)

    def _run(
        self, operation: Callable[[Any, Any], None], lines: list[str], prepared: Sequence[Any] = ()
    ) -> list[float]:
        examples = self._parser.parse(lines)
        try:
            operation(self._workspace, [*examples, *prepared])
            scores: list[float] = examples[0].get_action_scores()
            return scores
        finally:
            self._parser.finish(examples)

    def weights(self) -> dict[tuple[int, int], float]:
        """Every non-zero weight and optimizer value by (index, offset), to compare two models exactly.

        Takes about half a second for 2**18 weights.
        """
        workspace = self._workspace
        return {
            (index, offset): value
            for index in range(workspace.num_weights())
            for offset in range(workspace.get_stride())
            if (value := workspace.get_weight(index, offset)) != 0.0
        }

    def close(self) -> None:
        """Give the weights' memory back; the model cannot be used afterwards."""
        self._parser.release(self._prepared)
        if self._owns_workspace:
            self._workspace.finish()
        del self._workspace  # Vowpal Wabbit itself would go on answering
