"""Models, versions and aliases."""

import marshmallow as ma
from marshmallow.validate import Range

from api.schemas.fields import PageQuery
from models.fields import LARGEST_NUMBER, StrictInteger, described


class ModelsQuery(PageQuery):
    """The models to return."""


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
        allow_none=True,
        metadata=described("The same of always answering mean or majority."),
    )
    unreadable = ma.fields.String(
        allow_none=True,
        metadata=described("Why its files or metrics cannot be read; null if they can."),
    )
    created = ma.fields.DateTime(format="iso")
    created_by = ma.fields.String(
        allow_none=True, metadata=described("As in its job: the name of an API key.")
    )
    bytes = ma.fields.Integer(metadata=described("Of its files."))


class ModelSchema(ma.Schema):
    """A model and where its aliases point."""

    name = ma.fields.String()
    latest_version = ma.fields.Integer()
    aliases = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Integer(),
        metadata=described("Version by alias; `champion` answers predictions by default."),
    )
    created = ma.fields.DateTime(format="iso", metadata=described("Of its newest version."))
    bytes = ma.fields.Integer(metadata=described("Of the files of all versions."))


class ModelDetailSchema(ModelSchema):
    """A model with its versions, newest first."""

    versions = ma.fields.List(ma.fields.Nested(VersionSummarySchema))


class ModelPageSchema(ma.Schema):
    """A part of the models, by name."""

    items = ma.fields.List(ma.fields.Nested(ModelSchema))
    next = ma.fields.String(allow_none=True)


class VersionFileSchema(ma.Schema):
    """A file of a version."""

    sha256 = ma.fields.String()
    bytes = ma.fields.Integer()


class VersionSchema(VersionSummarySchema):
    """A version with its evidence, signature, lineage and layers."""

    model = ma.fields.String()
    aliases = ma.fields.List(ma.fields.String())
    signature = ma.fields.Dict(metadata=described("Columns, classes and a sample row."))
    evidence = ma.fields.Dict(
        metadata=described("Scores, held-out test, baseline, lineage."),
    )
    layers = ma.fields.List(
        ma.fields.Dict(),
    )
    summary = ma.fields.String(metadata=described("The layers as text."))
    parameters = ma.fields.Integer()
    files = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Nested(VersionFileSchema),
        metadata=described("SHA-256 and bytes by name."),
    )


class AliasSchema(ma.Schema):
    """The new version of an alias."""

    version = StrictInteger(
        required=True, validate=Range(1, LARGEST_NUMBER), metadata={"example": 2}
    )


class RollbackSchema(ma.Schema):
    """The condition of a rollback, which makes it safe to send twice."""

    from_ = StrictInteger(
        data_key="from",
        load_default=None,
        validate=Range(1, LARGEST_NUMBER),
        metadata=described("The present champion; 409 if it is another version.", example=4),
    )
