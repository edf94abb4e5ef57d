"""Models, versions and aliases."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Range

from api.schemas.fields import LARGEST_NUMBER, PageQuery, StrictInteger, described
from models.registry.catalog import ModelRecord, VersionRecord


class ModelsQuery(PageQuery):
    """Which models to answer."""


class VersionSummarySchema(ma.Schema):
    """A version in a list."""

    version = ma.fields.Integer()
    task = ma.fields.String()
    job = ma.fields.String(allow_none=True)
    trial = ma.fields.Integer(allow_none=True)
    metrics = ma.fields.Dict(
        allow_none=True,
        metadata=described("On the held-out test rows; null when none were held out."),
    )
    baseline = ma.fields.Dict(
        allow_none=True, metadata=described("The same of always answering mean or majority.")
    )
    unreadable = ma.fields.String(
        allow_none=True,
        metadata=described("Why its files or metrics cannot be read; null if they can."),
    )
    created = ma.fields.String()


class ModelSchema(ma.Schema):
    """A model and what points where."""

    name = ma.fields.String()
    latest_version = ma.fields.Integer()
    aliases = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Integer(),
        metadata=described("Version by alias; `champion` answers predictions by default."),
    )
    created = ma.fields.String(metadata=described("Of its newest version."))


class ModelDetailSchema(ModelSchema):
    """A model with its versions, newest first."""

    versions = ma.fields.List(ma.fields.Nested(VersionSummarySchema))


class ModelPageSchema(ma.Schema):
    """A part of the models, by name."""

    items = ma.fields.List(ma.fields.Nested(ModelSchema))
    next = ma.fields.String(allow_none=True)


class VersionSchema(VersionSummarySchema):
    """A version whole."""

    model = ma.fields.String()
    aliases = ma.fields.List(ma.fields.String())
    signature = ma.fields.Dict(metadata=described("Columns, classes and a sample row."))
    evidence = ma.fields.Dict(metadata=described("Scores, held-out test, baseline, lineage."))
    layers = ma.fields.List(ma.fields.Dict())
    summary = ma.fields.String(metadata=described("The layers as text."))
    parameters = ma.fields.Integer()
    files = ma.fields.Dict(metadata=described("SHA-256 and bytes by name."))


class AliasSchema(ma.Schema):
    """Where an alias shall point."""

    version = StrictInteger(required=True, validate=Range(1, LARGEST_NUMBER))


def model_body(record: ModelRecord) -> dict[str, Any]:
    """A model as `ModelSchema` describes it."""
    return {
        "name": record.name,
        "latest_version": record.latest_version,
        "aliases": record.aliases,
        "created": record.created.isoformat(),
    }


def version_summary_body(record: VersionRecord) -> dict[str, Any]:
    """A version as `VersionSummarySchema` describes it."""
    return {
        "version": record.version,
        "task": record.task,
        "job": record.job,
        "trial": record.trial,
        "metrics": record.metrics,
        "baseline": record.baseline,
        "unreadable": record.unreadable,
        "created": record.created.isoformat(),
    }


def version_body(record: VersionRecord, model: ModelRecord) -> dict[str, Any]:
    """A version as `VersionSchema` describes it."""
    kept = ("signature", "evidence", "layers", "summary", "parameters")
    return {
        "model": record.model,
        "aliases": [name for name, at in model.aliases.items() if at == record.version],
        **version_summary_body(record),
        **{name: getattr(record, name) for name in kept},
        "files": {
            name: {"sha256": entry["sha256"], "bytes": entry["bytes"]}
            for name, entry in record.files.items()
        },
    }
