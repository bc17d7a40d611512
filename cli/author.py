"""Who changes something by a command, and why."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from api.body import check_text, convert
from bandit.changes import NO_REASON, SOMEBODY, Author, check_author, is_learner

Who = Annotated[
    str | None,
    typer.Option("--who", help="Who changes it. Default: your name on this machine.", show_default=False),
]
Why = Annotated[str, typer.Option("--why", help="Why it is changed; `bandits changes` shows it.")]
NOT_SAID = NO_REASON


def author(who: str | None, why: str) -> Author:
    """Who and why.

    Raises:
        InvalidInputError: one of them is empty or too long, or it signs as the learner.

    >>> author("ada", "spring is over")
    Author(who='ada', why='spring is over')
    """
    signed = convert({"who": _user() if who is None else who, "why": why}, Author)
    check_text(signed.who, "who")
    check_text(signed.why, "why")
    check_author(signed.who)
    return signed


def _user() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a process without a name, as in some containers
        return SOMEBODY.who
    return SOMEBODY.who if is_learner(name) else name  # an account made for the service is nobody's name
