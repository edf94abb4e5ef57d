"""figures of predictions, feedback, and the settings of a model's log and guard"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_COUNTS = ("requests", "rows", "refused", "failed", "logged", "dropped")


def upgrade() -> None:
    models = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
    op.create_table(
        "prediction_figures",
        sa.Column("model", models, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("process", sa.String(32), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.Column("latency", sa.JSON(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint(
            "model", "version", "minute", "process", name=op.f("pk_prediction_figures")
        ),
    )
    op.create_index("ix_prediction_figures_minute", "prediction_figures", ["minute"])
    op.create_table(
        "feedback",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", models, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("prediction_id", sa.String(64), nullable=True),
        sa.Column("received", sa.DateTime(timezone=True), nullable=False),
        sa.Column("truth", sa.JSON(), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
        sa.UniqueConstraint("model", "prediction_id", name=op.f("uq_feedback_model")),
    )
    op.create_index("ix_feedback_model", "feedback", ["model", "version", "received"])
    op.create_index("ix_feedback_received", "feedback", ["received"])
    for name in ("prediction_log", "rollback_when"):
        op.add_column("model_settings", sa.Column(name, sa.JSON(), nullable=True))


def downgrade() -> None:
    for name in ("rollback_when", "prediction_log"):
        op.drop_column("model_settings", name)
    op.drop_table("feedback")
    op.drop_table("prediction_figures")
