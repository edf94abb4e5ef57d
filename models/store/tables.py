"""All tables of the database, as the newest migration leaves them."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from models.store.types import FiniteFloat, UtcDateTime, sorted_text

SCHEMA_REVISION = "0019"  # as text, a later revision is greater

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)


def now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


datasets = Table(
    "datasets",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", Text),
    Column("builtin", String(64), unique=True),
    Column("rows", BigInteger, nullable=False),
    Column("columns", JSON, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("source", JSON(none_as_null=True)),  # the file that it was read from
    Column("reading", JSON(none_as_null=True)),  # how that was done
    Column("warnings", JSON(none_as_null=True)),
    Column("bytes", BigInteger),  # of its files; null until they are counted
    Index("ix_datasets_bytes", "bytes"),  # sums are read from it, as the rows are large
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("model", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("dataset", String(64)),
    Column("planned_trials", Integer, nullable=False),
    # Written by versions before 0.3 only, and read for as long as keys are kept.
    Column("idempotency_key", String(255), unique=True),
    Column("request_digest", String(64)),
    Column("created", UtcDateTime, nullable=False),
    Column("queued", UtcDateTime),  # when it last began to wait for a worker
    Column("started", UtcDateTime),
    Column("finished", UtcDateTime),
    Column("seconds", FiniteFloat, nullable=False, default=0.0),
    Column("stop_reason", String(64)),
    Column("error", Text),
    Column("version", Integer),
    Column("oracle_state", JSON),
    Column("changes", Integer, nullable=False, default=0),
    Column("owner", String(64)),
    Column("lease_until", UtcDateTime),
    Column("last_event", Integer, nullable=False, default=0, server_default="0"),
    Column("attempts", Integer, nullable=False, default=0, server_default="0"),
    Column("data_notes", JSON),  # warnings and columns, then its version beside trees
    Column("claims", Integer, nullable=False, default=0, server_default="0"),
    Column("created_by", String(64)),  # name of a key, as in `audit`
    Column("taken_from", String(64)),  # the worker whose lease had lapsed at the last claim
    Column("waiting_for", Text),  # what keeps the job from going on, in a sentence
    Column("bytes", BigInteger),  # of the weights that it keeps; null until its end
    Column("chosen_trial", Integer),  # that the user has chosen as the winner
    Column("description", Text),
    Column("may_promote", Boolean),  # whether those who asked for it may; null in older jobs: yes
    Index("ix_jobs_created", "created", "id"),
    Index("ix_jobs_state_created", "state", "created"),
    Index("ix_jobs_model_created", "model", "created"),
    Index("ix_jobs_dataset", "dataset"),
    Index("ix_jobs_bytes", "bytes"),
)

job_tags = Table(
    "job_tags",
    metadata,
    Column("job", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(64), primary_key=True),
    Column("place", Integer, nullable=False),  # from 0, in the order in which they were given
    Index("ix_job_tags_tag", "tag", "job"),
)

trials = Table(
    "trials",
    metadata,
    Column("job", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("key", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("values", JSON, nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("initial_epoch", Integer, nullable=False, default=0),
    Column("parent", Integer),
    Column("score", FiniteFloat),
    Column("result", JSON),
    Column("failure_kind", String(16)),
    Column("failure_message", Text),
    Column("retries", Integer, nullable=False, default=0),
    Column("digest", String(64)),
    Column("reused_job", String(64)),
    Column("reused_trial", Integer),
    Column("seconds", FiniteFloat),
    Column("trainer", String(16)),
    # Of constraints; 0 if all are kept. Null before there is a score, so that others go before it;
    # the default is for workers of earlier versions, which know no constraints.
    Column("violation", FiniteFloat, server_default="0"),
    Column("scores", JSON(none_as_null=True)),  # by metric, of several objectives
    Column("created", UtcDateTime, nullable=False),
    Column("started", UtcDateTime),
    Column("finished", UtcDateTime),
    Index("ix_trials_job_state", "job", "state", "seconds"),  # covers the figures of progress
    Index("ix_trials_job_score", "job", "violation", "score", "number"),
    Index("ix_trials_digest", "digest"),
    # Covers all that monitoring counts, as the rows are large. The state is not its first column,
    # so that a planner does not prefer it in queries by more than the state.
    Index("ix_trials_statistics", "failure_kind", "trainer", "state", "seconds"),
)

events = Table(
    "events",
    metadata,
    Column("job", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("id", Integer, primary_key=True),  # from 1 in each job; the sweep leaves gaps
    Column("kind", String(16), nullable=False),
    Column("trial", Integer),
    Column("data", JSON, nullable=False),
    Index("ix_events_job_trial", "job", "trial"),
)

versions = Table(
    "versions",
    metadata,
    Column("model", sorted_text(128), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("task", String(16), nullable=False),
    Column("job", String(64)),
    Column("trial", Integer),
    Column("created", UtcDateTime, nullable=False),
    Column("files", JSON, nullable=False),
    Column("details", JSON, nullable=False),
    Column("ready", Boolean, nullable=False, default=False),
    Column("created_by", String(64)),  # that of its job
    Column("bytes", BigInteger, nullable=False, default=0, server_default="0"),  # of its files
    Index("ix_versions_ready", "ready"),
    Index("ix_versions_bytes", "bytes"),
)

version_numbers = Table(
    "version_numbers",
    metadata,
    Column("model", sorted_text(128), primary_key=True),
    Column("last", Integer, nullable=False),  # no version gets this number, or one below, again
)

aliases = Table(
    "aliases",
    metadata,
    Column("model", sorted_text(128), primary_key=True),
    Column("alias", sorted_text(64), primary_key=True),
    Column("version", Integer, nullable=False),  # that answers all requests, or most of them
    Column("updated", UtcDateTime, nullable=False),
    Column("weights", JSON(none_as_null=True)),  # share by version; null: `version` answers all
    Column("shadow", Integer),  # version that computes beside those that answer
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
)

alias_history = Table(
    "alias_history",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", sorted_text(128), nullable=False),
    Column("alias", sorted_text(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("weights", JSON(none_as_null=True)),  # as in `aliases`
    Index("ix_alias_history_model", "model", "alias"),
)

# Every move of an alias; `alias_history` holds what a rollback goes back to.
alias_moves = Table(
    "alias_moves",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", sorted_text(128), nullable=False),
    Column("alias", sorted_text(64), nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("previous", Integer),  # version that it pointed at; null for none
    Column("version", Integer),  # that it points at since; null: it was deleted
    Column("actor", String(64)),  # name of a key, as in `audit`
    Column("job", String(64)),  # that made the version, if its end moved the alias
    Column("reason", Text, nullable=False),
    Column("verdict", JSON(none_as_null=True)),  # as in the version's `promotion`
    Column("weights", JSON(none_as_null=True)),  # since; as in `aliases`
    Column("shadow", Integer),  # since
    Index("ix_alias_moves_model", "model", "alias"),
)

# One row, which every process that serves predictions looks at.
route_changes = Table(
    "route_changes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("number", BigInteger, nullable=False),  # of moves of aliases and removals of versions
)

model_settings = Table(
    "model_settings",
    metadata,
    Column("model", sorted_text(128), primary_key=True),
    Column("auto_promote", Boolean, nullable=False),
    Column("prediction_log", JSON(none_as_null=True)),
    Column("rollback_when", JSON(none_as_null=True)),
)

# What one process has counted in one minute; after two hours, what all have counted in an hour.
prediction_figures = Table(
    "prediction_figures",
    metadata,
    Column("model", sorted_text(128), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("minute", UtcDateTime, primary_key=True),  # its beginning
    Column("process", String(32), primary_key=True),  # empty for an hour of all
    Column("requests", BigInteger, nullable=False),  # those that had no answer, too
    Column("rows", BigInteger, nullable=False),  # answered
    Column("refused", BigInteger, nullable=False),  # requests whose rows did not fit
    Column("failed", BigInteger, nullable=False),  # requests that the service could not answer
    Column("logged", BigInteger, nullable=False),  # requests in the prediction log
    Column("dropped", BigInteger, nullable=False),  # requests that were to be there
    Column("latency", JSON, nullable=False),  # by number of a bin
    Column("columns", JSON, nullable=False),  # counts of rows, as `models.registry.profile`
    Index("ix_prediction_figures_minute", "minute"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", sorted_text(128), nullable=False),
    Column("version", Integer, nullable=False),  # that answered
    Column("prediction_id", String(64)),  # null if the rows were sent again
    Column("received", UtcDateTime, nullable=False),
    Column("truth", JSON, nullable=False),  # by row: a number or the number of a class, or null
    Column("answers", JSON, nullable=False),  # by row: a number or probabilities
    UniqueConstraint("model", "prediction_id"),
    Index("ix_feedback_model", "model", "version", "received"),
    Index("ix_feedback_received", "received"),
)

OPEN_BATCHES = ("queued", "running")  # states of `batches` in which files of others are needed

# Predictions of whole files and datasets.
batches = Table(
    "batches",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("model", sorted_text(128), nullable=False),
    Column("version", Integer, nullable=False),
    Column("dataset", String(64)),  # null: the rows came as a file and lie in the batch's folder
    Column("state", String(16), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("rows_done", BigInteger, nullable=False, default=0, server_default="0"),
    Column("rows_failed", BigInteger, nullable=False, default=0, server_default="0"),
    Column("parts", Integer, nullable=False, default=0, server_default="0"),  # that are stored
    Column("created", UtcDateTime, nullable=False),
    Column("started", UtcDateTime),
    Column("finished", UtcDateTime),
    Column("error", Text),
    Column("created_by", String(64)),  # name of a key, as in `audit`
    Column("owner", String(64)),
    Column("lease_until", UtcDateTime),
    Column("claims", Integer, nullable=False, default=0, server_default="0"),
    Column("attempts", Integer, nullable=False, default=0, server_default="0"),
    Column("sha256", String(64)),  # of the result; null before there is one
    Column("bytes", BigInteger),  # of the result
    Index("ix_batches_created", "created"),
    Index("ix_batches_state_created", "state", "created"),
    Index("ix_batches_model", "model", "version"),
    Index("ix_batches_dataset", "dataset"),
    Index("ix_batches_bytes", "bytes"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),  # part of the key; shown in lists
    Column("name", String(64), nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256 of the whole key, in hex
    Column("scopes", JSON, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("expires", UtcDateTime),
    Column("revoked", UtcDateTime),
)

audit = Table(
    "audit",
    metadata,
    Column("entry", Integer, primary_key=True),
    Column("time", UtcDateTime, nullable=False),
    Column("key_id", String(16)),  # of `api_keys`; null for other callers
    Column("key_name", String(64), nullable=False),
    Column("operation", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("id", String(128)),  # of the thing that was changed
    Column("details", JSON, nullable=False),
    Column("request_id", String(128)),
    Index("ix_audit_kind", "kind", "id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", String(80), primary_key=True),  # keys of two callers do not meet
    Column("key", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),  # of the request
    Column("created", UtcDateTime, nullable=False),
    Column("token", String(32), nullable=False),  # of the request that works on it
    Column("busy_until", UtcDateTime, nullable=False),
    Column("id", String(128)),  # of the thing that was changed; null before that
    Column("details", JSON(none_as_null=True)),  # as in `audit`
    Column("status", Integer),  # of the answer; null before that
    Column("body", Text),
    Column("location", Text),
    Index("ix_idempotency_keys_created", "created"),
)

removals = Table(
    "removals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False),  # folder of a dataset, a job or a version
    Column("created", UtcDateTime, nullable=False),
    Index("ix_removals_name", "name"),
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("due", UtcDateTime, nullable=False),  # when some worker is to sweep next
)
