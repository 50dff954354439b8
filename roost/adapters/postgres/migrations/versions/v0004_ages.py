"""What is done with is found by its age, to be taken away."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One index a table."""
    op.execute("CREATE INDEX inbox_by_age ON inbox (received_at)")
    op.execute("CREATE INDEX outbox_by_age ON outbox (happened_at) WHERE published_at IS NOT NULL")
    op.execute("CREATE INDEX commands_by_age ON commands (done_at) WHERE done_at IS NOT NULL")
