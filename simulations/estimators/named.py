"""Estimators by name, as a command line has them: `dr`, `clipped_ips:limit=5`."""

from __future__ import annotations

from collections.abc import Callable

from bandit.errors import InvalidInputError
from simulations.estimators.balanced_ips import BalancedIPS
from simulations.estimators.clipped_dr import ClippedDR
from simulations.estimators.clipped_ips import ClippedIPS
from simulations.estimators.contract import Estimator
from simulations.estimators.dm import DM
from simulations.estimators.dr import DR
from simulations.estimators.dros import DRos
from simulations.estimators.ips import IPS
from simulations.estimators.mips import MIPS
from simulations.estimators.mrdr import MRDR
from simulations.estimators.replay import Replay
from simulations.estimators.sg_dr import SubGaussianDR
from simulations.estimators.sg_ips import SubGaussianIPS
from simulations.estimators.sndr import SNDR
from simulations.estimators.snips import SNIPS
from simulations.estimators.switch_dr import SwitchDR

ESTIMATORS: dict[str, Callable[..., Estimator]] = {
    "ips": IPS,
    "clipped_ips": ClippedIPS,
    "snips": SNIPS,
    "dm": DM,
    "dr": DR,
    "clipped_dr": ClippedDR,
    "sndr": SNDR,
    "switch_dr": SwitchDR,
    "dros": DRos,
    "sg_ips": SubGaussianIPS,
    "sg_dr": SubGaussianDR,
    "mrdr": MRDR,
    "mips": MIPS,
    "balanced_ips": BalancedIPS,
    "replay": Replay,
}


#: Those that need no reward model's predictions.
WITHOUT_MODEL = ("ips", "clipped_ips", "snips", "sg_ips", "mips", "balanced_ips", "replay")
#: Those that may decide a verdict: unbiased, or self-normalized, whose bias vanishes as a log grows. That of
#: the others does not, and their intervals do not hold it.
DECISIVE = ("dr", "ips", "snips", "sndr", "mrdr", "balanced_ips", "replay")


def estimator(text: str) -> Estimator:
    """The estimator of a name, with settings if there are any: `name:setting=number,setting=number`.

    Raises:
        InvalidInputError: there is no such estimator or setting.

    >>> estimator("clipped_ips:limit=5").name
    'clipped_ips(limit=5)'
    """
    name, _, rest = text.partition(":")
    if name not in ESTIMATORS:
        raise InvalidInputError(
            f"estimator: expected one of {', '.join(ESTIMATORS)}, got {name!r}.", target="estimator"
        )
    try:
        settings = dict(_setting(part) for part in rest.split(",")) if rest else {}
        return ESTIMATORS[name](**settings)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"estimator {name}: expected settings it has, as setting=number, got {rest!r}: {error}.",
            target="estimator",
        ) from None


def _setting(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    return name.strip(), float(number)
