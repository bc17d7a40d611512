"""Offline work: data sets, worlds with known probabilities, replay, estimates and their intervals.

>>> from simulations import evaluate
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulations.evaluation.evaluate import evaluate as evaluate
    from simulations.logs.named import log_at as log_at
    from simulations.simulation.simulate import simulate as simulate
    from simulations.sweeping.sweep import sweep as sweep

#: Where each name is; imported when it is first used, since most commands need few of their libraries.
_HOMES = {
    "evaluate": "simulations.evaluation.evaluate",
    "log_at": "simulations.logs.named",
    "simulate": "simulations.simulation.simulate",
    "sweep": "simulations.sweeping.sweep",
}
__all__ = ["evaluate", "log_at", "simulate", "sweep"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'simulations' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
