"""names sorted alike on every database"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_NAMES = (
    ("versions", "model", 128),
    ("aliases", "model", 128),
    ("aliases", "alias", 64),
    ("alias_history", "model", 128),
    ("alias_history", "alias", 64),
)


def upgrade() -> None:
    _sort_by("C")


def downgrade() -> None:
    _sort_by("default")


def _sort_by(collation: str) -> None:
    if op.get_bind().dialect.name != "postgresql":
        return  # SQLite always sorts by code points
    for table, column, length in _NAMES:
        op.alter_column(table, column, type_=sa.String(length, collation=collation))
