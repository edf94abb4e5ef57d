"""claims of a job, and what it waits for"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("claims", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("taken_from", sa.String(64), nullable=True))
    op.add_column("jobs", sa.Column("waiting_for", sa.Text(), nullable=True))


def downgrade() -> None:
    for name in ("waiting_for", "taken_from", "claims"):
        op.drop_column("jobs", name)
