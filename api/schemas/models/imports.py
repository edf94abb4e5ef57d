"""Graphs that others made."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf

from api.schemas.reading import FileField
from models.data.preparation.tasks import MAX_CLASSES, Task
from models.fields import described, description_field, tags_field

_MAX_TEXT = 1000


def _check_label(value: Any) -> None:
    if type(value) not in (int, str) or (isinstance(value, str) and not 0 < len(value) < 200):
        raise ma.ValidationError("A class is a whole number or a short text.")


def _text(**options: Any) -> ma.fields.String:
    return ma.fields.String(validate=Length(1, 200), **options)


class ImportRequestSchema(ma.Schema):
    """What a graph does not say of itself; everything is optional."""

    task = ma.fields.String(validate=OneOf(list(Task)))
    target = _text(
        metadata=described(
            "The name of what it predicts; by default that in the metadata of a version's own"
            " graph, or `target`.",
            example="price",
        )
    )
    classes = ma.fields.List(
        ma.fields.Raw(validate=_check_label),
        validate=Length(2, MAX_CLASSES),
        metadata=described("In the order of the probabilities.", example=["no", "yes"]),
    )
    columns = ma.fields.List(
        _text(),
        validate=Length(1, 10_000),
        metadata=described("Names of the columns of a graph that takes one matrix."),
    )
    output = _text(metadata=described("The output that answers, if there are several."))
    sample = ma.fields.Dict(
        keys=ma.fields.String(), metadata=described("A row that the graph is tried on.")
    )
    descriptions = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(validate=Length(1, _MAX_TEXT)),
        metadata=described("Sentences about columns, by name."),
    )
    description = description_field(load_default=None)
    tags = tags_field(load_default=list)

    @ma.validates("columns")
    def _check_columns(self, value: list[str], **_: Any) -> None:
        if len(set(value)) != len(value):
            raise ma.ValidationError("A column is named twice.")


class ImportSchema(ma.Schema):
    """A graph, and what is to be known of it."""

    file = FileField(required=True, metadata=described("An ONNX graph, in one file."))
    request = ma.fields.Nested(
        ImportRequestSchema, load_default=lambda: ImportRequestSchema().load({})
    )
