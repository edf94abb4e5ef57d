"""weights and shadow of aliases; a number that changes whenever other versions are to answer"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_WEIGHTS = ("aliases", "alias_history", "alias_moves")
_SHADOWS = ("aliases", "alias_moves")


def upgrade() -> None:
    for table in _WEIGHTS:
        op.add_column(table, sa.Column("weights", sa.JSON(), nullable=True))
    for table in _SHADOWS:
        op.add_column(table, sa.Column("shadow", sa.Integer(), nullable=True))
    op.create_table(
        "route_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_route_changes")),
    )
    op.execute("INSERT INTO route_changes (id, number) VALUES (1, 0)")


def downgrade() -> None:
    op.drop_table("route_changes")
    for table in _SHADOWS:
        op.drop_column(table, "shadow")
    for table in _WEIGHTS:
        op.drop_column(table, "weights")
