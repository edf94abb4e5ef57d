"""what trials break, their scores by several objectives, and winners that users choose"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("chosen_trial", sa.Integer(), nullable=True))
    op.add_column("trials", sa.Column("violation", sa.Float(), nullable=True, server_default="0"))
    op.add_column("trials", sa.Column("scores", sa.JSON(), nullable=True))
    op.drop_index("ix_trials_job_score", "trials")
    op.create_index("ix_trials_job_score", "trials", ["job", "violation", "score"])


def downgrade() -> None:
    op.drop_index("ix_trials_job_score", "trials")
    op.create_index("ix_trials_job_score", "trials", ["job", "score"])
    op.drop_column("trials", "scores")
    op.drop_column("trials", "violation")
    op.drop_column("jobs", "chosen_trial")
