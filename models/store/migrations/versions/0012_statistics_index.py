"""the index of statistics by its present name"""

from alembic import op

revision = "0012"
down_revision = "0011"

_COLUMNS = ["failure_kind", "trainer", "state", "seconds"]


def upgrade() -> None:
    op.drop_index("ix_trials_census", "trials")
    op.create_index("ix_trials_statistics", "trials", _COLUMNS)


def downgrade() -> None:
    op.drop_index("ix_trials_statistics", "trials")
    op.create_index("ix_trials_census", "trials", _COLUMNS)
