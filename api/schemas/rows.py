"""The JSON Schema of a row that a version takes."""

from typing import Any

from models.data.columns import ColumnType
from models.registry.documents import Document
from models.serving.signature import InputColumn, Signature

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TEXTS = {"type": ["string", "number", "boolean", "null"]}


def row_schema(model: str, version: int, signature: Document) -> dict[str, Any]:
    """Return the schema of one row, an object of cells by column; `signature` is its document.

    Every row that fits is accepted by `/predict` as it is. So are some that do not fit, such as
    numbers in quotes. null is a missing cell. Categories are examples and not an enumeration, since
    new ones are accepted.
    """
    read = Signature.from_json(signature)
    known = {entry["name"]: entry.get("categories", []) for entry in signature["columns"]}
    properties = {column.name: _cell(column, known[column.name]) for column in read.columns}
    unused = sorted(read.unused - properties.keys())
    ignored = {name: {"description": "Accepted, and not used by the model."} for name in unused}
    return {
        "$schema": DIALECT,
        "title": f"A row of {model}, version {version}",
        "description": f"What the model takes to predict {read.target!r}.",
        "type": "object",
        "properties": properties | ignored,
        "required": list(read.names),
        "additionalProperties": False,
        "examples": [read.sample],
    }


def _cell(column: InputColumn, categories: list[str]) -> dict[str, Any]:
    match column.type:
        case ColumnType.NUMBER:
            return {"type": ["number", "null"]}
        case ColumnType.BOOLEAN:
            return {"type": ["boolean", "null"]}
        case ColumnType.DATETIME:
            forms = [{"type": "string", "format": form} for form in ("date", "date-time")]
            return {"anyOf": [*forms, {"type": "null"}]}
        case ColumnType.IMAGE:
            schema: dict[str, Any] = {"type": "number"}
            for size in reversed(column.shape):
                schema = {"type": "array", "items": schema, "minItems": size, "maxItems": size}
            return schema
    return {**_TEXTS, "examples": categories} if categories else {**_TEXTS}
