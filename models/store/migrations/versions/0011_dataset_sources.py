"""the files of datasets, how they were read, and warnings"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_NEW = ("source", "reading", "warnings")


def upgrade() -> None:
    for name in _NEW:
        op.add_column("datasets", sa.Column(name, sa.JSON(), nullable=True))


def downgrade() -> None:
    for name in reversed(_NEW):
        op.drop_column("datasets", name)
