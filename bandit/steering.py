"""What owners hold in their hands, as values: constraints, boosts, novelty, newcomers, alerts.

All of it reshapes the distribution before the draw, so the logged probability stays the one drawn from.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from bandit.base import Identifier, Time, Unit, Value

#: A condition in the Common Expression Language over `context`; see `bandit.rules`.
Rule = Annotated[str, Meta(min_length=1, max_length=1_000)]
#: Within the last 30 days.
Seconds = Annotated[float, Meta(gt=0.0, le=30 * 86_400.0)]
Times = Annotated[int, Meta(ge=1, le=1_000)]
Names = Annotated[list[Identifier], Meta(max_length=1_000)]
Hour = Annotated[float, Meta(ge=0.0, le=24.0)]
Weekday = Annotated[int, Meta(ge=1, le=7)]
#: What all boosts of an action together multiply its probability by, before it is made to sum to 1 again.
LEAST_BOOST, MOST_BOOST = 0.1, 10.0


class TimeZone(Value, frozen=True, kw_only=True):
    """Where a subject's time zone stands, as an IANA name such as `Europe/Berlin`."""

    #: The context's field, dots between levels.
    field: Identifier = "time_zone"
    #: Where the context names none, or none that exists.
    default: Identifier = "UTC"


class Schedule(Value, frozen=True, kw_only=True):
    """When something holds: all that is given must. Days and hours are those of the subject's clock."""

    from_: Time | None = msgspec.field(default=None, name="from")
    #: Not at this moment any more.
    until: Time | None = None
    #: From one hour of the day until another, not at that one any more; [22, 6] goes past midnight.
    hours: tuple[Hour, Hour] | None = None
    #: 1 is Monday; after midnight it is the next day. Empty: all.
    weekdays: Annotated[list[Weekday], Meta(max_length=7)] = []


class Cap(Value, frozen=True, kw_only=True):
    """How often a subject is shown something, at most."""

    times: Times
    seconds: Seconds


class Constraint(Value, frozen=True, kw_only=True):
    """What holds for these actions, and for these segments as a whole; all clauses given hold together.

    Names neither: for every action by itself.
    """

    name: Identifier
    actions: Names = []
    segments: Names = []
    #: Share of each action named, and of each segment named, whenever it is offered.
    floor: Unit | None = None
    ceiling: Unit | None = None
    #: Offered only then.
    schedule: Schedule | None = None
    #: Offered only to contexts for which this holds.
    eligible_if: Rule | None = None
    #: How often a subject is shown each action named, and each segment named.
    cap: Cap | None = None
    #: How often running a subject is shown each action named, and each segment named.
    in_a_row: Times | None = None


class Boost(Value, frozen=True, kw_only=True):
    """Multiplies the probability of these actions, and of those of these segments. Names neither: of all."""

    name: Identifier
    actions: Names = []
    segments: Names = []
    multiplier: Annotated[float, Meta(ge=LEAST_BOOST, le=MOST_BOOST)]
    #: Only for contexts for which this holds.
    if_: Rule | None = msgspec.field(default=None, name="if")
    schedule: Schedule | None = None


class Novelty(Value, frozen=True, kw_only=True):
    """The share of what a subject was not shown within so many seconds, whenever there is some."""

    share: Unit
    seconds: Seconds = 7 * 86_400.0


class Newcomers(Value, frozen=True, kw_only=True):
    """The share that actions added later have together for their first seconds, so they are tried at once."""

    share: Unit = 0.05
    seconds: Seconds = 86_400.0


class AlertBounds(Value, frozen=True, kw_only=True):
    """When to raise an alert, by the mean distribution of the last `decisions` that were settled."""

    #: An enabled action's share falls below it. Null: no alert.
    action_share: Unit | None = None
    segment_share: Unit | None = 0.005
    #: The entropy of the actions' shares over that of equal shares, in [0, 1], falls below it.
    entropy: Unit | None = 0.02
    decisions: Annotated[int, Meta(ge=100, le=100_000)] = 1_000


class Seen(Value, frozen=True, kw_only=True):
    """What a decision took into account of what its subject was shown before."""

    #: By seconds of a window that the configuration names: how often each of them was shown.
    actions: dict[str, dict[str, int]] = {}
    segments: dict[str, dict[str, int]] = {}
    #: The last action shown and its segment, and how often running.
    action: tuple[str, int] | None = None
    segment: tuple[str, int] | None = None


def window(seconds: float) -> str:
    """By what `Seen` names a window of so many seconds; the same number always gives the same text.

    >>> window(86_400), window(0.1)
    ('86400', '0.10000000000000001')
    """
    return f"{seconds:.17g}"
