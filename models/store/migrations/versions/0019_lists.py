"""indexes in the order of lists"""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_index("ix_jobs_created", "jobs", ["created", "id"])
    op.drop_index("ix_trials_job_score", "trials")
    op.create_index("ix_trials_job_score", "trials", ["job", "violation", "score", "number"])


def downgrade() -> None:
    op.drop_index("ix_trials_job_score", "trials")
    op.create_index("ix_trials_job_score", "trials", ["job", "violation", "score"])
    op.drop_index("ix_jobs_created", "jobs")
