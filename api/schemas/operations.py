"""Probes."""

import marshmallow as ma

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
