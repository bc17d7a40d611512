"""What commands that ask a log share: which log it is, and how it is read."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from bandit import catalogue, serving
from bandit.db.pool import Database
from bandit.errors import InvalidInputError, SetupError
from bandit.policy import Policy
from bandit.settings import Settings
from bandit.types import BanditConfig
from cli.service import with_database

if TYPE_CHECKING:
    from simulations.logs.rows import Log
    from simulations.policies.targets import Target

LogFile = Annotated[
    Path | None, typer.Argument(metavar="[LOG]", help="Parquet, dsjson or CSV.", show_default=False)
]
BanditKey = Annotated[
    str | None, typer.Option("--bandit", help="Instead: our own log of this bandit.", show_default=False)
]
Level = Annotated[float, typer.Option(help="Confidence level.", min=0.5, max=0.9999)]
LearnFirst = Annotated[
    float,
    typer.Option(
        help="Share of the rounds that are learned from before any is evaluated.", min=0.0, max=0.99
    ),
]
Exclude = Annotated[
    bool, typer.Option("--exclude-bad-rows", help="Leave out, and count, rows that cannot be used.")
]
ColumnMap = Annotated[
    list[str] | None,
    typer.Option("--column", help="OURS=THEIRS, such as reward=click; repeatable.", show_default=False),
]
RewardRange = Annotated[
    tuple[float, float] | None,
    typer.Option(
        help="Lowest and highest reward possible. Default: what an export says, else it counts as not known.",
        show_default=False,
    ),
]
Reward = Annotated[
    str | None, typer.Option(help="Of hillstrom: visit, conversion, spend.", show_default=False)
]
Since = Annotated[
    datetime | None, typer.Option(help="With --bandit: decisions from then on.", show_default=False)
]
Until = Annotated[datetime | None, typer.Option(help="With --bandit: decisions before.", show_default=False)]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the report to this file.", show_default=False)
]
HtmlFile = Annotated[Path | None, typer.Option("--html", help="Write it as a page.", show_default=False)]


def one_log(context: typer.Context, log: Path | None, dataset: str | None, bandit: str | None) -> None:
    """Refuse several logs at once, and options that the one log does not have.

    Raises:
        InvalidInputError: there are.
    """
    if sum(given is not None for given in (log, dataset, bandit)) > 1:
        raise InvalidInputError("expected one log: a file, --dataset or --bandit; got several.")
    if log is None:
        refuse(context, "without a file: this log says itself what its columns and rewards are",
               "column", "reward_range")  # fmt: skip
    if bandit is None:
        refuse(context, "without --bandit", "since", "until", "data_dir")
    if dataset != "hillstrom":
        refuse(context, "without --dataset hillstrom, the only log with several rewards", "reward")


def refuse(context: typer.Context, why: str, *names: str) -> None:
    """Say so where an option was given that would change nothing.

    Raises:
        InvalidInputError: one of these parameters was given; `why` ends the sentence.
    """
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in names
        and getattr(context.get_parameter_source(parameter.name), "name", "") == "COMMANDLINE"
    ]
    if given:
        raise InvalidInputError(f"expected no {', '.join(given)} {why}.")


def opened(
    settings: Settings,
    log: Path | None,
    dataset: str | None,
    bandit: str | None,
    column: list[str] | None,
    reward_range: tuple[float, float] | None,
    reward: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Log:
    """The log that the options name."""
    from simulations import datasets
    from simulations.logs.named import log_at
    from simulations.logs.postgres import PostgresLog

    if bandit is not None:
        return PostgresLog(settings.database_url or "", bandit, since=since, until=until)
    if log is not None:
        return log_at(log, columns=pairs("--column", column), reward_range=reward_range)
    return datasets.log(dataset or "", settings, reward=reward)


def policy_named(name: str, bandit: str | None, settings: Settings) -> str | Target:
    """What `simulations` knows by its name, as that; a saved model of this bandit, served under its
    configuration in force, as a policy."""
    from simulations.policies.targets import Static

    kind, _, version = name.partition(":")
    if kind != "model" or bandit is None:
        return name
    if not version.isdecimal():
        raise InvalidInputError(f"--policy: expected model:VERSION with a number, got {name!r}.")

    async def read(database: Database) -> tuple[Policy, datetime, BanditConfig]:
        policy, published = await serving.saved_policy(database, bandit, int(version))
        return policy, published, (await catalogue.get(database, bandit)).config

    saved, published, config = with_database(settings, read)
    served = replace(config, mode="online", paused=False)
    return Static(name, saved, learned_until=published, config=served)


def pairs(option: str, given: list[str] | None) -> dict[str, str]:
    """NAME=VALUE texts as a dictionary."""
    parts = [text.partition("=") for text in given or ()]
    for name, equals, value in parts:
        if not (name and equals and value):
            raise InvalidInputError(f"{option}: expected NAME=VALUE, got {name + equals + value!r}.")
    return {name: value for name, _, value in parts}


def check_places(*paths: Path | None) -> None:
    """Before minutes are spent on what could not be written then.

    Raises:
        SetupError: a file's folder is not there.
    """
    for path in paths:
        if path is not None and not path.absolute().parent.is_dir():
            raise SetupError(f"expected a folder to write {path} to, got none at {path.absolute().parent}.")


def write(path: Path | None, data: bytes) -> None:
    """To a file, if one was asked for.

    Raises:
        SetupError: it cannot be written.
    """
    if path is None:
        return
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SetupError(f"expected to write the results to {path}, got {error}.") from error
