"""every move of an alias with who and why; models whose champion any job may replace"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_UNKNOWN = "It was moved before reasons were kept."


def upgrade() -> None:
    op.add_column("jobs", sa.Column("may_promote", sa.Boolean(), nullable=True))
    models, names = (
        sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
        for length in (128, 64)
    )
    op.create_table(
        "alias_moves",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", models, nullable=False),
        sa.Column("alias", names, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("previous", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("actor", sa.String(64), nullable=True),
        sa.Column("job", sa.String(64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alias_moves")),
    )
    op.create_index("ix_alias_moves_model", "alias_moves", ["model", "alias"])
    op.create_table(
        "model_settings",
        sa.Column("model", models, nullable=False),
        sa.Column("auto_promote", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_model_settings")),
    )
    op.execute(
        "INSERT INTO alias_moves (model, alias, created, previous, version, reason)"
        " SELECT model, alias, created,"
        " lag(version) OVER (PARTITION BY model, alias ORDER BY id), version,"
        f" '{_UNKNOWN}' FROM alias_history ORDER BY id"
    )


def downgrade() -> None:
    op.drop_table("model_settings")
    op.drop_table("alias_moves")
    op.drop_column("jobs", "may_promote")
