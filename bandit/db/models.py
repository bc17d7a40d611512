"""Branches and the model versions on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from bandit.db.pool import CHANGED, Connection, notify
from bandit.db.seals import seal_of
from bandit.errors import ModelRefusedError, NotFoundError
from bandit.types import Branch, BranchState, Drift, ModelVersion, Value

_BRANCH = ", ".join(Branch.__struct_fields__)
_MODEL = ", ".join(ModelVersion.__struct_fields__)


class Served(Value, frozen=True, kw_only=True):
    """What a process that serves a bandit must hold; two that are equal serve alike."""

    config_version: int
    #: 0: nothing was learned yet.
    model_version: int
    #: Whether that version serves until something is promoted.
    pinned: bool
    archived: bool


# --- branches --------------------------------------------------------------------------------------------


async def insert_branch(connection: Connection, branch: Branch) -> None:
    """Keep a new branch; its number comes from `next_branch`."""
    row = msgspec.structs.asdict(branch)
    await connection.copy_records_to_table("model_branches", columns=list(row), records=[tuple(row.values())])


async def next_branch(connection: Connection, bandit_key: str) -> int:
    """The number of the next branch of a bandit that was read with `lock=True`."""
    newest = await connection.fetchval(
        "SELECT max(branch) FROM model_branches WHERE bandit_key = $1", bandit_key
    )
    return int(newest or 0) + 1


async def branches(connection: Connection, bandit_key: str) -> list[Branch]:
    """All branches of the bandit, oldest first."""
    rows = await connection.fetch(
        f"SELECT {_BRANCH} FROM model_branches WHERE bandit_key = $1 ORDER BY branch",  # noqa: S608 our own column names
        bandit_key,
    )
    return [Branch(**row) for row in rows]


async def set_state(
    connection: Connection,
    branch: Branch,
    state: BranchState,
    reason: str,
    *,
    live_since_config: int | None = None,
    replaced: int | None = None,
) -> None:
    """Give the branch another state."""
    await connection.execute(
        """UPDATE model_branches SET state = $3, reason = $4, live_since_config = $5, replaced = $6,
                  changed_at = now()
           WHERE bandit_key = $1 AND branch = $2""",
        branch.bandit_key,
        branch.branch,
        state,
        reason,
        live_since_config,
        replaced,
    )


async def move_to_config(connection: Connection, branch: Branch, config_version: int) -> None:
    """Say that the branch goes on under another configuration, under which it learns the same."""
    await connection.execute(
        "UPDATE model_branches SET config_version = $3 WHERE bandit_key = $1 AND branch = $2",
        branch.bandit_key,
        branch.branch,
        config_version,
    )


async def pin(connection: Connection, bandit_key: str, model_version: int | None) -> None:
    """Serve exactly this version until further notice; None: the newest of the live branch."""
    await connection.execute(
        "UPDATE bandits SET pinned_model_version = $2 WHERE bandit_key = $1", bandit_key, model_version
    )


async def pinned(connection: Connection, bandit_key: str) -> int | None:
    """The version that is served until further notice."""
    version: int | None = await connection.fetchval(
        "SELECT pinned_model_version FROM bandits WHERE bandit_key = $1", bandit_key
    )
    return version


async def comparisons(connection: Connection, bandit_key: str) -> dict[int, bytes]:
    """For each branch that was compared: the state of its comparison, as JSON."""
    rows = await connection.fetch(
        "SELECT branch, comparison FROM model_branches WHERE bandit_key = $1 AND comparison IS NOT NULL",
        bandit_key,
    )
    return {row["branch"]: row["comparison"].encode() for row in rows}


async def forget_comparison(connection: Connection, branch: Branch) -> None:
    """Begin anew with all that is counted of the branch: its comparison, and its readiness."""
    place = (branch.bandit_key, branch.branch)
    await connection.execute(
        """UPDATE model_branches SET comparison = NULL, readiness = NULL
           WHERE bandit_key = $1 AND branch = $2""",
        *place,
    )
    await connection.execute("DELETE FROM predictions WHERE bandit_key = $1 AND branch = $2", *place)
    await connection.execute("DELETE FROM rehearsals WHERE bandit_key = $1 AND branch = $2", *place)


async def save_comparison(connection: Connection, branch: Branch, state: bytes) -> None:
    """Keep the state of the branch's comparison."""
    await connection.execute(
        "UPDATE model_branches SET comparison = $3 WHERE bandit_key = $1 AND branch = $2",
        branch.bandit_key,
        branch.branch,
        state.decode(),
    )


