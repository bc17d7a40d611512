"""What owners hold in their hands, as values: constraints, boosts, novelty, newcomers, alerts.

All of it reshapes the distribution before the draw, so the logged probability stays the one drawn from.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from bandit.base import Identifier, Time, Unit, Value

#: A condition in the Common Expression Language over `context`; see `bandit.rules`.
Rule = Annotated[str, Meta(min_length=1, max_length=1_000)]
ExplorationFloor = Annotated[float, Meta(ge=1e-4, le=1.0)]
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


Constraints = Annotated[list[Constraint], Meta(max_length=200)]
Boosts = Annotated[list[Boost], Meta(max_length=100)]


class Novelty(Value, frozen=True, kw_only=True):
    """The share of what a subject was not shown within so many seconds, whenever there is some."""

    share: Unit
    seconds: Seconds = 7 * 86_400.0
    #: What is new to a subject: an action, or a segment of which it was shown no action.
    by: Literal["action", "segment"] = "action"


class Newcomers(Value, frozen=True, kw_only=True):
    """The share that actions added later have together for their first seconds, so they are tried at once."""

    share: Unit = 0.05
    seconds: Seconds = 86_400.0


class AlertBounds(Value, frozen=True, kw_only=True):
    """When to raise an alert, by means over `decisions` that were settled; see `bandit.collapse`."""

    #: The share of an enabled action, while it is offered, falls below this part of an equal share: with five
    #: of them 0.05 is 1 %. Null: no alert.
    action_share: Unit | None = None
    segment_share: Unit | None = 0.05
    #: The entropy of the actions' shares falls below this part of that of equal shares.
    entropy: Unit | None = 0.02
    decisions: Annotated[int, Meta(ge=100, le=100_000)] = 1_000


AlertKind = Literal["action_share", "segment_share", "entropy", "drift"]


class Finding(Value, frozen=True, kw_only=True):
    """What was measured of something that is watched."""

    kind: AlertKind
    #: The action or the segment; empty: the bandit as a whole.
    target: str = ""
    value: float
    #: What the value is held against.
    bound: float
    #: True: an alert is due. False: all is well. None: in between, where an alert stays as it is.
    alarming: bool | None


class Alert(Value, frozen=True, kw_only=True):
    """Something that the owner should look at."""

    #: Grows with time.
    alert: int
    bandit_key: str
    kind: AlertKind
    target: str
    #: The last one measured while it was open.
    value: float
    bound: float
    #: The place in the training log up to which `value` was measured.
    seq: int
    raised_at: Time
    #: None: it is open.
    cleared_at: Time | None


class Exposure(NamedTuple):
    """Something that a subject was shown."""

    action_id: str
    #: Which the action had then.
    segment: str | None
    at: datetime


class Seen(Value, frozen=True, kw_only=True):
    """What a decision took into account of what its subject was shown before."""

    #: By `window` of the seconds that the configuration names: how often each of them was shown.
    actions: dict[str, dict[str, Times]] = {}
    segments: dict[str, dict[str, Times]] = {}
    #: The last action shown and its segment, and how often running.
    action: tuple[str, Times] | None = None
    segment: tuple[str, Times] | None = None


def window(seconds: float) -> str:
    """By what `Seen` names a window of so many seconds; the same number always gives the same text.

    >>> window(86_400), window(0.1)
    ('86400', '0.10000000000000001')
    """
    return f"{seconds:.17g}"
