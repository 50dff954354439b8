"""Where a row's work belongs: the trace context of the event that brought it. NULL where there was none.

Nothing reads it but traces, and processes of before write rows without it: they go on beside new ones.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column that may be NULL has no default to fill in: the tables are locked for a moment only."""
    for table in ("onboardings", "rollouts", "commands"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN traceparent text")
