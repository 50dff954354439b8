"""When a customer left, kept after they came back: what answered before that never answers again."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `onboardings.left_at`, and fill it where the offboarding is the newest event that the row names."""
    op.execute("ALTER TABLE onboardings ADD COLUMN left_at timestamptz")
    op.execute(
        """
        UPDATE onboardings o SET left_at = i.received_at FROM inbox i
        WHERE o.stage IN ('leaving', 'gone') AND i.kind = 'customers' AND i.event_id = o.event_id
        """
    )
