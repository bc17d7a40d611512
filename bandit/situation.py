"""A context at a moment: whether a schedule and a condition hold for it."""

from __future__ import annotations

from datetime import datetime, tzinfo
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from bandit.base import Features
from bandit.rules import Conditions
from bandit.steering import Schedule, TimeZone


class Situation:
    """Asked by every constraint and boost of one decision; what they share is worked out once.

    >>> from datetime import UTC
    >>> evening = Schedule(hours=(18.0, 24.0))
    >>> half_past_four = datetime(2026, 7, 1, 16, 30, tzinfo=UTC)
    >>> berlin = Situation(TimeZone(), {"time_zone": "Europe/Berlin"}, half_past_four)
    >>> berlin.fits(evening, None), berlin.fits(evening, "context.age >= 18")
    (True, False)
    """

    def __init__(self, time_zone: TimeZone, context: Features, at: datetime) -> None:
        self._time_zone = time_zone
        self._context = context
        self._at = at
        self._conditions = Conditions(context)
        self._local: datetime | None = None

    def fits(self, schedule: Schedule | None, rule: str | None) -> bool:
        """Whether it is time, and the condition holds; None: always."""
        return (schedule is None or self._in_time(schedule)) and self._conditions.hold(rule)

    def _in_time(self, schedule: Schedule) -> bool:
        if schedule.from_ is not None and self._at < schedule.from_:
            return False
        if schedule.until is not None and self._at >= schedule.until:
            return False
        if schedule.hours is None and not schedule.weekdays:
            return True
        if self._local is None:
            self._local = self._at.astimezone(_of_subject(self._time_zone, self._context))
        if schedule.weekdays and self._local.isoweekday() not in schedule.weekdays:
            return False
        return schedule.hours is None or _within(schedule.hours, self._local)


def _within(hours: tuple[float, float], local: datetime) -> bool:
    begin, end = hours
    now = local.hour + local.minute / 60 + (local.second + local.microsecond / 1e6) / 3_600
    return begin <= now < end if begin < end else now >= begin or now < end


def _of_subject(time_zone: TimeZone, context: Features) -> tzinfo:
    value: object = context
    for name in time_zone.field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    named = zone(value) if isinstance(value, str) else None
    found = named or zone(time_zone.default)
    if found is None:
        raise LookupError(f"expected a time zone, got {time_zone.default!r}; catalogue.checked refuses it.")
    return found


@lru_cache(maxsize=1_024)
def zone(name: str) -> tzinfo | None:
    """The time zone of this IANA name; None: there is none.

    It is read from the package that the lock file pins, not from the machine's own tables: these may change
    at any time, and an audit must find the hours that the decision was made by.

    >>> zone("Europe/Berlin"), zone("Europe/Atlantis"), zone("../etc/passwd")
    (zoneinfo.ZoneInfo(key='Europe/Berlin'), None, None)
    """
    if name not in _names():
        return None
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as table:
        return ZoneInfo.from_file(table, key=name)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(resources.files("tzdata").joinpath("zones").read_text().split())
