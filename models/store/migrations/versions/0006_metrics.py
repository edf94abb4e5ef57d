"""what monitoring counts"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_trials = sa.table("trials", sa.column("result", sa.JSON), sa.column("trainer", sa.String))
_jobs = sa.table("jobs", sa.column("created", sa.DateTime), sa.column("queued", sa.DateTime))


def upgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("queued", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("trials", schema=None) as batch_op:
        batch_op.add_column(sa.Column("trainer", sa.String(length=16), nullable=True))
        batch_op.create_index(
            "ix_trials_census", ["failure_kind", "trainer", "state", "seconds"], unique=False
        )
    with op.batch_alter_table("versions", schema=None) as batch_op:
        batch_op.create_index("ix_versions_ready", ["ready"], unique=False)
    op.execute(_jobs.update().values(queued=_jobs.c.created))
    op.execute(_trials.update().values(trainer=_trials.c.result["trainer"].as_string()))


def downgrade() -> None:
    with op.batch_alter_table("versions", schema=None) as batch_op:
        batch_op.drop_index("ix_versions_ready")
    with op.batch_alter_table("trials", schema=None) as batch_op:
        batch_op.drop_index("ix_trials_census")
        batch_op.drop_column("trainer")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("queued")
