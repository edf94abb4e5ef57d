"""tags, descriptions and chosen winners of jobs; what trials break, and their several scores"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("description", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("chosen_trial", sa.Integer(), nullable=True))
    op.create_index("ix_jobs_model_created", "jobs", ["model", "created"])
    op.create_table(
        "job_tags",
        sa.Column("job", sa.String(64), nullable=False),
        sa.Column("tag", sa.String(64), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job"], ["jobs.id"], name=op.f("fk_job_tags_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job", "tag", name=op.f("pk_job_tags")),
    )
    op.create_index("ix_job_tags_tag", "job_tags", ["tag", "job"])
    op.add_column("trials", sa.Column("violation", sa.Float(), nullable=True, server_default="0"))
    op.add_column("trials", sa.Column("scores", sa.JSON(), nullable=True))
    op.drop_index("ix_trials_job_score", "trials")
    op.create_index("ix_trials_job_score", "trials", ["job", "violation", "score"])


def downgrade() -> None:
    op.drop_index("ix_trials_job_score", "trials")
    op.create_index("ix_trials_job_score", "trials", ["job", "score"])
    op.drop_column("trials", "scores")
    op.drop_column("trials", "violation")
    op.drop_table("job_tags")
    op.drop_index("ix_jobs_model_created", "jobs")
    op.drop_column("jobs", "chosen_trial")
    op.drop_column("jobs", "description")
