"""Multipart forms: fields of JSON or plain text beside a file."""

import hashlib
import json
from collections import Counter
from typing import Any

import marshmallow as ma
from flask import request

from api.parsing import parse_json, refuse_nul
from models.errors import Invalid, Malformed, UnsupportedMediaType

MEDIA_TYPE = "multipart/form-data"
_WHOLE = ("_schema", "body")  # how `parse_json` calls the whole of what it was given


def other_media_type() -> UnsupportedMediaType:
    """Return the error for a body that is neither a form nor JSON."""
    return UnsupportedMediaType(
        f"The body's content type is {request.mimetype or 'none'}; send a file as {MEDIA_TYPE},"
        " or JSON as application/json."
    )


def form_values(schema: ma.Schema) -> dict[str, Any]:
    """Return the fields and files of the present form, to be loaded by `schema`.

    A field of text in the schema is taken as it is, unless it is a JSON string in its quotes. Every
    other one is JSON, or plain text where it is none. Raises Invalid at a field that is given more
    than once or holds broken JSON.
    """
    texts = request.form.to_dict()
    refuse_nul(texts)
    given = (*request.form.items(multi=True), *request.files.items(multi=True))
    counts = Counter(name for name, _ in given)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise Invalid({name: ["It is given more than once."] for name in repeated})
    fields = {field.data_key or name: field for name, field in schema.fields.items()}
    values = {name: _value(name, text, fields.get(name)) for name, text in texts.items()}
    return values | request.files.to_dict()


def form_digest() -> str:
    """Return the SHA-256, in hex, of the present form's fields and files.

    That of the body would differ between equal forms, as clients choose boundaries at random.
    """
    files = []
    for name, file in sorted(request.files.items()):
        stream: Any = file.stream
        content = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        files.append([name, file.filename, file.mimetype, content])
    parts = [sorted(request.form.items()), files]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _value(name: str, text: str, field: ma.fields.Field[Any] | None) -> Any:
    is_text = isinstance(field, ma.fields.String)
    if is_text and text[:1] != '"':
        return text  # such as a column that is called 5 or true
    try:
        value = parse_json(text.encode(), "It")
    except Malformed as error:
        if is_text or text[:1] not in ("{", "["):
            return text
        raise Invalid.at(name, str(error)) from None
    except Invalid as error:
        raise Invalid(
            {
                name if path in _WHOLE else f"{name}.{path}": texts
                for path, texts in error.errors.items()
            }
        ) from None
    return value if isinstance(value, str) or not is_text else text
