"""attempts of a job; no forecast of its own"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"))
        batch_op.drop_column("forecast")
        batch_op.drop_column("actual")


def downgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("actual", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("forecast", sa.JSON(), nullable=True))
        batch_op.drop_column("attempts")
