"""What the processes measure of themselves, in the text format of Prometheus; its library is known here only.

The processes of one `serve` keep what they count in files of one folder, so that each of them can answer for
all; an app that runs alone keeps it in memory. The library chooses between the two when it is imported, by
the variable PROMETHEUS_MULTIPROC_DIR. So it is imported when something is first measured: by then `serve` has
set the variable.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from functools import cache, wraps
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ParamSpec, get_args

import structlog

from bandit.steering import AlertKind

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

#: What `exposition` gives.
CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
_MODES = ("online", "apprentice", "logging_only", "paused", "fallback")
_ALERTS = get_args(AlertKind)
_STATUSES = ("accepted", "duplicate", "orphan")
_COMMIT_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)
_FRESHNESS_SECONDS = (
    0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1, 1.5, 2, 5, 30, 300,
)  # fmt: skip
_log = structlog.get_logger()
#: What could not be measured, which is said once.
_failed: set[str] = set()
P = ParamSpec("P")
_LIVE_FILE = re.compile(r"gauge_live[a-z]+_(\d+)\.db")


def _harmless(measure: Callable[P, None]) -> Callable[P, None]:
    """What is measured has happened: that it cannot be measured must not undo or repeat it."""

    @wraps(measure)
    def measured(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            measure(*args, **kwargs)
        except Exception as error:
            if measure.__name__ not in _failed:
                _failed.add(measure.__name__)
                _log.error("not measured from now on", what=measure.__name__, error=str(error))

    return measured


@_harmless
def committed(modes: Iterable[str], seconds: float) -> None:
    """Decisions of these modes were committed together, in so many seconds."""
    api = _api()
    for mode, count in Tally(modes).items():
        api.decisions[mode].inc(count)
    api.commit_seconds.observe(seconds)


@_harmless
def rewarded(statuses: Iterable[str]) -> None:
    """Reward events were answered with these statuses."""
    for status, count in Tally(statuses).items():
        _api().reward_events.labels(status).inc(count)


@_harmless
def swapped(seconds: float | None) -> None:
    """Another model version is served now; it learned something that was ready to be learned `seconds` ago.

    None: it learned nothing first, or somebody chose it.
    """
    api = _api()
    api.swaps.inc()
    api.last_swap.set(time.time())
    if seconds is not None:
        api.freshness.observe(max(0.0, seconds))


@_harmless
def loaded(bandits: int, size: int) -> None:
    """This process holds so many bandits now, whose models take so many bytes."""
    _api().loaded.set(bandits)
    _api().memory.set(size)


@_harmless
def unloaded(bandits: int, why: str) -> None:
    """So many bandits were unloaded, because they were `idle` or over the `limit`."""
    _api().unloaded.labels(why).inc(bandits)


@_harmless
def refresh_failed() -> None:
    """A look for newer models, or the load of one, failed."""
    _api().refresh_failures.inc()


@_harmless
def settled(decisions: int) -> None:
    """So many decisions more are settled."""
    _learner().settled.inc(decisions)


@_harmless
def drifted(alarms: int) -> None:
    """Live branches gave so many alarms more that the world has moved."""
    _learner().drifts.inc(alarms)


@_harmless
def lagging(seconds: float) -> None:
    """The oldest decision that can be settled waits for so many seconds; 0: there is none."""
    _learner().lag.set(seconds)


@_harmless
def alerting(alerts: Mapping[str, int]) -> None:
    """So many alerts of each kind are open."""
    for kind in _ALERTS:
        _learner().alerts.labels(kind).set(alerts.get(kind, 0))


def exposition(folder: Path | None) -> bytes:
    """All that the processes that share `folder` measured, else this one, as Prometheus reads it."""
    library = _library()
    if folder is None:
        return bytes(library.generate_latest(_registry()))
    from prometheus_client.multiprocess import MultiProcessCollector

    folder.mkdir(parents=True, exist_ok=True)  # who tidies up temporary files may have taken it
    for path in folder.iterdir():
        found = _LIVE_FILE.fullmatch(path.name)
        if found and not _lives(int(found[1])):
            path.unlink(missing_ok=True)
    registry = library.CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]  # only its rest is typed
    return bytes(library.generate_latest(registry))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def share(folder: Path | None) -> None:
    """Measure together with the processes that share this folder, from when something is first measured."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)


