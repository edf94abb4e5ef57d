"""warnings and columns of a job's data"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("data_notes", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "data_notes")
