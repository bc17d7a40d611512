"""What goes over the wire when an owner kills or revives, or asks who changed what."""

from __future__ import annotations

from msgspec import structs

from api.schemas import BanditAnswer, bandit_answer
from bandit.changes import NO_REASON, Change, Why
from bandit.switches import Switched, Target
from bandit.types import Identifier, Value


class SwitchRequest(Target, frozen=True, kw_only=True):
    """An action, or all actions of a segment, to be killed or revived: one of the two."""

    #: Who does it, for the audit log. Default: the address of the caller.
    who: Identifier | None = None
    why: Why = NO_REASON


class SwitchAnswer(BanditAnswer, frozen=True, kw_only=True):
    """A bandit after an action or a segment was killed or revived."""

    #: Whether the catalogue has such an action, or an action of that segment. Requests may bring others, so
    #: what is not known is killed too; but is it misspelt?
    known: bool
    #: What of the catalogue is the baseline now: the one named or, if that is killed, the first left that may
    #: be served to anybody.
    baseline_served: str
    #: Whose requests are refused (422) now that the baseline is killed, and what to do. Null: nobody's.
    warning: str | None


class ChangeList(Value, frozen=True, kw_only=True):
    """Who changed what and why, newest first."""

    bandit_key: str
    changes: list[Change]
    #: To get older ones, ask with `before` set to this; None: there are none.
    next_before: int | None


def switch_answer(switched: Switched) -> SwitchAnswer:
    """What became of a kill or a revival as it is shown."""
    return SwitchAnswer(
        **structs.asdict(bandit_answer(switched.bandit)),
        known=switched.known,
        baseline_served=switched.baseline_served,
        warning=switched.warning,
    )
