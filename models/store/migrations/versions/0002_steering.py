"""results shared by jobs, and jobs that change while they run"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("changes", sa.Integer(), nullable=False, server_default=sa.text("0"))
    )
    op.add_column("trials", sa.Column("digest", sa.String(length=64), nullable=True))
    op.add_column("trials", sa.Column("reused_job", sa.String(length=64), nullable=True))
    # Not by batch operations, which would make the whole table anew.
    op.execute("ALTER TABLE trials RENAME COLUMN reused_from TO reused_trial")
    op.execute("UPDATE trials SET reused_job = job WHERE reused_trial IS NOT NULL")
    op.create_index("ix_trials_digest", "trials", ["digest"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_trials_digest", table_name="trials")
    op.execute("UPDATE trials SET reused_trial = NULL WHERE reused_job != job")
    op.execute("ALTER TABLE trials RENAME COLUMN reused_trial TO reused_from")
    op.drop_column("trials", "reused_job")
    op.drop_column("trials", "digest")
    op.drop_column("jobs", "changes")
