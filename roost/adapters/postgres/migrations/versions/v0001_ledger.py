"""The ledger: inbox, onboardings, rollouts with their history, versions, quarantine, commands, outbox, leases."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES: Final = (
    """
    CREATE TABLE inbox (
        kind text NOT NULL,
        event_id text NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (kind, event_id))
    """,
    """
    CREATE TABLE onboardings (
        customer text PRIMARY KEY,
        model text NOT NULL,
        name text NOT NULL,
        stage text NOT NULL CHECK (stage IN ('signed_up', 'training', 'refused', 'leaving', 'gone')),
        event_id text NOT NULL,
        signed_up_at timestamptz NOT NULL,
        airflow_run_id text NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        next_attempt_at timestamptz,
        error text,
        reason text NOT NULL DEFAULT '',
        lease_until timestamptz)
    """,
    "CREATE INDEX onboardings_due ON onboardings (signed_up_at) WHERE stage IN ('signed_up', 'leaving')",
    # Counts every write to any rollout, so that "newest" needs no clock.
    "CREATE SEQUENCE rollout_changes",
    """
    CREATE TABLE rollouts (
        id text PRIMARY KEY,
        customer text NOT NULL,
        model text NOT NULL,
        pool text NOT NULL,
        phase text NOT NULL,
        run_id text NOT NULL,
        digest text NOT NULL,
        artifact_uri text NOT NULL,
        trained_at timestamptz NOT NULL,
        received_at timestamptz NOT NULL,
        entered_at timestamptz NOT NULL,
        deadline timestamptz,
        version bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
        previous_version bigint,
        verdict jsonb,
        load_generation bigint,
        flip_generation bigint,
        skew_ms double precision,
        approved_by text,
        reason text NOT NULL,
        wave_id text,
        facts jsonb NOT NULL DEFAULT '{}',
        revision bigint NOT NULL DEFAULT 0,
        changed bigint NOT NULL DEFAULT nextval('rollout_changes'),
        due_at timestamptz NOT NULL,
        lease_owner text,
        lease_until timestamptz,
        UNIQUE (customer, model, digest))
    """,
    # One rollout per served name between CANARY and LIVE: the phases of roost.contracts.rollout.EXCLUSIVE.
    """
    CREATE UNIQUE INDEX rollouts_one_at_a_time ON rollouts (customer, model)
    WHERE phase IN ('CANARY', 'AWAITING_APPROVAL', 'PROMOTING', 'LIVE', 'ROLLING_BACK', 'HALTED')
    """,
    """
    CREATE INDEX rollouts_open ON rollouts (phase, due_at, received_at)
    WHERE phase NOT IN ('SETTLED', 'REJECTED', 'SUPERSEDED', 'CANCELLED', 'ROLLED_BACK')
    """,
    "CREATE INDEX rollouts_by_name ON rollouts (customer, model, received_at DESC)",
    "CREATE INDEX rollouts_newest ON rollouts (received_at DESC)",
    "CREATE INDEX rollouts_by_run ON rollouts (run_id)",
    """
    CREATE TABLE transitions (
        rollout_id text NOT NULL REFERENCES rollouts (id),
        sequence integer NOT NULL CHECK (sequence > 0),
        before text,
        after text NOT NULL,
        at timestamptz NOT NULL,
        actor text NOT NULL,
        reason text NOT NULL,
        facts jsonb NOT NULL DEFAULT '{}',
        PRIMARY KEY (rollout_id, sequence))
    """,
    """
    CREATE TABLE served_versions (
        customer text NOT NULL,
        model text NOT NULL,
        last_version bigint NOT NULL CHECK (last_version > 0),
        PRIMARY KEY (customer, model))
    """,
    """
    CREATE TABLE version_allocations (
        rollout_id text PRIMARY KEY REFERENCES rollouts (id),
        customer text NOT NULL,
        model text NOT NULL,
        version bigint NOT NULL CHECK (version > 0),
        UNIQUE (customer, model, version))
    """,
    """
    CREATE TABLE quarantines (
        digest text PRIMARY KEY,
        customer text NOT NULL,
        model text NOT NULL,
        reason text NOT NULL,
        actor text NOT NULL,
        at timestamptz NOT NULL)
    """,
    """
    CREATE TABLE commands (
        sequence bigint GENERATED ALWAYS AS IDENTITY,
        event_id text PRIMARY KEY,
        command jsonb NOT NULL,
        received_at timestamptz NOT NULL,
        done_at timestamptz,
        outcome text)
    """,
    "CREATE UNIQUE INDEX commands_in_order ON commands (sequence)",
    "CREATE INDEX commands_open ON commands (sequence) WHERE done_at IS NULL",
    """
    CREATE TABLE freezes (
        scope text PRIMARY KEY,
        reason text NOT NULL,
        actor text NOT NULL,
        at timestamptz NOT NULL)
    """,
    """
    CREATE TABLE outbox (
        sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event_id text NOT NULL UNIQUE,
        topic text NOT NULL,
        type text NOT NULL,
        source text NOT NULL,
        subject text NOT NULL,
        happened_at timestamptz NOT NULL,
        traceparent text,
        data jsonb NOT NULL,
        published_at timestamptz)
    """,
    "CREATE INDEX outbox_unpublished ON outbox (sequence) WHERE published_at IS NULL",
    """
    CREATE TABLE leases (
        name text PRIMARY KEY,
        owner text NOT NULL,
        until timestamptz NOT NULL)
    """,
)

_APPEND_ONLY: Final = (
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER transitions_stay BEFORE UPDATE OR DELETE ON transitions
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER transitions_remain BEFORE TRUNCATE ON transitions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER version_allocations_stay BEFORE UPDATE OR DELETE ON version_allocations
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER version_allocations_remain BEFORE TRUNCATE ON version_allocations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    """Make the tables, and the triggers that keep history as it was written."""
    for statement in (*_TABLES, *_APPEND_ONLY):
        op.execute(statement)