@cache
def _library() -> ModuleType:
    import prometheus_client

    return prometheus_client


@cache
def _registry() -> CollectorRegistry:
    registry: CollectorRegistry = _library().CollectorRegistry()
    return registry


class _Api:
    """What an API process measures."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        registry = _registry()
        decisions = Counter(
            "segbandit_decisions", "Decisions that were committed.", ["mode"], registry=registry
        )
        self.decisions = {mode: decisions.labels(mode) for mode in _MODES}
        self.commit_seconds = Histogram(
            "segbandit_commit_seconds",
            "How long the transaction that records decisions took.",
            buckets=_COMMIT_SECONDS, registry=registry,
        )  # fmt: skip
        self.reward_events = Counter(
            "segbandit_reward_events", "Reward events that were answered.", ["status"], registry=registry
        )
        self.freshness = Histogram(
            "segbandit_model_freshness_seconds",
            "For each swap to a newer model version, the worst case: how long ago the oldest reward that it "
            "brings could first have been settled, because a terminal event was committed or its "
            "window ended. Compares the clock of this machine with that of the database, or of the machine "
            "that decided. Not measured where somebody pinned a version.",
            buckets=_FRESHNESS_SECONDS, registry=registry,
        )  # fmt: skip
        self.swaps = Counter(
            "segbandit_model_swaps", "Swaps of a loaded bandit to another model version.", registry=registry
        )
        self.last_swap = Gauge(
            "segbandit_last_model_swap_timestamp_seconds",
            "When each API process last swapped to another model version; 0: not yet.",
            multiprocess_mode="liveall", registry=registry,
        )  # fmt: skip
        self.loaded = Gauge(
            "segbandit_loaded_bandits",
            "Bandits that each API process holds in memory.",
            multiprocess_mode="liveall", registry=registry,
        )  # fmt: skip
        self.memory = Gauge(
            "segbandit_model_memory_bytes",
            "Memory that the models of each API process take, once all their weights are used.",
            multiprocess_mode="liveall", registry=registry,
        )  # fmt: skip
        self.unloaded = Counter(
            "segbandit_unloaded_bandits",
            "Bandits unloaded: idle for a time, or longest unused when the limit was reached. Where that "
            "goes on and on, raise SEGBANDIT_MODEL_MEMORY.",
            ["why"], registry=registry,
        )  # fmt: skip
        self.refresh_failures = Counter(
            "segbandit_refresh_failures",
            "Looks for newer models, and loads of one, that failed; what was loaded goes on being served.",
            registry=registry,
        )
        for status in _STATUSES:  # a series that is not there cannot be seen to rise
            self.reward_events.labels(status)
        for why in ("idle", "limit"):
            self.unloaded.labels(why)


class _Learner:
    """What a learner measures."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge

        registry = _registry()
        self.settled = Counter(
            "segbandit_settled_decisions",
            "Decisions that were settled, and learned by the live branch.",
            registry=registry,
        )
        self.drifts = Counter(
            "segbandit_drift_alarms",
            "Falls of rewards that live branches did not expect; the log and the model version say whose.",
            registry=registry,
        )
        self.lag = Gauge(
            "segbandit_learner_lag_seconds",
            "Age of the oldest decision, of any bandit, that can be settled and is not: since its window "
            "ended, or since a terminal event of the last minute; 0: there is none.",
            multiprocess_mode="livemax", registry=registry,
        )  # fmt: skip
        self.alerts = Gauge(
            "segbandit_open_alerts",
            "Alerts that are open, of all bandits in service; GET /v1/bandits/{key}/alerts says what to do.",
            ["kind"], multiprocess_mode="livemax", registry=registry,
        )  # fmt: skip
        for kind in _ALERTS:  # a series that is not there cannot be seen to rise
            self.alerts.labels(kind)


_api, _learner = cache(_Api), cache(_Learner)
