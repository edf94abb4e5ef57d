"""Probes, and entries of the audit log."""

import marshmallow as ma
from marshmallow.validate import Length

from api.schemas.fields import NumberedPageQuery, moment
from models.fields import described


class ProbeSchema(ma.Schema):
    """The answer of a live process."""

    status = ma.fields.String(metadata=described("`ok`."))


class ReadySchema(ma.Schema):
    """The answer of a process that can serve requests."""

    status = ma.fields.String(metadata=described("`ready`."))
    checks = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(),
        metadata=described("`ok` by the name of each check: `process`, `database`, `artifacts`."),
    )


def _filter(text: str, length: int) -> ma.fields.String:
    return ma.fields.String(load_default=None, validate=Length(1, length), metadata=described(text))


class AuditQuery(NumberedPageQuery):
    """The entries to return."""

    key = _filter("Only changes of the key of this id or name.", 64)
    operation = _filter("Only this operation, by its `operationId`.", 64)
    kind = _filter("Only changes of such things: `job`, `dataset`, `model`, `key`.", 32)
    id = _filter("Only changes of the thing of this id.", 128)
    since = moment("Only changes from this moment on, with its offset from UTC.")
    until = moment("Only changes before this moment, with its offset from UTC.")


class AuditEntrySchema(ma.Schema):
    """One request, or one call of the command line, that changed something."""

    entry = ma.fields.Integer(metadata=described("Later entries have higher numbers."))
    time = ma.fields.DateTime()
    key_id = ma.fields.String(
        allow_none=True, metadata=described("Of a key of `luthier keys`; null otherwise.")
    )
    key_name = ma.fields.String(
        metadata=described("Of the key; `anonymous` without keys, `luthier keys` for that command.")
    )
    operation = ma.fields.String(metadata=described("The `operationId`."))
    kind = ma.fields.String(metadata=described("Of the thing that was changed, such as `job`."))
    id = ma.fields.String(allow_none=True, metadata=described("Of that thing."))
    details = ma.fields.Dict(metadata=described("What was changed in it, by operation."))
    request_id = ma.fields.String(
        allow_none=True, metadata=described("The `X-Request-ID`, which is in the logs too.")
    )


class AuditPageSchema(ma.Schema):
    """A part of the entries, newest first."""

    items = ma.fields.List(ma.fields.Nested(AuditEntrySchema))
    next = ma.fields.String(allow_none=True)
