"""`segbandit bandits edit`: change a configuration in an editor, or by single fields."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from api.body import convert, parse
from bandit import catalogue
from bandit.changes import Author, difference
from bandit.errors import InvalidInputError, SetupError
from bandit.settings import Settings
from bandit.types import SHOWN_BESIDE, Bandit, BanditConfig
from cli import unknown
from cli.author import NOT_SAID, Who, Why, author
from cli.bandits import Key
from cli.editor import edited
from cli.service import DataDir, prepared, with_database
from cli.switches import said, warn
from cli.terminal import visible

Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="FIELD=JSON, dots between levels; what is no JSON is a text. An item of actions, constraints "
        "and boosts goes by its id; null takes it out. Repeat it for more.",
        metavar="FIELD=JSON",
        show_default=False,
    ),
]
File = Annotated[
    Path | None,
    typer.Option(
        help="JSON with the fields to replace, or what `bandits show` printed.",
        exists=True,
        dir_okay=False,
        show_default=False,
    ),
]
Editor = Annotated[
    str | None,
    typer.Option(help="The editor to use.", envvar=["VISUAL", "EDITOR"], show_default=False),
]
#: By what the items of these fields are known.
_IDS = {"actions": "action_id", "constraints": "name", "boosts": "name"}


def edit(
    bandit_key: Key,
    assignments: Assignments = None,
    file: File = None,
    editor: Editor = None,
    why: Why = NOT_SAID,
    who: Who = None,
    data_dir: DataDir = None,
) -> None:
    """Change a bandit's configuration: in an editor as JSON, or by --set or --file.

    Whatever was changed by somebody else meanwhile is not overwritten: then nothing is changed.

    Example: segbandit bandits edit hero --set exploration_floor=0.05 --why "too few tries"
    """
    by, settings = author(who, why), prepared(data_dir)
    bandit = with_database(settings, lambda database: catalogue.get(database, bandit_key))
    if assignments or file:
        given, version = _of_file(file, bandit) if file else ({}, bandit.newest_version)
        wanted = assigned(_wanted(bandit), given, assignments or [])
        changed = _changed(settings, bandit, wanted, by, version)
    else:
        changed = _edited(settings, bandit, editor, by)
    if changed == bandit:
        typer.echo("Nothing was changed.")
        return
    what = visible(said(difference(bandit, changed)))
    typer.echo(f"{bandit_key}: {what}. Configuration {changed.config_version} is in force.")
    warn(unknown.warning(bandit.config, changed.config))
    if changed.candidate not in (None, bandit.candidate):
        typer.echo(
            "The changed policy is learned beside the live one first: look with segbandit models list "
            f"{bandit_key}, then segbandit models promote."
        )


def assigned(config: BanditConfig, given: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """The whole fields that `given` and these assignments make of a configuration.

    Raises:
        InvalidInputError: an assignment is none, or what it names cannot be set.

    >>> from bandit.types import Action
    >>> assigned(BanditConfig(actions=[Action(action_id="a")]), {}, ["novelty.share=0.2", "mode=apprentice"])
    {'novelty': {'share': 0.2}, 'mode': 'apprentice'}
    """
    now, fields = msgspec.to_builtins(config), dict(given)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        field, *inner = path.split(".")
        if not equals or not path:
            raise InvalidInputError(
                f"--set: expected FIELD=JSON, got {assignment!r}; for example --set mode=apprentice.",
                target="--set",
            )
        fields[field] = _put(fields.get(field, now.get(field)), inner, _value(text), path, _IDS.get(field))
    return fields


def _put(there: Any, inner: list[str], value: Any, path: str, id_field: str | None) -> Any:
    """`there` with the value at that place in it."""
    if not inner:
        return value
    name, *rest = inner
    if isinstance(there, list) and id_field is not None:
        return _put_item(there, name, rest, value, path, id_field)
    if not isinstance(there, dict | None):
        raise InvalidInputError(
            f"{path}: expected a place within an object, got one within "
            f"{msgspec.json.encode(there).decode()}; set the whole of it.",
            target=path,
        )
    return {**(there or {}), name: _put((there or {}).get(name), rest, value, path, None)}


def _put_item(
    items: list[Any], name: str, rest: list[str], value: Any, path: str, id_field: str
) -> list[Any]:
    old = next((item for item in items if item[id_field] == name), None)
    if value is None and not rest:
        return [item for item in items if item is not old]
    if old is None and rest:
        field = path.partition(".")[0]
        raise InvalidInputError(
            f"{path}: expected one of the {field} that are there "
            f"({', '.join(item[id_field] for item in items) or 'none'}), got {name!r}; to add it, set the "
            f"whole of it: --set '{field}.{name}={{...}}'.",
            target=path,
        )
    new = _put(old, rest, value, path, None)
    if isinstance(new, dict):
        new = {id_field: name, **new}
    return [new if item is old else item for item in items] if old else [*items, new]


def _value(text: str) -> Any:
    try:
        return parse(text.encode())
    except InvalidInputError:
        return text


def _object(text: bytes) -> dict[str, Any]:
    return convert(parse(text), dict[str, Any])


def _of_file(file: Path, bandit: Bandit) -> tuple[dict[str, Any], int]:
    """The fields to replace, and the newest version for which they were written.

    The file may be what `bandits show` printed, of this bandit or of another one.
    """
    given = _object(file.read_bytes())
    fields = {name: value for name, value in given.items() if name not in SHOWN_BESIDE}
    if given.get("bandit_key") != bandit.bandit_key:
        return fields, bandit.newest_version
    if given.get("candidate") and given.get("policy") == msgspec.to_builtins(bandit.config.policy):
        del fields["policy"]  # left as it was: the candidate's, which was asked for last, stays
    return fields, convert(given.get("newest_version", bandit.newest_version), int)


def _changed(
    settings: Settings, bandit: Bandit, given: dict[str, Any], by: Author, expected_version: int
) -> Bandit:
    """The bandit after the fields that differ were changed, unless somebody else changed something since."""
    before = _wanted(bandit)
    wanted = convert({**msgspec.to_builtins(before), **given}, BanditConfig)
    fields = {
        name: getattr(wanted, name)
        for name in BanditConfig.__struct_fields__
        if getattr(wanted, name) != getattr(before, name)
    }
    if not fields:
        return bandit
    return with_database(
        settings,
        lambda database: catalogue.change(
            database, bandit.bandit_key, fields, by, expected_version=expected_version
        ),
    )


def _wanted(bandit: Bandit) -> BanditConfig:
    """The configuration with the policy that was asked for last, even if that is still being learned."""
    if bandit.candidate is None:
        return bandit.config
    return msgspec.structs.replace(bandit.config, policy=bandit.candidate.policy)


def _edited(settings: Settings, bandit: Bandit, editor: str | None, by: Author) -> Bandit:
    """The bandit as it was saved in an editor; what cannot be goes back there, if its author wants that."""
    if editor is None and not sys.stdin.isatty():
        raise SetupError(
            "expected a terminal or an editor ($VISUAL or $EDITOR), got neither; name what to change by "
            "--set FIELD=JSON or --file."
        )
    text = json.dumps(msgspec.to_builtins(_wanted(bandit)), indent=2, ensure_ascii=False) + "\n"
    version = bandit.newest_version
    return (
        edited(text.encode(), editor, lambda saved: _changed(settings, bandit, _object(saved), by, version))
        or bandit
    )
