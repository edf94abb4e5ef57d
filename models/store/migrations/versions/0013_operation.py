"""claims of a job and what it waits for; who changed what; sizes, and what is to be removed"""

import json
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_SIZED = ("datasets", "jobs", "versions")
_ENDED = "('succeeded', 'failed', 'cancelled')"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("claims", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("taken_from", sa.String(64), nullable=True))
    op.add_column("jobs", sa.Column("waiting_for", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("created_by", sa.String(64), nullable=True))
    op.add_column("versions", sa.Column("created_by", sa.String(64), nullable=True))
    _create_audit()
    _create_idempotency_keys()
    op.add_column("datasets", sa.Column("bytes", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("bytes", sa.BigInteger(), nullable=True))
    op.add_column(
        "versions", sa.Column("bytes", sa.BigInteger(), nullable=False, server_default="0")
    )
    for table in _SIZED:
        op.create_index(f"ix_{table}_bytes", table, ["bytes"])
    names = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
    op.create_table(
        "version_numbers",
        sa.Column("model", names, nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_version_numbers")),
    )
    op.create_table(
        "removals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removals")),
    )
    op.create_index("ix_removals_name", "removals", ["name"])
    op.create_table(
        "sweeps",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("due", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sweeps")),
    )
    _count_versions()
    _list_leftovers()


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=True),
        sa.Column("key_name", sa.String(64), nullable=False),
        sa.Column("operation", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("id", sa.String(128), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=True),
        sa.PrimaryKeyConstraint("entry", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_kind", "audit", ["kind", "id"])


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.String(80), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("busy_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(128), nullable=True),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("location", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created", "idempotency_keys", ["created"])


def _count_versions() -> None:
    """Store the bytes of each version, and the highest number of each model."""
    connection = op.get_bind()
    files = sa.text("SELECT model, version, CAST(files AS TEXT) FROM versions WHERE ready")
    change = sa.text("UPDATE versions SET bytes = :bytes WHERE model = :model AND version = :v")
    for model, version, text in connection.execute(files).all():
        values = {"bytes": _bytes_of(text), "model": model, "v": version}
        connection.execute(change, values)
    op.execute(
        "INSERT INTO version_numbers (model, last)"
        " SELECT model, max(version) FROM versions GROUP BY model"
    )


def _bytes_of(text: str) -> int:
    """Return the bytes of all files that a document lists; 0 for one that is damaged."""
    try:
        return sum(int(entry["bytes"]) for entry in json.loads(text).values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return 0


def _list_leftovers() -> None:
    """Free the numbers that ended jobs have reserved, and list what they may have left."""
    connection = op.get_bind()
    unfinished = (
        "NOT ready AND (job IS NULL OR job NOT IN"
        f" (SELECT id FROM jobs WHERE state NOT IN {_ENDED}))"
    )
    reserved = connection.execute(
        sa.text(f"SELECT model, version FROM versions WHERE {unfinished}")
    )
    names = [f"models/{model}/{version}" for model, version in reserved]
    op.execute(f"DELETE FROM versions WHERE {unfinished}")
    ended = connection.execute(sa.text(f"SELECT id FROM jobs WHERE state IN {_ENDED}"))
    names += [f"jobs/{job}" for (job,) in ended]
    if names:
        removals = sa.table(
            "removals", sa.column("name"), sa.column("created", sa.DateTime(timezone=True))
        )
        moment = datetime.now(UTC)
        op.bulk_insert(removals, [{"name": name, "created": moment} for name in names])


def downgrade() -> None:
    for table in ("sweeps", "removals", "version_numbers"):
        op.drop_table(table)
    for table in reversed(_SIZED):
        op.drop_index(f"ix_{table}_bytes", table)
        op.drop_column(table, "bytes")
    op.drop_table("idempotency_keys")
    op.drop_table("audit")
    op.drop_column("versions", "created_by")
    for name in ("created_by", "waiting_for", "taken_from", "claims"):
        op.drop_column("jobs", name)
