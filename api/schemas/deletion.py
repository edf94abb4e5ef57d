"""Deletion of jobs and datasets by filter."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf, Range

from api.schemas.fields import moment
from models.fields import described, tags_field
from models.retention.deletion import DELETABLE

MAX_DELETED = 1000  # in one call


class DeletionQuery(ma.Schema):
    """The part of a filter that jobs and datasets share."""

    limit = ma.fields.Integer(
        load_default=MAX_DELETED,
        validate=Range(1, MAX_DELETED),
        metadata=described("Most to delete in this call, the oldest first."),
    )
    dry_run = ma.fields.Boolean(
        load_default=False, metadata=described("Answer what would be deleted, and delete nothing.")
    )

    def check_filter(self, data: Mapping[str, Any], *names: str) -> None:
        """Raise ValidationError at the first of some filters if none of them is given."""
        if not any(data[name] for name in names):
            raise ma.ValidationError(f"Give at least one of: {', '.join(names)}.", names[0])


class DeleteJobsQuery(DeletionQuery):
    """Which jobs to delete; at least one of `state`, `before`, `model` and `tag`."""

    state = ma.fields.String(
        load_default=None,
        validate=OneOf(DELETABLE),
        metadata=described("Only these; without it, those that have ended."),
    )
    before = moment("Those that ended earlier; of queued ones, those that were created earlier.")
    model = ma.fields.String(load_default=None, validate=Length(1, 128))
    tag = tags_field(load_default=list, metadata=described("Those with all of these tags."))

    @ma.validates_schema
    def _check(self, data: Mapping[str, Any], **_: Any) -> None:
        self.check_filter(data, "state", "before", "model", "tag")


class DeleteDatasetsQuery(DeletionQuery):
    """Which datasets to delete; at least one of `before` and `unused`."""

    before = moment("Those that were stored earlier.")
    unused = ma.fields.Boolean(
        load_default=False, metadata=described("Only those that no job names, ended or not.")
    )

    @ma.validates_schema
    def _check(self, data: Mapping[str, Any], **_: Any) -> None:
        self.check_filter(data, "before", "unused")


class DeletedSchema(ma.Schema):
    """The result of a deletion by filter."""

    count = ma.fields.Integer(metadata=described("How many were deleted, or would be."))
    ids = ma.fields.List(ma.fields.String())
    kept = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(),
        metadata=described("Why others that match were not deleted, by id."),
    )
    dry_run = ma.fields.Boolean()
