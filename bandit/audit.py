"""Use case: make logged decisions again from the log alone, and name what differs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing, suppress
from datetime import datetime

import msgspec

from bandit import recompute, rewards, vw
from bandit.branches import BranchFold
from bandit.db import bandits, decisions, models, training
from bandit.db import rewards as reward_events
from bandit.db.bandits import ConfigCache
from bandit.db.decisions import Kept
from bandit.db.pool import Connection, Database
from bandit.errors import BrokenLogError, ModelRefusedError, NotFoundError
from bandit.policy import VwPolicy
from bandit.recompute import SMALL_CHUNK, AsServed, Difference
from bandit.serving import Serving
from bandit.types import Branch, Decision, ModelVersion, Value

#: Lines of the log that are read at once.
_CHUNK = 1_000
Progress = Callable[[str, int, int], None]


class AuditReport(Value, frozen=True, kw_only=True):
    """What an audit looked at, and the first difference it found."""

    bandit_key: str
    decisions: int = 0
    model_versions: int = 0
    training_events: int = 0
    reward_events: int = 0
    #: What could not be made again, because what it needs of the log was archived: lines of the log that are
    #: gone, versions that were not folded again, decisions by such versions whose bytes are not kept either.
    archived_events: int = 0
    archived_versions: int = 0
    archived_decisions: int = 0
    #: None: everything is as it was written, and comes out the same again.
    difference: Difference | None = None


async def audit_decision(database: Database, decision_id: str) -> AuditReport:
    """Make one decision again.

    Raises:
        NotFoundError: there is none by that id.
        ArchivedError: its model's bytes are not kept, and what these are the fold of was archived.
    """
    async with database.snapshot() as connection:
        await training.hold(connection)
        place = (await decisions.locate(connection, [decision_id])).get(decision_id)
        if place is None:
            raise decisions.not_logged(decision_id)
        at = (decision_id, place[0])
        with closing(_Auditor(connection, place[1], SMALL_CHUNK)) as auditor:
            report = await auditor.kept_decisions([at])
        if report.archived_decisions:
            raise await training.archived(connection, place[1], 1)
        return report


async def audit_sample(database: Database, bandit_key: str, count: int) -> AuditReport:
    """Make up to `count` decisions of the bandit again, drawn at random.

    Raises:
        NotFoundError: no such bandit.
    """
    async with database.snapshot() as connection:
        await training.hold(connection)
        places = await decisions.sample(connection, bandit_key, count)
        with closing(_Auditor(connection, bandit_key, _CHUNK)) as auditor:
            return await auditor.kept_decisions(places)


async def audit_everything(
    database: Database, bandit_key: str, progress: Progress = lambda *_: None
) -> AuditReport:
    """Fold every model version of the bandit again from its log, and make every decision again with it.

    Stored models are not trusted: each must be the fold of the log. Where the beginning of the log was
    archived, the first version from which what is left can be folded is taken as its seal says. `progress`
    hears what is being looked at, how much of it is done, and how much there is.

    Raises:
        NotFoundError: no such bandit.
    """
    async with database.snapshot() as connection:
        await training.hold(connection)
        with closing(_Auditor(connection, bandit_key, _CHUNK)) as auditor:
            return await auditor.everything(progress)


class _Auditor:
    """One audit of one bandit, on a connection that sees one moment."""

    def __init__(self, connection: Connection, bandit_key: str, chunk: int) -> None:
        self._connection = connection
        self._bandit_key = bandit_key
        self._chunk = chunk
        self._configs = ConfigCache()
        self._served = AsServed(connection, bandit_key, chunk=chunk)
        #: Of a branch whose beginning was archived: the version from which the rest can be folded.
        self._first: dict[int, ModelVersion | None] = {}

    def close(self) -> None:
        """Free the model that is kept at hand."""
        self._served.close()

    async def kept_decisions(self, places: list[tuple[str, datetime]]) -> AuditReport:
        """The first difference among the decisions at these (decision_id, decided_at)."""
        report = AuditReport(bandit_key=self._bandit_key, decisions=len(places))
        for version in await bandits.unsealed(self._connection, self._bandit_key):
            return _with(report, _unsealed(f"configuration {version}"))
        for decision_id in await decisions.unsealed(self._connection, places):
            return _with(report, _unsealed(f"decision {decision_id}"))
        found = await decisions.fetch(self._connection, self._configs, places)
        archived = 0
        try:
            for decision in sorted(found.values(), key=lambda d: (d.config_version, d.model_version)):
                serving = await self._served.of(decision)
                if serving is None:
                    archived += 1
                elif difference := recompute.difference(serving, decision):
                    return _with(report, difference)
        except NotFoundError as error:
            field = "config_version" if error.target == "config_version" else "model_version"
            return _with(report, _not_here(decision.decision_id, field, getattr(decision, field)))
        except BrokenLogError as error:
            return _with(report, _missing(error.target or "training_log", error))
        return msgspec.structs.replace(report, decisions=len(places) - archived, archived_decisions=archived)

    async def everything(self, progress: Progress) -> AuditReport:
        """See `audit_everything`."""
        report = AuditReport(bandit_key=self._bandit_key)
        for version in await bandits.unsealed(self._connection, self._bandit_key):
            return _with(report, _unsealed(f"configuration {version}"))
        for version in await models.unsealed(self._connection, self._bandit_key):
            return _with(report, _unsealed(f"model {version}"))
        if (decision_id := await training.misplaced(self._connection, self._bandit_key)) is not None:
            return _with(report, Difference(
                target=f"decision {decision_id}", logged="not one of settled and waiting, or not ours",
                recomputed="one of them",
            ))  # fmt: skip
        report = await self._log(report, progress)
        if report.difference is None:
            try:
                report = await self._models_and_decisions(report, progress)
            except BrokenLogError as error:
                return _with(report, _missing(error.target or "training_log", error))
        return report

    async def _log(self, report: AuditReport, progress: Progress) -> AuditReport:
        """Every line of the training log is as it was written, and its reward is what its events give."""
        begin = await training.begin(self._connection, self._bandit_key)
        archived = await bandits.archived_through(self._connection, self._bandit_key)
        end = await training.end(self._connection, self._bandit_key)
        for after in range(begin, end, self._chunk):
            upto = min(after + self._chunk, end)
            progress("training log", after, end)
            lines = await training.lines(self._connection, self._bandit_key, after, upto)
            if gone := set(range(max(after, archived) + 1, upto + 1)) - {line.seq for line in lines}:
                return _with(report, Difference(
                    target=f"training_log[{min(gone)}]", logged="nothing there", recomputed="a line",
                ))  # fmt: skip
            events = await reward_events.for_decisions(self._connection, [one.decision_id for one in lines])
            versions = {(self._bandit_key, line.config_version) for line in lines if line.sealed}
            configs = await self._configs.get(self._connection, versions)
            for line in lines:
                name = f"training_log[{line.seq}]"
                if not line.sealed:
                    return _with(report, _unsealed(name))
                found = events.get(line.decision_id, [])
                if len(found) < line.events:
                    return _with(
                        report,
                        Difference(target=f"{name}: events", logged=line.events, recomputed=len(found)),
                    )
                config = configs[self._bandit_key, line.config_version]
                again = rewards.settle(config.reward, config.default_reward, found, until=line.due_at)
                if len(found) == line.events and again != line.reward:  # else some came later
                    return _with(
                        report, Difference(target=f"{name}: reward", logged=line.reward, recomputed=again)
                    )
            report = _plus(report, training_events=len(lines))
        return msgspec.structs.replace(report, archived_events=end - report.training_events)

    async def _models_and_decisions(self, report: AuditReport, progress: Progress) -> AuditReport:
        total = await decisions.count(self._connection, self._bandit_key)
        by_version = _ByVersion(decisions.every(self._connection, self._configs, self._bandit_key))
        published = [m for m, _ in reversed(await models.versions(self._connection, self._bandit_key))]
        branches = await models.branches(self._connection, self._bandit_key)
        if difference := await self._dangling(published, branches):
            return _with(report, difference)
        folds: dict[int, BranchFold] = {}
        versions: list[ModelVersion | None] = [None, *published]
        try:
            for model in versions:
                again = None
                if model is not None:
                    again = await self._advanced(folds, branches, model)
                    if difference := await self._model_difference(model, again):
                        return _with(report, difference)
                    report = _plus(report, **{"model_versions" if again else "archived_versions": 1})
                made = by_version.of(model.model_version if model else 0)
                report = await self._decisions(report, made, again)
                if report.difference is not None:
                    return report
                progress("decisions", report.decisions + report.archived_decisions, total)
        finally:
            for fold in folds.values():
                fold.close()
        if left := await by_version.left():
            return _with(report, _not_here(left.decision_id, "model_version", left.model_version))
        return report

    async def _dangling(
        self, published: Sequence[ModelVersion], branches: Sequence[Branch]
    ) -> Difference | None:
        """What is said to serve is there: one live branch, each branch's newest version, a pinned one."""
        known = {model.model_version: model for model in published}
        if [branch.state for branch in branches].count("live") != 1:
            return Difference(target="branches", logged="not just one live branch", recomputed="one")
        for branch in branches:
            newest = known.get(branch.newest_version)
            through = branch.begins_after
            if newest and newest.branch == branch.branch:
                through = newest.trained_through_seq
            if branch.trained_through != through:
                return Difference(
                    target=f"branch {branch.branch}: trained_through",
                    logged=branch.trained_through, recomputed=through,
                )  # fmt: skip
        pinned = await models.pinned(self._connection, self._bandit_key)
        if pinned is not None and pinned not in known:
            return Difference(target="pinned model version", logged=pinned, recomputed="one that exists")
        return None

    async def _decisions(
        self, report: AuditReport, made: AsyncIterator[Kept], again: BranchFold | None
    ) -> AuditReport:
        """Make these decisions again with the model folded again; None: with that which they name."""
        ids = []
        archived = 0
        async for kept in made:
            if kept.decision is None:
                return _with(report, _unsealed(f"decision {kept.decision_id}"))
            serving = await self._serving(kept.decision, again)
            if serving is None:
                archived += 1
            elif difference := recompute.difference(serving, kept.decision):
                return _with(report, difference)
            ids.append(kept.decision_id)
        counted, unsealed = await reward_events.unsealed(self._connection, ids)
        if unsealed:
            return _with(report, _unsealed(f"reward event {unsealed[0][1]} of source {unsealed[0][0]}"))
        return _plus(
            report, decisions=len(ids) - archived, archived_decisions=archived, reward_events=counted
        )

    async def _advanced(
        self, folds: dict[int, BranchFold], branches: Sequence[Branch], model: ModelVersion
    ) -> BranchFold | None:
        """The branch of this version, folded from its beginning as far as the version says.

        Where that was archived, from the first version that what is left of the log allows; None: this is
        that one, or one before.
        """
        if model.branch not in folds:
            bandit = await self._served.bandit(model.config_version)
            branch = next(b for b in branches if b.branch == model.branch)
            branch = msgspec.structs.replace(branch, state="retired")  # it need not predict
            archived = await bandits.archived_through(self._connection, self._bandit_key)
            if branch.begins_after < archived:
                if branch.branch not in self._first:
                    first = await models.first_kept(self._connection, branch, archived)
                    self._first[branch.branch] = first
                if self._first[branch.branch] == model:
                    with suppress(ModelRefusedError):  # `_model_difference` says so
                        folds[model.branch] = await BranchFold.resume(
                            self._connection, self._configs, bandit, branch, model
                        )
                return None
            folds[model.branch] = await BranchFold.begin(self._connection, self._configs, bandit, branch)
        await folds[model.branch].advance(self._connection, self._configs, model.trained_through_seq)
        return folds[model.branch]

    async def _model_difference(self, model: ModelVersion, again: BranchFold | None) -> Difference | None:
        name = f"model {model.model_version}"
        policy = (await self._served.bandit(model.config_version)).config.policy
        if again is not None:
            try:
                found = vw.weights_sha256(again.fold.to_bytes(), policy)
            except ModelRefusedError as error:
                return _missing(name, error)
            if found != model.weights_sha256:
                return Difference(target=f"{name}: weights", logged=model.weights_sha256, recomputed=found)
            for field, recomputed in again.lineage().items():
                if (logged := getattr(model, field)) != recomputed:
                    return Difference(target=f"{name}: {field}", logged=logged, recomputed=recomputed)
        try:
            kept = await models.weights(self._connection, model)
        except ModelRefusedError:
            return None  # pruned; it was folded again just now, or what it is the fold of was archived
        try:
            vw.Model.from_bytes(kept, model.sha256, policy).close()
        except ModelRefusedError as error:
            return _missing(f"{name}: bytes", error)
        kept_weights = vw.weights_sha256(kept, policy)
        if kept_weights != model.weights_sha256:
            return Difference(target=f"{name}: bytes", logged=kept_weights, recomputed=model.weights_sha256)
        return None

    async def _serving(self, decision: Decision, again: BranchFold | None) -> Serving | None:
        if again is None:
            return await self._served.at(decision.config_version, decision.model_version)
        bandit = await self._served.bandit(decision.config_version)
        folded = again.fold.policy
        policy = VwPolicy(folded.model, bandit.config.policy.exploration, folded.learned)
        return Serving(bandit, policy, decision.model_version)


