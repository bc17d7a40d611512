"""The whole border with Vowpal Wabbit: the only importer, the only home of costs, bytes in and out.

A workspace is not thread-safe: one thread owns a model.
"""

from __future__ import annotations

import hashlib
import math
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import vowpalwabbit

from bandit import features
from bandit.errors import InvalidInputError, ModelRefusedError
from bandit.types import Bag, Cover, EpsilonGreedy, PolicySettings, RegCB, Softmax, SquareCB

VERSION: str = vowpalwabbit.__version__

#: Raw options that a policy may carry, with the form of their value. None may name a file or a socket, and
#: each must resume exactly: --l1 and --l2 are out, because saving rounds what they have put off.
ALLOWED_ARGUMENTS = {
    "bit_precision": r"(1[0-9]|2[0-4])",
    "coin": None,
    "ftrl": None,
    "ftrl_alpha": r"[0-9.e-]+",
    "ftrl_beta": r"[0-9.e-]+",
    "noconstant": None,
    "normalized": None,
    "power_t": r"[0-9.]+",
    "initial_t": r"[0-9.]+",
    "random_seed": r"[0-9]{1,9}",
}
_SUM_TOLERANCE = 1e-3
#: The scaled reward that is expected where nothing is known: costs are counted from it.
_NEUTRAL = 0.5


def check(settings: PolicySettings) -> None:
    """Refuse settings that Vowpal Wabbit would not take, and raw options outside the allowlist.

    Raises:
        InvalidInputError: naming the option.

    >>> check(PolicySettings(vw_arguments=["--power_t=0.4"]))
    >>> check(PolicySettings(vw_arguments=["--final_regressor=/tmp/x"]))
    Traceback (most recent call last):
    bandit.errors.InvalidInputError: policy.vw_arguments[0]: expected one of ...
    """
    for index, argument in enumerate(settings.vw_arguments):
        name, equals, value = argument.removeprefix("--").partition("=")
        form = ALLOWED_ARGUMENTS.get(name, "")
        fits = not equals if form is None else bool(form and re.fullmatch(form, value))
        if not (argument.startswith("--") and fits):
            raise InvalidInputError(
                f"policy.vw_arguments[{index}]: expected one of "
                + ", ".join(f"--{n}" + ("" if f is None else f"={f}") for n, f in ALLOWED_ARGUMENTS.items())
                + f", got {argument!r}.",
                target=f"policy.vw_arguments[{index}]",
            )
    try:
        model = Model.untrained(settings)
        lines = ["shared |c x:1", "|a #id=a", "|a #id=b"]
        for chosen, reward in ((0, 1.0), (1, 0.0), (0, 0.0)):
            model.learn(model.labelled(lines, chosen, reward, 0.5))
            model.predict(lines)
        model.close()
    except ModelRefusedError as error:
        raise InvalidInputError(
            f"policy: expected settings that Vowpal Wabbit takes, got its refusal: {error}", target="policy"
        ) from error


def arguments(settings: PolicySettings) -> list[str]:
    """The command line that `settings` stand for.

    >>> " ".join(arguments(PolicySettings(exploration=EpsilonGreedy())))[:33]
    '--cb_explore_adf --cb_type=mtr --'
    """
    given = {argument.partition("=")[0] for argument in settings.vw_arguments}
    update = [] if given & {"--coin", "--ftrl", "--normalized"} else ["--adaptive", "--invariant"]
    return [
        "--cb_explore_adf",
        "--cb_type=mtr",
        "--hash=all",
        f"--learning_rate={settings.learning_rate!r}",
        *update,
        *_interactions(settings),
        *_exploration(settings),
        *settings.vw_arguments,
    ]


def _interactions(settings: PolicySettings) -> list[str]:
    """Contexts of very many features (see `features.MAX_CROSSED`) are only multiplied by actions."""
    letters = {"context": features.CONTEXT, "action": features.ACTION}
    found = []
    for sides in settings.interactions:
        word = "".join(letters[side] for side in sides)
        found.append(word)
        if sides.count("context") == 1:
            found.append(word.replace(features.CONTEXT, features.WIDE_CONTEXT))
    return [f"--interactions={word}" for word in found]


