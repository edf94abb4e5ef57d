"""Probes."""

import marshmallow as ma

from api.schemas.fields import described


class ProbeSchema(ma.Schema):
    """That all is well."""

    status = ma.fields.String(metadata=described("`ok` or `ready`."))