class Prediction(Value, frozen=True, kw_only=True):
    """What a branch would have done where something else was served, and what came of that."""

    decision_id: str
    #: The configuration since which the branch is live that it is compared with.
    since_config: int
    due_at: datetime
    #: Its probability of what was served / the logged one; and the largest such ratio of any action offered.
    weight: float
    scaled_reward: float
    largest: float


async def keep_predictions(connection: Connection, branch: Branch, predictions: Sequence[Prediction]) -> None:
    """Keep predictions until they are counted."""
    names = ["bandit_key", "branch", *Prediction.__struct_fields__]
    place = (branch.bandit_key, branch.branch)
    await connection.copy_records_to_table(
        "predictions", columns=names, records=[(*place, *msgspec.structs.astuple(one)) for one in predictions]
    )


async def take_predictions(
    connection: Connection, branch: Branch, since_config: int, until: datetime
) -> list[Prediction]:
    """The predictions due before `until`, by that time; those against another branch are dropped."""
    rows = await connection.fetch(
        f"""DELETE FROM predictions WHERE bandit_key = $1 AND branch = $2
            AND (due_at < $4 OR since_config <> $3) RETURNING {", ".join(Prediction.__struct_fields__)}""",  # noqa: S608 our own column names
        branch.bandit_key,
        branch.branch,
        since_config,
        until,
    )
    found = [Prediction(**row) for row in rows]
    return sorted(
        (one for one in found if one.since_config == since_config),
        key=lambda one: (one.due_at, one.decision_id),
    )


async def inherit_revisions(connection: Connection, of: Branch, heir: Branch) -> None:
    """Let a new branch learn the rewards that another one learned."""
    await connection.execute(
        """INSERT INTO reward_revisions (bandit_key, branch, seq, reward)
           SELECT bandit_key, $3, seq, reward FROM reward_revisions WHERE bandit_key = $1 AND branch = $2""",
        of.bandit_key,
        of.branch,
        heir.branch,
    )


async def revise(connection: Connection, branch: Branch, rewards: Sequence[tuple[int, float]]) -> None:
    """Let the branch learn other rewards than were settled at these places of the training log."""
    await connection.execute(
        """INSERT INTO reward_revisions (bandit_key, branch, seq, reward)
           SELECT $1, $2, * FROM unnest($3::bigint[], $4::float8[])
           ON CONFLICT (bandit_key, branch, seq) DO UPDATE SET reward = excluded.reward""",
        branch.bandit_key,
        branch.branch,
        [seq for seq, _ in rewards],
        [reward for _, reward in rewards],
    )


# --- versions --------------------------------------------------------------------------------------------


async def next_version(connection: Connection, bandit_key: str) -> int:
    """The number of the bandit's next model version; nobody else gets one until the transaction ends."""
    number = await connection.fetchval(
        """UPDATE bandits SET newest_model_version = newest_model_version + 1 WHERE bandit_key = $1
           RETURNING newest_model_version""",
        bandit_key,
    )
    return int(number)


async def publish(
    connection: Connection, model: ModelVersion, weights: bytes, oldest_ready_at: datetime | None
) -> None:
    """Write the newest version of a branch and, when the transaction commits, tell every process.

    `oldest_ready_at`: since when the oldest reward that no version learned before could have been settled.
    """
    row = msgspec.structs.asdict(model)
    row |= {"drifts": msgspec.json.encode(model.drifts).decode()}
    row |= {"weights": weights, "seal": _seal(model), "oldest_ready_at": oldest_ready_at}
    await connection.copy_records_to_table("model_versions", columns=list(row), records=[tuple(row.values())])
    await connection.execute(
        """UPDATE model_branches SET newest_version = $3, trained_through = $4
           WHERE bandit_key = $1 AND branch = $2""",
        model.bandit_key,
        model.branch,
        model.model_version,
        model.trained_through_seq,
    )
    await notify(connection, CHANGED, model.bandit_key)


async def lineage(connection: Connection, bandit_key: str, model_version: int) -> ModelVersion:
    """What one model version was learned from.

    Raises:
        NotFoundError: no such version.
    """
    row = await connection.fetchrow(
        f"SELECT {_MODEL} FROM model_versions WHERE bandit_key = $1 AND model_version = $2",  # noqa: S608 our own column names
        bandit_key,
        model_version,
    )
    if row is None:
        raise NotFoundError(
            f"model_version: expected a version of bandit {bandit_key!r}, got {model_version}.",
            target="model_version",
        )
    return _model(row)