def _exploration(settings: PolicySettings) -> list[str]:
    match settings.exploration:
        case EpsilonGreedy(epsilon=epsilon):
            return [f"--epsilon={epsilon!r}"]
        case SquareCB(gamma_scale=scale, gamma_exponent=exponent):
            return ["--squarecb", f"--gamma_scale={scale!r}", f"--gamma_exponent={exponent!r}"]
        case RegCB(mellowness=mellowness):
            return [
                "--regcb", f"--mellowness={mellowness!r}",
                f"--cb_min_cost={_NEUTRAL - 1.0}", f"--cb_max_cost={_NEUTRAL}",
            ]  # fmt: skip
        case Bag(size=size, epsilon=epsilon):
            return [f"--bag={size}", f"--epsilon={epsilon!r}"]
        case Cover(size=size, psi=psi, epsilon=epsilon):
            return [f"--cover={size}", f"--psi={psi!r}", f"--epsilon={epsilon!r}"]
        case Softmax(lambda_=lambda_, epsilon=epsilon):
            return ["--softmax", f"--lambda={lambda_!r}", f"--epsilon={epsilon!r}"]


@contextmanager
def _refusals() -> Iterator[None]:
    """A full disk, no memory, Vowpal Wabbit's own words: whatever it is, this model cannot be used."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        raise ModelRefusedError(
            f"expected a model to work with, got {type(error).__name__}: {error}"
        ) from error


class Model:
    """One workspace with its weights.

    >>> model = Model.untrained(PolicySettings())
    >>> model.predict(["shared |c x:1", "|a #id=a", "|a #id=b"])
    [0.5, 0.5]
    >>> model.close()
    """

    def __init__(self, command: Sequence[str]) -> None:
        with _refusals():
            self._workspace = vowpalwabbit.Workspace(arg_list=[*command, "--quiet"])
        # Cover's policies learn from the whole choice. The others regress on what was chosen alone; the other
        # lines would only divide each update by their number, at their cost.
        self._whole_choice = "cb_explore_adf_cover" in self._workspace.get_enabled_learners()

    @classmethod
    def untrained(cls, settings: PolicySettings) -> Model:
        """A model that has learned nothing."""
        return cls(arguments(settings))

    @classmethod
    def from_bytes(cls, data: bytes, sha256: str) -> Model:
        """The model that `to_bytes` gave, weights and state exactly as they were.

        A model file carries command-line options that Vowpal Wabbit obeys, so bytes are verified first.

        Raises:
            ModelRefusedError: the bytes do not match the recorded hash, or cannot be loaded.
        """
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise ModelRefusedError(
                f"expected model bytes with sha256 {sha256}, got {found}; they were changed after they "
                "were written. Nothing was loaded; roll back to another version or rebuild from the log."
            )
        with _refusals(), tempfile.TemporaryDirectory(prefix="segbandit-") as folder:
            path = Path(folder) / "model"
            path.write_bytes(data)
            return cls([f"--initial_regressor={path}"])

    def to_bytes(self) -> bytes:
        """Weights and learner state, to be read by `from_bytes`."""
        with _refusals(), tempfile.TemporaryDirectory(prefix="segbandit-") as folder:
            path = Path(folder) / "model"
            self._workspace.save(path)
            return path.read_bytes()

    def predict(self, lines: list[str]) -> list[float]:
        """The distribution over the action lines (all but the first), summing to 1.

        Raises:
            ModelRefusedError: what came is no distribution over these actions.
        """
        raw = self._workspace.predict(lines)
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

    def labelled(self, lines: list[str], chosen: int, scaled_reward: float, probability: float) -> list[str]:
        """What `learn` takes: the outcome `scaled_reward` in [0, 1] of the action at index `chosen`."""
        label = f"0:{_NEUTRAL - scaled_reward!r}:{probability!r} {lines[chosen + 1]}"
        if self._whole_choice:
            return [*lines[: chosen + 1], label, *lines[chosen + 2 :]]
        return [lines[0], label]

    def learn(self, labelled: list[str]) -> None:
        """Learn one outcome, as `labelled` gave it."""
        self._workspace.learn(labelled)

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
        self._workspace.finish()
