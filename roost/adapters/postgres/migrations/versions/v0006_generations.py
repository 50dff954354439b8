"""Which generation of a pool the ledger knows of, so that one of before is noticed; who waits for an answer, by index.

Expands only: processes of before write neither, and go on beside new ones.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_STATEMENTS: Final = (
    """
    CREATE TABLE pool_generations (
        pool text PRIMARY KEY,
        generation bigint NOT NULL CHECK (generation >= 0),
        at timestamptz NOT NULL DEFAULT now())
    """,
    # The signup that was found answered. A signup that comes later, written by whatever version, is another instant.
    "ALTER TABLE onboardings ADD COLUMN answered_for timestamptz",
    # When the followed run failed: the late event of a run from before it says nothing of it.
    "ALTER TABLE onboardings ADD COLUMN failed_at timestamptz",
    """
    CREATE INDEX onboardings_unanswered ON onboardings (signed_up_at)
    WHERE stage IN ('signed_up', 'training', 'trained') AND answered_for IS DISTINCT FROM signed_up_at
    """,
)


def upgrade() -> None:
    """A table, two columns that may be NULL, and an index."""
    for statement in _STATEMENTS:
        op.execute(statement)