async def versions(
    connection: Connection, bandit_key: str, *, before: int | None = None, limit: int | None = None
) -> list[tuple[ModelVersion, bool]]:
    """Versions under `before`, newest first, and whether the bytes of each are kept."""
    rows = await connection.fetch(
        f"""SELECT {_MODEL}, weights IS NOT NULL AS kept FROM model_versions
            WHERE bandit_key = $1 AND ($2::int IS NULL OR model_version < $2)
            ORDER BY model_version DESC LIMIT $3""",  # noqa: S608 our own column names
        bandit_key,
        before,
        limit,
    )
    return [(_model(row), row["kept"]) for row in rows]


async def unsealed(connection: Connection, bandit_key: str) -> list[int]:
    """Those model versions of the bandit whose lineage is not as it was written."""
    rows = await connection.fetch(
        f"SELECT {_MODEL}, seal FROM model_versions WHERE bandit_key = $1 ORDER BY model_version",  # noqa: S608 our own column names
        bandit_key,
    )
    return [row["model_version"] for row in rows if _seal(_model(row)) != row["seal"]]


def _seal(model: ModelVersion) -> int:
    """Without `sha256`: bytes that were pruned and folded again differ in what does not count."""
    return seal_of(*(getattr(model, name) for name in ModelVersion.__struct_fields__ if name != "sha256"))


async def on_branch(connection: Connection, branch: Branch, through: int) -> ModelVersion | None:
    """The version of the branch that has learned just the first `through` events; None if there is none."""
    row = await connection.fetchrow(
        f"""SELECT {_MODEL} FROM model_versions
            WHERE bandit_key = $1 AND branch = $2 AND trained_through_seq = $3
            ORDER BY model_version DESC LIMIT 1""",  # noqa: S608 our own column names
        branch.bandit_key,
        branch.branch,
        through,
    )
    return _model(row) if row else None


async def nearest_kept(connection: Connection, branch: Branch, upto: int) -> ModelVersion | None:
    """The last version of the branch, up to this one, whose bytes are kept; None if there is none."""
    row = await connection.fetchrow(
        f"""SELECT {_MODEL} FROM model_versions
            WHERE bandit_key = $1 AND branch = $2 AND model_version <= $3 AND weights IS NOT NULL
            ORDER BY model_version DESC LIMIT 1""",  # noqa: S608 our own column names
        branch.bandit_key,
        branch.branch,
        upto,
    )
    return _model(row) if row else None


async def first_kept(connection: Connection, branch: Branch, resumes_after: int) -> ModelVersion | None:
    """The first version of the branch whose bytes are kept and that needs no earlier line of the log than
    those after this place to go on; None if there is none."""
    row = await connection.fetchrow(
        f"""SELECT {_MODEL} FROM model_versions
            WHERE bandit_key = $1 AND branch = $2 AND resumes_after >= $3 AND weights IS NOT NULL
            ORDER BY model_version LIMIT 1""",  # noqa: S608 our own column names
        branch.bandit_key,
        branch.branch,
        resumes_after,
    )
    return _model(row) if row else None


async def is_kept(connection: Connection, model: ModelVersion) -> bool:
    """Whether the bytes of the version are kept."""
    kept: bool = await connection.fetchval(
        "SELECT weights IS NOT NULL FROM model_versions WHERE bandit_key = $1 AND model_version = $2",
        model.bandit_key,
        model.model_version,
    )
    return kept


async def weights(connection: Connection, model: ModelVersion) -> bytes:
    """The bytes of one model version.

    Raises:
        ModelRefusedError: they are not kept.
    """
    data: bytes | None = await connection.fetchval(
        "SELECT weights FROM model_versions WHERE bandit_key = $1 AND model_version = $2",
        model.bandit_key,
        model.model_version,
    )
    if data is None:
        raise ModelRefusedError(
            f"expected the bytes of model {model.model_version} of {model.bandit_key!r}, got none: only "
            "those of the newest versions are kept. Rebuild it from the log."
        )
    return data


async def oldest_ready(connection: Connection, bandit_key: str, after: int, through: int) -> datetime | None:
    """Since when the oldest reward could have been settled that was first learned by a version in
    (after, through]; None where these learned none first."""
    found: datetime | None = await connection.fetchval(
        """SELECT min(oldest_ready_at) FROM model_versions
           WHERE bandit_key = $1 AND model_version > $2 AND model_version <= $3""",
        bandit_key,
        after,
        through,
    )
    return found


