"""What may be offered, by schedules, conditions and what a subject was shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.catalogue import checked
from bandit.constraints import eligible
from bandit.errors import InvalidInputError
from bandit.situation import Situation, zone
from bandit.steering import Cap, Constraint, Schedule, Seen, TimeZone, window
from bandit.types import Action, BanditConfig, DecisionInput, Features

ACTIONS = [
    Action(action_id="base"),
    Action(action_id="beer", segment="drinks"),
    Action(action_id="wine", segment="drinks"),
    Action(action_id="bread", segment="food"),
]
NOON = "2026-07-01T12:00:00Z"  # a Wednesday
ADULTS = Constraint(name="adults", segments=["drinks"], eligible_if="context.age >= 18")


def offered(
    *constraints: Constraint,
    context: Features | None = None,
    at: str = NOON,
    seen: Seen | None = None,
    actions: list[Action] | None = None,
    excluded: list[str] | None = None,
    **fields: Any,
) -> list[str]:
    config = checked(BanditConfig(actions=ACTIONS, constraints=list(constraints), **fields))
    asked = DecisionInput(context=context or {}, actions=actions, excluded_actions=excluded or [])
    everything = actions or config.actions
    found = eligible(config, everything, asked, datetime.fromisoformat(at), seen)
    return [everything[i].action_id for i in found]


def test_what_is_not_constrained_is_offered() -> None:
    assert offered() == ["base", "beer", "wine", "bread"]


def test_conditions_bar_what_they_name() -> None:
    assert offered(ADULTS, context={"age": 18}) == ["base", "beer", "wine", "bread"]
    assert offered(ADULTS, context={"age": 17}) == ["base", "bread"]
    assert offered(ADULTS) == ["base", "bread"], "who does not say how old"


def test_conditions_of_a_segment_hold_for_its_catalogue_whatever_label_a_request_brings() -> None:
    brought = [Action(action_id="base"), Action(action_id="beer"), Action(action_id="wine", segment="food")]
    assert offered(ADULTS, actions=brought, context={"age": 17}) == ["base"]
    assert offered(ADULTS, actions=brought, context={"age": 18}) == ["base", "beer", "wine"]


def test_all_clauses_must_hold() -> None:
    evening = Constraint(
        name="e", actions=["beer"], eligible_if="context.age >= 18", schedule=Schedule(hours=(18, 24))
    )
    assert "beer" not in offered(evening, context={"age": 18})
    assert "beer" not in offered(evening, context={"age": 17}, at="2026-07-01T19:00:00Z")
    assert "beer" in offered(evening, context={"age": 18}, at="2026-07-01T19:00:00Z")


@pytest.mark.parametrize(
    ("schedule", "at", "zone_name", "expected"),
    [
        ({"hours": [9, 17.5]}, "2026-07-01T09:00:00Z", None, True),
        ({"hours": [9, 17.5]}, "2026-07-01T17:29:59.999Z", None, True),
        ({"hours": [9, 17.5]}, "2026-07-01T17:30:00Z", None, False),
        ({"hours": [9, 17.5]}, "2026-07-01T08:00:00Z", "Europe/Berlin", True),
        ({"hours": [9, 17.5]}, "2026-07-01T08:00:00Z", "Europe/Atlantis", False),
        ({"hours": [9, 17.5]}, "2026-07-01T08:00:00Z", "../../etc/localtime", False),
        ({"hours": [22, 6]}, "2026-07-01T23:00:00Z", None, True),
        ({"hours": [22, 6]}, "2026-07-01T05:59:00Z", None, True),
        ({"hours": [22, 6]}, "2026-07-01T06:00:00Z", None, False),
        ({"hours": [22, 6]}, "2026-07-01T21:59:00Z", None, False),
        ({"hours": [22, 24]}, "2026-07-01T00:00:00Z", None, False),
        ({"hours": [0, 24]}, "2026-07-01T23:59:59Z", None, True),
        ({"weekdays": [3]}, "2026-07-01T23:30:00Z", None, True),
        ({"weekdays": [3]}, "2026-07-01T23:30:00Z", "Europe/Berlin", False),
        ({"weekdays": [3, 4], "hours": [22, 6]}, "2026-07-02T03:00:00Z", None, True),
        ({"weekdays": [3], "hours": [22, 6]}, "2026-07-02T03:00:00Z", None, False),
        ({"from": "2026-07-01T12:00:00Z"}, "2026-07-01T11:59:59Z", None, False),
        ({"from": "2026-07-01T12:00:00Z"}, "2026-07-01T12:00:00Z", None, True),
        ({"until": "2026-07-01T12:00:00+02:00"}, "2026-07-01T10:00:00Z", None, False),
        ({"until": "2026-07-01T12:00:00+02:00"}, "2026-07-01T09:59:59Z", None, True),
        # Clocks in Berlin go from 2 to 3 on 29 March 2026, and from 3 to 2 on 25 October.
        ({"hours": [2, 3]}, "2026-03-29T00:30:00Z", "Europe/Berlin", False),
        ({"hours": [2, 3]}, "2026-03-29T01:30:00Z", "Europe/Berlin", False),
        ({"hours": [2, 3]}, "2026-10-25T00:30:00Z", "Europe/Berlin", True),
        ({"hours": [2, 3]}, "2026-10-25T01:30:00Z", "Europe/Berlin", True),
        ({"hours": [2, 3]}, "2026-10-25T02:00:00Z", "Europe/Berlin", False),
        ({"hours": [9, 10]}, "2026-01-15T03:20:00Z", "Asia/Kathmandu", True),
    ],
)  # fmt: skip
def test_schedules_go_by_the_clock_of_the_subject(
    schedule: dict[str, Any], at: str, zone_name: str | None, expected: bool
) -> None:
    wanted = msgspec.convert(schedule, Schedule)
    context = {} if zone_name is None else {"time_zone": zone_name}
    constraint = Constraint(name="x", actions=["bread"], schedule=wanted)
    assert ("bread" in offered(constraint, context=context, at=at)) is expected


def test_the_time_zone_stands_where_the_configuration_says() -> None:
    morning = Constraint(name="x", actions=["bread"], schedule=Schedule(hours=(6, 9)))
    where = TimeZone(field="device.zone", default="America/New_York")
    six = "2026-07-01T10:30:00Z"  # half past six in New York
    assert "bread" in offered(morning, at=six, time_zone=where)
    assert "bread" in offered(morning, context={"device": "phone"}, at=six, time_zone=where)
    assert "bread" in offered(morning, context={"device": {"zone": 7}}, at=six, time_zone=where)
    berlin = {"device": {"zone": "Europe/Berlin"}}
    assert "bread" not in offered(morning, context=berlin, at=six, time_zone=where)
    assert "bread" in offered(morning, context=berlin, at="2026-07-01T05:00:00Z", time_zone=where)


@given(st.text(max_size=40) | st.sampled_from(["Europe/Berlin", "UTC", "", "Europe", "posixrules", "a\0b"]))
def test_any_text_is_a_time_zone_or_none(name: str) -> None:
    assert zone(name) is None or str(zone(name)) == name


@given(
    st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2035, 1, 1)),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]),
    st.floats(0.0, 23.5),
    st.floats(0.25, 23.75),
)
def test_a_span_of_hours_and_the_rest_of_the_day_take_turns(
    at: datetime, name: str, begin: float, length: float
) -> None:
    moment = at.replace(tzinfo=UTC)
    end = (begin + length) % 24
    if end == begin:
        return
    situation = Situation(TimeZone(default=name), {}, moment)
    inside = situation.fits(Schedule(hours=(begin, end)), None)
    assert inside is not situation.fits(Schedule(hours=(end, begin)), None)


def test_where_nothing_fits_the_baseline_is_offered_alone() -> None:
    never = Constraint(name="x", actions=["beer", "wine", "bread"], eligible_if="false")
    brought = [ACTIONS[1], ACTIONS[0]]
    assert offered(never, actions=brought) == ["base"]
    assert offered(never, actions=brought, excluded=["beer"]) == ["base"]


@pytest.mark.parametrize(
    "left_out", [{"actions": ACTIONS[1:]}, {"excluded": ["base"]}, {"killed_actions": ["base"]}], ids=str
)
def test_without_a_baseline_nothing_fitting_is_an_error(left_out: dict[str, Any]) -> None:
    never = Constraint(name="x", actions=["beer", "wine", "bread"], eligible_if="false")
    with pytest.raises(InvalidInputError, match="send the baseline action") as refused:
        offered(never, **left_out)
    assert refused.value.target == "actions"


def test_kills_are_for_actions_of_requests_too() -> None:
    brought = [*ACTIONS, Action(action_id="rum", segment="spirits"), Action(action_id="gin")]
    assert offered(actions=brought, killed_actions=["gin", "beer"], killed_segments=["spirits", "food"]) == [
        "base", "wine",
    ]  # fmt: skip
    with pytest.raises(InvalidInputError, match="lift a kill"):
        offered(actions=brought[-1:], killed_actions=["gin"])


HOUR = window(3_600.0)


@pytest.mark.parametrize(
    ("constraint", "seen", "barred"),
    [
        ({"actions": ["beer"]}, {"beer": 2}, {"beer"}),
        ({"actions": ["beer"]}, {"beer": 1, "wine": 9}, set()),
        ({}, {"beer": 2, "wine": 1, "base": 2}, {"beer", "base"}),
        ({"segments": ["drinks"]}, {"beer": 9}, set()),
        ({"segments": ["drinks"]}, {"drinks": 2}, {"beer", "wine"}),
        ({"segments": ["drinks"], "actions": ["bread"]}, {"drinks": 1, "bread": 2}, {"bread"}),
        ({}, {"drinks": 9}, set()),
    ],
)
def test_caps_count_actions_by_themselves_and_segments_as_a_whole(
    constraint: dict[str, Any], seen: dict[str, int], barred: set[str]
) -> None:
    capped = Constraint(name="x", cap=Cap(times=2, seconds=3_600.0), **constraint)
    found = offered(capped, seen=Seen(actions={HOUR: seen}, segments={HOUR: seen}))
    assert set(found) == {action.action_id for action in ACTIONS} - barred
    other_window = Seen(actions={window(60.0): seen}, segments={window(60.0): seen})
    assert len(offered(capped, seen=other_window)) == len(ACTIONS)
    assert len(offered(capped, seen=None)) == len(ACTIONS)


@pytest.mark.parametrize(
    ("constraint", "action", "segment", "barred"),
    [
        ({}, ("beer", 2), ("drinks", 5), {"beer"}),
        ({}, ("beer", 1), ("drinks", 5), set()),
        ({"actions": ["wine"]}, ("beer", 2), None, set()),
        ({"segments": ["drinks"]}, ("beer", 1), ("drinks", 2), {"beer", "wine"}),
        ({"segments": ["drinks"]}, ("beer", 2), ("drinks", 1), set()),
    ],
)
def test_nothing_is_repeated_more_often_in_a_row(
    constraint: dict[str, Any], action: tuple[str, int], segment: tuple[str, int] | None, barred: set[str]
) -> None:
    limited = Constraint(name="x", in_a_row=2, **constraint)
    found = offered(limited, seen=Seen(action=action, segment=segment))
    assert set(found) == {action.action_id for action in ACTIONS} - barred


def test_where_everything_was_shown_too_often_the_baseline_is_offered_or_else_all_that_fits() -> None:
    capped = Constraint(name="x", cap=Cap(times=1, seconds=3_600.0))
    seen = Seen(actions={HOUR: {action.action_id: 1 for action in ACTIONS}})
    assert offered(capped, seen=seen) == ["base"]
    assert offered(capped, ADULTS, seen=seen, excluded=["base"]) == ["bread"]
    assert offered(capped, seen=seen, killed_actions=["base"]) == ["beer", "wine", "bread"]


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({"constraints": [{"name": "x", "actions": ["beer"]}]}, "constraints[0]"),
        ({"constraints": [{"name": "x"}]}, "constraints[0]"),
        ({"constraints": [{"name": "x", "floor": 0.1}, {"name": "x", "ceiling": 0.9}]}, "constraints"),
        ({"constraints": [{"name": "x", "floor": 0.2, "ceiling": 0.1}]}, "constraints[0].floor"),
        ({"constraints": [{"name": "x", "actions": ["beer"], "eligible_if": "age > 3"}]},
         "constraints[0].eligible_if"),
        ({"constraints": [{"name": "x", "actions": ["base"], "eligible_if": "true"}]},
         "constraints[0].eligible_if"),
        ({"constraints": [{"name": "x", "eligible_if": "true"}]}, "constraints[0].eligible_if"),
        ({"constraints": [{"name": "x", "schedule": {"weekdays": [1]}}]}, "constraints[0].schedule"),
        ({"constraints": [{"name": "x", "segments": ["drinks"], "schedule": {"hours": [9, 17]}}],
          "baseline_action": "wine"}, "constraints[0].schedule"),
        ({"constraints": [{"name": "x", "actions": ["beer"], "schedule": {}}]}, "constraints[0].schedule"),
        ({"constraints": [{"name": "x", "actions": ["beer"], "schedule": {"hours": [9, 9]}}]},
         "constraints[0].schedule.hours"),
        ({"constraints": [{"name": "x", "actions": ["beer"], "schedule": {"hours": [24, 0]}}]},
         "constraints[0].schedule.hours"),
        ({"constraints": [{"name": "x", "actions": ["beer"], "schedule":
          {"from": "2026-07-01T12:00:00Z", "until": "2026-07-01T13:00:00+01:00"}}]},
         "constraints[0].schedule.until"),
        ({"constraints": [{"name": "x", "floor": 0.26}]}, "constraints"),
        ({"constraints": [{"name": "x", "floor": 1.0, "actions": ["beer"]}]}, "constraints"),
        ({"constraints": [{"name": "x", "floor": 0.6, "segments": ["drinks"]},
                          {"name": "y", "floor": 0.5, "actions": ["bread"]}]}, "constraints"),
        ({"constraints": [{"name": "x", "ceiling": 0.5, "segments": ["drinks"]},
                          {"name": "y", "floor": 0.3, "actions": ["beer", "wine"]}]}, "constraints"),
        ({"constraints": [{"name": "x", "ceiling": 0.2}]}, "constraints"),
        ({"constraints": [{"name": "x", "floor": 0.3, "actions": ["beer"]},
                          {"name": "y", "ceiling": 0.25}]}, "constraints"),
        ({"boosts": [{"name": "x", "multiplier": 2, "if": "1"}]}, "boosts[0].if"),
        ({"boosts": [{"name": "x", "multiplier": 2}, {"name": "x", "multiplier": 3}]}, "boosts"),
        ({"boosts": [{"name": "x", "multiplier": 2, "schedule": {"hours": [1, 1]}}]},
         "boosts[0].schedule.hours"),
        ({"time_zone": {"default": "Europe/Atlantis"}}, "time_zone.default"),
        ({"killed_actions": ["base", "bread"], "killed_segments": ["drinks"]}, "killed_segments"),
        ({"killed_actions": ["base", "beer", "wine", "bread"]}, "killed_actions"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_by_its_name(fields: dict[str, Any], target: str) -> None:
    config = msgspec.convert({"actions": msgspec.to_builtins(ACTIONS)} | fields, BanditConfig)
    with pytest.raises(InvalidInputError) as refused:
        checked(config)
    assert refused.value.target == target
    assert "expected" in refused.value.message
    assert "got" in refused.value.message


@pytest.mark.parametrize(
    "fields",
    [
        {"constraints": [{"name": "x", "floor": 0.25}]},
        {"constraints": [{"name": "x", "ceiling": 0.25}]},
        {"constraints": [{"name": "x", "floor": 0.9, "actions": ["who", "knows"]}]},
        {"constraints": [{"name": "x", "ceiling": 0.1, "segments": ["unknown"]}]},
        {"constraints": [{"name": "x", "cap": {"times": 1, "seconds": 60}}]},
        {"constraints": [{"name": "x", "ceiling": 0.001, "actions": ["beer"]}], "exploration_floor": 0.5},
        {"killed_actions": ["base", "unknown"]},
        {"killed_segments": ["unknown"]},
    ],
)
def test_what_can_be_had_is_accepted(fields: dict[str, Any]) -> None:
    config = msgspec.convert({"actions": msgspec.to_builtins(ACTIONS)} | fields, BanditConfig)
    assert checked(config).baseline_action == "base"
