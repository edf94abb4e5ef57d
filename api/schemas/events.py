"""The request for a job's events."""

import marshmallow as ma
from marshmallow.validate import Range

from models.fields import LARGEST_NUMBER, described


class EventsHeaders(ma.Schema):
    """The place where a stream goes on."""

    last_event_id = ma.fields.Integer(
        data_key="Last-Event-ID",
        load_default=0,
        validate=Range(0, LARGEST_NUMBER),
        metadata=described("Id of the last event already seen; only later ones are sent."),
    )

    class Meta:
        """Every request has headers that are not ours."""

        unknown = ma.EXCLUDE
