"""The console script `segbandit`: wiring only."""

from __future__ import annotations

import signal
import sys
from importlib.metadata import version as distribution_version

import typer
from pydantic import ValidationError

from bandit import logs as logging
from bandit.db.pool import NotMigratedError
from bandit.errors import SegbanditError
from cli import (
    alerts,
    archive,
    bandits,
    demo,
    edit,
    evaluate,
    explain,
    logs,
    models,
    proofs,
    replay_live,
    service,
    simulate,
    sweep,
    switches,
)
from cli.errors import say_failed

app = typer.Typer(
    name="segbandit",
    help="Decisions that can be proved: choose, log, reward, learn.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(service.serve)
app.command()(service.learner)
app.command()(service.migrate)
app.command()(demo.demo)
app.command()(replay_live.replay_live)
app.command()(evaluate.evaluate)
app.command()(simulate.simulate)
app.command()(sweep.sweep)
app.command()(proofs.audit)
app.command()(explain.explain)
app.command()(proofs.rebuild)
app.command()(archive.archive)
app.command()(logs.export)
app.command("import")(logs.import_)
app.add_typer(logs.datasets, name="datasets")
for command in (
    edit.edit, switches.pause, switches.resume, switches.kill, switches.revive, switches.archive,
    switches.changes, alerts.alerts,
):  # fmt: skip
    bandits.app.command()(command)
app.add_typer(bandits.app, name="bandits")
app.add_typer(models.app, name="models")


@app.command()
def version() -> None:
    """Print the version.

    Example: segbandit version
    """
    typer.echo(f"segbandit {distribution_version('segbandit')}")


def main() -> None:
    """Run the command line; an error of ours ends it with its message and exit code 1."""
    logging.configure()
    # As an exit, a termination lets everything clean up; uvicorn too ends by raising its signal once more.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        app()
    except NotMigratedError as error:
        say_failed(f"expected a database with our tables, got: {error}. Run `segbandit migrate` first.")
        sys.exit(1)
    except ValidationError as error:
        say_failed(f"a setting in the environment is wrong: {error}")
        sys.exit(1)
    except SegbanditError as error:
        say_failed(error.message)
        sys.exit(1)


if __name__ == "__main__":
    main()
