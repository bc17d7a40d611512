"""`segbandit audit` and `segbandit rebuild`: what was decided and learned, made again from the log."""

from __future__ import annotations

from typing import Annotated

import typer

from bandit import audit as auditing
from bandit import rebuild as rebuilding
from bandit.audit import AuditReport
from bandit.db.pool import Database
from bandit.errors import NotFoundError
from cli.author import NOT_SAID, Who, Why, author
from cli.errors import clean_exit, say_failed
from cli.progress import shown
from cli.service import DataDir, prepared, with_database

BanditOption = Annotated[str, typer.Option("--bandit", help="The bandit's key.")]
DecisionId = Annotated[str | None, typer.Option("--decision", help="Only this decision.", show_default=False)]
Sample = Annotated[int, typer.Option(help="So many decisions, drawn at random.", min=1, max=1_000_000)]
Everything = Annotated[
    bool, typer.Option("--all", help="Every decision, model version and line of the training log.")
]
Through = Annotated[
    int | None, typer.Option(help="Stop after this place of the log. Default: its end.", min=1)
]
Definition = Annotated[
    int | None,
    typer.Option(
        help="Settle all rewards by the definition of this configuration version. Default: each by its own.",
        min=1,
    ),
]
WithoutSubject = Annotated[
    list[str] | None,
    typer.Option(help="Learn nothing of this subject; repeat it for more.", show_default=False),
]
Publish = Annotated[
    bool, typer.Option("--publish", help="Keep the result as a candidate, which can be promoted.")
]


def audit(
    bandit: BanditOption,
    decision: DecisionId = None,
    sample: Sample = 100,
    everything: Everything = False,
    data_dir: DataDir = None,
) -> None:
    """Make logged decisions again from the log, and compare bit for bit.

    The exit code is 1 if something differs, and the first difference is named. With --all every model version
    is folded again from the training log as well, and compared with what was published.

    Example: segbandit audit --bandit hero --sample 1000
    """

    async def run(database: Database) -> AuditReport:
        if decision is not None:
            report = await auditing.audit_decision(database, decision)
            if report.bandit_key != bandit:
                raise NotFoundError(
                    f"--decision: expected a decision of bandit {bandit!r}, got one of {report.bandit_key!r}."
                )
            return report
        if everything:
            return await shown(lambda told: auditing.audit_everything(database, bandit, told))
        return await auditing.audit_sample(database, bandit, sample)

    with clean_exit("Nothing was changed."):
        report = with_database(prepared(data_dir), run)
        looked_at = "1 decision" if report.decisions == 1 else f"{report.decisions:,} decisions"
        if everything:
            looked_at += (
                f", {report.model_versions:,} model versions, {report.training_events:,} lines of the "
                f"training log and {report.reward_events:,} reward events"
            )
        if report.archived_events or report.archived_versions or report.archived_decisions:
            typer.echo(
                f"{bandit}: not made again, because their log is archived: {report.archived_events:,} lines "
                f"of the training log, {report.archived_versions:,} model versions and "
                f"{report.archived_decisions:,} decisions."
            )
        if report.difference is None:
            typer.echo(f"{bandit}: {looked_at}, made again: the same, bit for bit.")
            return
        found = report.difference
        say_failed(
            f"{bandit}: after {looked_at}: {found.target}: the log has {found.logged!r}, recomputed is "
            f"{found.recomputed!r}."
        )
        raise typer.Exit(1)


def rebuild(
    bandit: BanditOption,
    through: Through = None,
    reward_definition: Definition = None,
    without_subject: WithoutSubject = None,
    publish: Publish = False,
    why: Why = NOT_SAID,
    who: Who = None,
    data_dir: DataDir = None,
) -> None:
    """Fold a bandit's training log again, with rewards that came late or were corrected since.

    Where nothing differs from what was learned, the weights must be those that serve, with difference 0.0; if
    they are not, the exit code is 1.

    Example: segbandit rebuild --bandit hero
    """
    by = author(who, why)

    async def run(database: Database) -> rebuilding.Rebuilt:
        return await shown(
            lambda told: rebuilding.rebuild(
                database,
                bandit,
                through=through,
                reward_definition=reward_definition,
                without_subjects=without_subject or (),
                publish=publish,
                author=by,
                progress=lambda done, total: told("events", done, total),
            )
        )

    with clean_exit("Nothing was changed."):
        found = with_database(prepared(data_dir), run)
        events = found.through - found.after
        typer.echo(
            f"{bandit}: {events:,} events in {found.seconds:.2f} s "
            f"({events / max(found.seconds, 1e-9):,.0f} a second), {found.left_out:,} left out "
            f"(of {found.subjects_left_out} subjects), "
            f"{found.revised:,} with another reward than was learned. Weights {found.weights_sha256[:16]}."
        )
        if found.resumed_from is not None:
            typer.echo(f"Folded on from model {found.resumed_from}: older lines of the log are archived.")
        elif found.after:
            typer.echo(f"Folded from line {found.after + 1} on: older lines of the log are archived.")
        if publish and found.published is None:
            typer.echo("Not published: it is what the live branch has learned already.")
        if found.replaced is not None:
            typer.echo(f"The candidate before it, branch {found.replaced}, made room and rests.")
        if found.published is not None:
            typer.echo(
                f"Published as model {found.published}, a candidate: segbandit models promote {bandit} "
                f"{found.published}"
            )
        if found.equal:
            typer.echo(f"They are those of model {found.same_as}: difference 0.0.")
        if found.equal is False:
            say_failed(
                f"expected the weights of model {found.same_as}, which learned the same events, got others: "
                f"somebody changed the log or the model. Look with: segbandit audit --bandit {bandit} --all"
            )
            raise typer.Exit(1)
