"""forecasts of jobs, and what became of them"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("forecast", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("actual", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "actual")
    op.drop_column("jobs", "forecast")
