"""progress by an index alone"""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    with op.batch_alter_table("trials", schema=None) as batch_op:
        batch_op.drop_index("ix_trials_job_state")
        batch_op.create_index("ix_trials_job_state", ["job", "state", "seconds"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("trials", schema=None) as batch_op:
        batch_op.drop_index("ix_trials_job_state")
        batch_op.create_index("ix_trials_job_state", ["job", "state"], unique=False)
