"""Policy settings -> Vowpal Wabbit's command line, and which raw options they may carry."""

from __future__ import annotations

import re

from bandit import features
from bandit.errors import InvalidInputError
from bandit.types import Bag, Cover, PolicySettings, RegCB

#: Raw options that a policy may carry, with the form of their value. None may name a file or a socket, and
#: each must resume exactly. So these are out: --l1 and --l2 (saving rounds what they have put off),
#: --initial_t (every weight is saved), --normalized (asking for predictions moves it), --ftrl_alpha and
#: --ftrl_beta (model files do not keep them).
ALLOWED_ARGUMENTS = {
    "bit_precision": r"(1[0-9]|2[0-4])",
    "coin": None,
    "ftrl": None,
    "noconstant": None,
    "power_t": r"[0-9.]+",
    "random_seed": r"[0-9]{1,9}",
}
#: The scaled reward that is expected where nothing is known: costs are counted from it.
NEUTRAL = 0.5


def check_raw(settings: PolicySettings) -> None:
    """Refuse raw options outside the allowlist.

    Raises:
        InvalidInputError: naming the option.

    >>> check_raw(PolicySettings(vw_arguments=["--power_t=0.4"]))
    >>> check_raw(PolicySettings(vw_arguments=["--final_regressor=/tmp/x"]))
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


def arguments(settings: PolicySettings) -> list[str]:
    """The command line that `settings` stand for.

    >>> " ".join(arguments(PolicySettings()))[:35]
    '--cb_adf --rank_all --cb_type=mtr -'
    """
    given = {argument.partition("=")[0] for argument in settings.vw_arguments}
    update = [] if given & {"--coin", "--ftrl"} else ["--adaptive", "--invariant"]
    return [
        *_exploration(settings),
        "--cb_type=mtr",
        "--hash=all",
        f"--learning_rate={settings.learning_rate!r}",
        *update,
        *_interactions(settings),
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
    """Where the exploration is a rule over expected rewards, these are all that it is asked for."""
    match settings.exploration:
        case RegCB(mellowness=mellowness):
            return [
                "--cb_explore_adf", "--regcb", f"--mellowness={mellowness!r}",
                f"--cb_min_cost={NEUTRAL - 1.0}", f"--cb_max_cost={NEUTRAL}",
            ]  # fmt: skip
        case Bag(size=size, epsilon=epsilon):
            return ["--cb_explore_adf", f"--bag={size}", f"--epsilon={epsilon!r}"]
        case Cover(size=size, psi=psi, epsilon=epsilon):
            return ["--cb_explore_adf", f"--cover={size}", f"--psi={psi!r}", f"--epsilon={epsilon!r}"]
        case _:
            return ["--cb_adf", "--rank_all"]
