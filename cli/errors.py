"""What every command that uses the laboratory needs at its edge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from bandit.errors import SegbanditError, SetupError
from cli.terminal import visible_lines

#: Of a process stopped by Ctrl-C: 128 + SIGINT.
_INTERRUPTED = 130


def say_failed(message: str) -> None:
    """The one line, on standard error, that a failed command ends with."""
    typer.secho(f"segbandit: {visible_lines(message)}", fg=typer.colors.RED, err=True)


@contextmanager
def clean_exit(stopped: str) -> Iterator[None]:
    """End with one clear line: our errors with exit code 1, Ctrl-C with `stopped` and exit code 130."""
    try:
        yield
    except SegbanditError as error:
        say_failed(error.message)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        typer.echo(f"Stopped. {stopped}", err=True)
        raise typer.Exit(_INTERRUPTED) from error


@contextmanager
def laboratory() -> Iterator[None]:
    """Around imports of `simulations`, whose libraries are an extra of the distribution.

    Raises:
        SetupError: the extra is not installed.

    >>> with laboratory():
    ...     import no_such_library
    Traceback (most recent call last):
    bandit.errors.SetupError: expected the laboratory's libraries, got No module named 'no_such_library'. ...
    """
    try:
        yield
    except ImportError as error:
        raise SetupError(
            f"expected the laboratory's libraries, got {error}. Install them: pip install 'segbandit[lab]'."
        ) from error
