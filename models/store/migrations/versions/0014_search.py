"""tags and descriptions of jobs"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("description", sa.Text(), nullable=True))
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


def downgrade() -> None:
    op.drop_table("job_tags")
    op.drop_index("ix_jobs_model_created", "jobs")
    op.drop_column("jobs", "description")
