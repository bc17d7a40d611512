"""Bandits, decisions, rewards, the training log, branches and models.

Revision ID: 0001_steered
"""

from alembic import op

revision = "0001_steered"
down_revision = None

_TABLES = (
    """
    CREATE TABLE bandits (
        bandit_key            text PRIMARY KEY,
        config_version        int NOT NULL,
        newest_model_version  int NOT NULL DEFAULT 0,
        pinned_model_version  int,
        archived_through      bigint NOT NULL DEFAULT 0,
        salt                  text NOT NULL,
        created_at            timestamptz NOT NULL,
        archived_at           timestamptz
    )
    """,
    """
    CREATE TABLE bandit_configs (
        bandit_key      text NOT NULL REFERENCES bandits,
        config_version  int NOT NULL,
        seal            bigint NOT NULL,
        config          json NOT NULL,
        terminal_kinds  text[] NOT NULL,
        created_at      timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (bandit_key, config_version)
    )
    """,
    # json, not jsonb: the text is kept as it came, so features are encoded in the same order when recomputed.
    """
    CREATE TABLE decisions (
        decision_id       text NOT NULL,
        decided_at        timestamptz NOT NULL,
        activated_at      timestamptz,
        draw              float8 NOT NULL,
        seal              bigint NOT NULL,
        model_version     int NOT NULL,
        config_version    int NOT NULL,
        chosen            smallint NOT NULL,
        deferred          boolean NOT NULL,
        bandit_key        text NOT NULL,
        mode              text NOT NULL,
        subject           text,
        context           json NOT NULL,
        actions           json,
        excluded_actions  text[] NOT NULL,
        logged_choice     json,
        positions         smallint[],
        pmf               float8[] NOT NULL,
        unboosted         float8[],
        seen              json,
        PRIMARY KEY (decision_id, decided_at)
    ) PARTITION BY RANGE (decided_at)
    """,
    # By which an archiver sees, in no time, whether somebody activated a decision of an old day just now.
    "CREATE INDEX decisions_activated ON decisions (activated_at) WHERE activated_at IS NOT NULL",
    # Where no partition was made in time: nothing may be lost.
    "CREATE TABLE decisions_default PARTITION OF decisions DEFAULT",
    """
    CREATE TABLE decision_claims (
        decision_id  text PRIMARY KEY,
        decided_at   timestamptz NOT NULL
    )
    """,
    # What subjects were shown lately; only of bandits that limit it.
    """
    CREATE TABLE exposures (
        exposure    bigint GENERATED ALWAYS AS IDENTITY,
        bandit_key  text NOT NULL,
        subject     text NOT NULL,
        shown_at    timestamptz NOT NULL,
        action_id   text NOT NULL,
        segment     text,
        PRIMARY KEY (subject, bandit_key, shown_at, exposure)
    )
    """,
    # By which the old ones are found, for a few bytes.
    "CREATE INDEX exposures_by_time ON exposures USING brin (shown_at) WITH (autosummarize = on)",
    """
    CREATE TABLE unsettled (
        decision_id  text PRIMARY KEY,
        decided_at   timestamptz NOT NULL,
        due_at       timestamptz NOT NULL,
        bandit_key   text NOT NULL
    )
    """,
    "CREATE INDEX unsettled_by_due ON unsettled (bandit_key, due_at)",
    """
    CREATE TABLE reward_events (
        source       text NOT NULL,
        event_id     text NOT NULL,
        decision_id  text NOT NULL,
        kind         text NOT NULL,
        value        float8 NOT NULL,
        corrects     text,
        seal         bigint NOT NULL,
        occurred_at  timestamptz NOT NULL,
        received_at  timestamptz NOT NULL,
        PRIMARY KEY (source, event_id)
    )
    """,
    "CREATE INDEX reward_events_by_decision ON reward_events (decision_id)",
    """
    CREATE TABLE reward_signals (
        source        text NOT NULL,
        event_id      text NOT NULL,
        decision_id   text NOT NULL,
        kind          text NOT NULL,
        signalled_at  timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (source, event_id)
    )
    """,
    "CREATE INDEX reward_signals_by_decision ON reward_signals (decision_id)",
    "CREATE INDEX reward_signals_by_time ON reward_signals (signalled_at)",
    """
    CREATE TABLE training_log (
        bandit_key      text NOT NULL REFERENCES bandits,
        seq             bigint NOT NULL,
        decision_id     text NOT NULL UNIQUE,
        decided_at      timestamptz NOT NULL,
        due_at          timestamptz NOT NULL,
        reward          float8 NOT NULL,
        seal            bigint NOT NULL,
        events          int NOT NULL,
        config_version  int NOT NULL,
        settled_at      timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (bandit_key, seq)
    )
    """,
    """
    CREATE TABLE model_branches (
        bandit_key         text NOT NULL REFERENCES bandits,
        branch             int NOT NULL,
        state              text NOT NULL CHECK (state IN ('live', 'candidate', 'retired')),
        config_version     int NOT NULL,
        newest_version     int NOT NULL DEFAULT 0,
        begins_after       bigint NOT NULL DEFAULT 0,
        trained_through    bigint NOT NULL DEFAULT 0,
        beside             int,
        held_out_after     bigint NOT NULL DEFAULT 0,
        live_since_config  int,
        replaced           int,
        without_subjects   text[] NOT NULL DEFAULT '{}',
        comparison         json,
        readiness          json,
        reason             text NOT NULL,
        created_at         timestamptz NOT NULL DEFAULT now(),
        changed_at         timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (bandit_key, branch)
    )
    """,
    "CREATE UNIQUE INDEX model_branches_live ON model_branches (bandit_key) WHERE state = 'live'",
    "CREATE UNIQUE INDEX model_branches_candidate ON model_branches (bandit_key) WHERE state = 'candidate'",
    """
    CREATE TABLE reward_revisions (
        bandit_key  text NOT NULL,
        branch      int NOT NULL,
        seq         bigint NOT NULL,
        reward      float8 NOT NULL,
        PRIMARY KEY (bandit_key, branch, seq),
        FOREIGN KEY (bandit_key, branch) REFERENCES model_branches
    )
    """,
    """
    CREATE TABLE predictions (
        bandit_key     text NOT NULL,
        branch         int NOT NULL,
        decision_id    text NOT NULL,
        since_config   int NOT NULL,
        due_at         timestamptz NOT NULL,
        weight         float8 NOT NULL,
        scaled_reward  float8 NOT NULL,
        largest        float8 NOT NULL,
        PRIMARY KEY (bandit_key, branch, decision_id),
        FOREIGN KEY (bandit_key, branch) REFERENCES model_branches
    )
    """,
    "CREATE INDEX predictions_by_due ON predictions (bandit_key, branch, due_at)",
    """
    CREATE TABLE rehearsals (
        bandit_key     text NOT NULL,
        branch         int NOT NULL,
        decision_id    text NOT NULL,
        since_config   int NOT NULL,
        due_at         timestamptz NOT NULL,
        agreement      float8 NOT NULL,
        matches        boolean NOT NULL,
        scaled_reward  float8 NOT NULL,
        PRIMARY KEY (bandit_key, branch, decision_id),
        FOREIGN KEY (bandit_key, branch) REFERENCES model_branches
    )
    """,
    "CREATE INDEX rehearsals_by_due ON rehearsals (bandit_key, branch, due_at)",
    """
    CREATE TABLE model_versions (
        bandit_key           text NOT NULL,
        model_version        int NOT NULL,
        branch               int NOT NULL,
        parent               int,
        config_version       int NOT NULL,
        begins_after         bigint NOT NULL,
        trained_through_seq  bigint NOT NULL,
        resumes_after        bigint NOT NULL,
        learned              bigint NOT NULL,
        drifts               text NOT NULL,
        detector             text NOT NULL,
        sha256               text NOT NULL,
        weights_sha256       text NOT NULL,
        vw_version           text NOT NULL,
        vw_arguments         text NOT NULL,
        oldest_ready_at      timestamptz,
        seal                 bigint NOT NULL,
        weights              bytea,
        created_at           timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (bandit_key, model_version),
        FOREIGN KEY (bandit_key, branch) REFERENCES model_branches
    )
    """,
    "CREATE INDEX model_versions_by_branch ON model_versions (bandit_key, branch, model_version)",
    # Who changed what and why; only ever added to.
    """
    CREATE TABLE audit_log (
        entry           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        bandit_key      text NOT NULL REFERENCES bandits,
        changed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
        who             text NOT NULL,
        what            text NOT NULL,
        why             text NOT NULL,
        config_version  int NOT NULL,
        details         json NOT NULL
    )
    """,
    "CREATE INDEX audit_log_by_bandit ON audit_log (bandit_key, entry)",
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '% is only ever added to', TG_TABLE_NAME; END $$
    """,
    "CREATE TRIGGER audit_log_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log"
    " EXECUTE FUNCTION refuse_change()",
    # What owners should look at: raised, and cleared once it is over.
    """
    CREATE TABLE alerts (
        alert       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        bandit_key  text NOT NULL REFERENCES bandits,
        kind        text NOT NULL,
        target      text NOT NULL,
        value       float8 NOT NULL,
        bound       float8 NOT NULL,
        seq         bigint NOT NULL,
        raised_at   timestamptz NOT NULL DEFAULT now(),
        cleared_at  timestamptz
    )
    """,
    "CREATE UNIQUE INDEX alerts_open ON alerts (bandit_key, kind, target) WHERE cleared_at IS NULL",
    "CREATE INDEX alerts_by_bandit ON alerts (bandit_key, alert)",
    # Of what was settled, as much as is needed to see that an action's or segment's share falls, and by which
    # configuration that was judged last.
    """
    CREATE TABLE share_tallies (
        bandit_key      text PRIMARY KEY REFERENCES bandits,
        config_version  integer NOT NULL,
        state           json NOT NULL
    )
    """,
    # What was taken out of the database and stands in files now.
    """
    CREATE TABLE archived_days (
        day            date NOT NULL,
        part           int NOT NULL,
        folder         text NOT NULL,
        decisions      bigint NOT NULL,
        training_log   bigint NOT NULL,
        reward_events  bigint NOT NULL,
        archived_at    timestamptz NOT NULL DEFAULT now(),
        deleted        boolean NOT NULL DEFAULT false,
        PRIMARY KEY (day, part)
    )
    """,
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "share_tallies alerts audit_log archived_days model_versions rehearsals predictions reward_revisions "
        "model_branches training_log reward_signals reward_events unsettled exposures decision_claims "
        "decisions bandit_configs bandits"
    ).split():
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION refuse_change")