class _ByVersion:
    """Decisions that come in the order of their model versions, handed out version by version."""

    def __init__(self, every: AsyncIterator[Kept]) -> None:
        self._every = every
        self._next: Kept | None = None

    async def of(self, model_version: int) -> AsyncIterator[Kept]:
        """Those of this version."""
        while (found := await self._peek()) is not None and found.model_version == model_version:
            self._next = None
            yield found

    async def left(self) -> Kept | None:
        """One that belongs to none of the versions asked for."""
        return await self._peek()

    async def _peek(self) -> Kept | None:
        if self._next is None:
            self._next = await anext(self._every, None)
        return self._next


def _plus(report: AuditReport, **counts: int) -> AuditReport:
    return msgspec.structs.replace(
        report, **{name: getattr(report, name) + count for name, count in counts.items()}
    )


def _with(report: AuditReport, difference: Difference) -> AuditReport:
    return msgspec.structs.replace(report, difference=difference)


def _unsealed(target: str) -> Difference:
    return Difference(
        target=target, logged="changed or removed after it was written", recomputed="as its seal says"
    )


def _not_here(decision_id: str, field: str, version: int) -> Difference:
    return Difference(
        target=f"decision {decision_id}: {field}", logged=version, recomputed=recompute.NOT_HERE
    )


def _missing(target: str, error: Exception) -> Difference:
    return Difference(target=target, logged=str(error), recomputed=None)
