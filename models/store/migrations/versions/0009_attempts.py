"""attempts of a job; no forecast of its own"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"))
    op.drop_column("jobs", "forecast")
    op.drop_column("jobs", "actual")


def downgrade() -> None:
    op.add_column("jobs", sa.Column("actual", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("forecast", sa.JSON(), nullable=True))
    op.drop_column("jobs", "attempts")
