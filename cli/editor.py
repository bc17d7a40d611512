"""An editor of the owner's choice, opened on JSON until what was saved is accepted or given up."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import TypeVar

import click
import typer

from bandit.errors import InvalidInputError, SegbanditError, SetupError
from cli.errors import say_failed

T = TypeVar("T")


def edited(text: bytes, editor: str | None, accept: Callable[[bytes], T]) -> T | None:
    """What `accept` makes of the text as it was saved; None: it was not saved.

    Text that is invalid goes back into the editor, if its author wants that. Whatever else ends it, what was
    written is kept in a file that is named.

    Raises:
        SetupError: the editor could not be run, or it ended with an exit code other than 0.
        SegbanditError: whatever `accept` raises except for invalid input.
    """
    while (saved := _opened(text, editor)) is not None:
        text = saved
        try:
            return accept(text)
        except InvalidInputError as error:
            say_failed(error.message)
            if not typer.confirm("Go on editing?", default=True):
                _keep(text)
                raise typer.Abort from error
        except SegbanditError:
            _keep(text)
            raise
    return None


def _opened(text: bytes, editor: str | None) -> bytes | None:
    try:
        return click.edit(text, editor=editor, extension=".json")
    except (click.ClickException, ValueError) as error:  # a ValueError: its quotes are not closed
        raise SetupError(
            f"expected an editor that opens the configuration and ends with exit code 0, got: {error}. "
            "Nothing was changed. Name another one by --editor or $EDITOR, or what to change by --set "
            "FIELD=JSON."
        ) from error


def _keep(text: bytes) -> None:
    with tempfile.NamedTemporaryFile(prefix="segbandit-", suffix=".json", delete=False) as file:
        file.write(text)
    typer.echo(f"What you wrote is kept in {file.name}.", err=True)
