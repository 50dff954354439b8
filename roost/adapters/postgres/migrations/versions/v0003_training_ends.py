"""Training runs are followed to their end: the stages TRAINED and FAILED."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the stages in, and keep rows whose run is looked at in the index of what is due."""
    op.execute("ALTER TABLE onboardings DROP CONSTRAINT onboardings_stage_check")
    op.execute(
        """
        ALTER TABLE onboardings ADD CONSTRAINT onboardings_stage_check CHECK
        (stage IN ('signed_up', 'training', 'trained', 'failed', 'refused', 'leaving', 'gone'))
        """
    )
    op.execute("DROP INDEX onboardings_due")
    op.execute(
        """
        CREATE INDEX onboardings_due ON onboardings (signed_up_at)
        WHERE stage IN ('signed_up', 'training', 'leaving')
        """
    )