async def restore(connection: Connection, model: ModelVersion, weights: bytes, sha256: str) -> None:
    """Keep the bytes of a version again, which were pruned."""
    await connection.execute(
        """UPDATE model_versions SET weights = $3, sha256 = $4
           WHERE bandit_key = $1 AND model_version = $2 AND weights IS NULL""",
        model.bandit_key,
        model.model_version,
        weights,
        sha256,
    )


async def prune(connection: Connection, *, keep: int, every: int) -> None:
    """Drop the bytes, never the lineage, of versions that are neither among the newest `keep` of their bandit
    nor the newest of a branch nor served nor one in `every`, from which the others are folded again; nor the
    first of a branch from which these can be folded, where the beginning of its log was archived."""
    await connection.execute(
        """WITH first AS MATERIALIZED (
               SELECT k.bandit_key, min(k.model_version) AS model_version
               FROM model_branches r JOIN bandits b USING (bandit_key)
               JOIN model_versions k ON (k.bandit_key, k.branch) = (r.bandit_key, r.branch)
               WHERE r.begins_after < b.archived_through AND k.resumes_after >= b.archived_through
                 AND k.weights IS NOT NULL
               GROUP BY k.bandit_key, k.branch)
           UPDATE model_versions m SET weights = NULL
           FROM bandits b
           WHERE m.bandit_key = b.bandit_key AND m.weights IS NOT NULL
             AND m.model_version <= b.newest_model_version - $1
             AND m.model_version % $2 <> 0
             AND m.model_version IS DISTINCT FROM b.pinned_model_version
             AND NOT EXISTS (SELECT FROM model_branches r WHERE r.bandit_key = m.bandit_key
                             AND r.newest_version = m.model_version)
             AND NOT EXISTS (SELECT FROM first f WHERE f.bandit_key = m.bandit_key
                             AND f.model_version = m.model_version)""",
        keep,
        every,
    )


# --- what serves -----------------------------------------------------------------------------------------

_SERVED = """
    SELECT b.bandit_key, b.config_version, b.archived_at IS NOT NULL AS archived,
           b.pinned_model_version IS NOT NULL AS pinned,
           coalesce(b.pinned_model_version, r.newest_version, 0) AS model_version
    FROM bandits b LEFT JOIN model_branches r ON r.bandit_key = b.bandit_key AND r.state = 'live'
"""


async def served(connection: Connection, bandit_keys: Sequence[str]) -> dict[str, Served]:
    """For each of these bandits: what is to be served now."""
    rows = await connection.fetch(_SERVED + " WHERE b.bandit_key = ANY($1::text[])", list(bandit_keys))
    return {
        row["bandit_key"]: Served(**{name: row[name] for name in Served.__struct_fields__}) for row in rows
    }


async def outdated(connection: Connection, held: Mapping[str, Served]) -> list[str]:
    """Keys of those bandits of which something else is to be served than what is held."""
    names = Served.__struct_fields__
    rows = await connection.fetch(
        f"""SELECT bandit_key FROM ({_SERVED}) AS now
            JOIN unnest($1::text[], $2::int[], $3::int[], $4::bool[], $5::bool[])
                AS held (bandit_key, {", ".join(names)}) USING (bandit_key)
            WHERE ({", ".join(f"now.{n}" for n in names)}) <> ({", ".join(f"held.{n}" for n in names)})""",  # noqa: S608 our own column names
        list(held),
        *([getattr(one, name) for one in held.values()] for name in names),
    )
    return [row["bandit_key"] for row in rows]


def begun(
    bandit_key: str,
    branch: int,
    state: BranchState,
    config_version: int,
    reason: str,
    *,
    begins_after: int = 0,
    beside: int | None = None,
    held_out_after: int = 0,
    without_subjects: Sequence[str] = (),
) -> Branch:
    """A branch that has learned nothing yet."""
    now = datetime.now(UTC)
    return Branch(
        bandit_key=bandit_key,
        branch=branch,
        state=state,
        config_version=config_version,
        newest_version=0,
        begins_after=begins_after,
        trained_through=begins_after,
        beside=beside,
        held_out_after=held_out_after,
        live_since_config=config_version if state == "live" else None,
        replaced=None,
        without_subjects=list(without_subjects),
        reason=reason,
        created_at=now,
        changed_at=now,
    )


def _model(row: Any) -> ModelVersion:
    fields = {name: row[name] for name in ModelVersion.__struct_fields__}
    fields["drifts"] = msgspec.json.decode(fields["drifts"], type=list[Drift])
    return ModelVersion(**fields)
