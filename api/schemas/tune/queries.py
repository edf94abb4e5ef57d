"""Queries and headers of requests about tuning jobs, trials and events."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf, Range

from api.schemas.fields import PageQuery
from models.fields import LARGEST_NUMBER, described, tags_field
from models.jobs.model import JobState, TrialState

MAX_WAIT = 600.0  # seconds


def _wait() -> ma.fields.Float:
    """Make the field for how long an answer may wait for the end of a job."""
    return ma.fields.Float(
        load_default=0.0,
        validate=Range(0, MAX_WAIT),
        metadata=described(
            "Answer when the job has ended, after as many seconds at the latest. Where too many"
            " clients wait already, the answer comes at once, with `Retry-After`."
        ),
    )


class TuneQuery(ma.Schema):
    """Options of a tuning request."""

    dry_run = ma.fields.Boolean(
        load_default=False,
        metadata=described("Answer the plan and start nothing."),
    )
    wait = _wait()

    @ma.validates_schema
    def _check_wait(self, data: Mapping[str, Any], **_: Any) -> None:
        if data["dry_run"] and data["wait"]:
            raise ma.ValidationError("With dry_run there is no job to wait for.", "wait")


class JobQuery(ma.Schema):
    """When to answer."""

    wait = _wait()


class JobsQuery(PageQuery):
    """Which jobs to answer."""

    state = ma.fields.String(
        load_default=None, validate=OneOf(list(JobState)), metadata=described("Only these.")
    )
    model = ma.fields.String(
        load_default=None, validate=Length(1, 128), metadata=described("Only those of this model.")
    )
    tag = tags_field(load_default=list, metadata=described("Only those with all of these tags."))


class TrialsQuery(ma.Schema):
    """Which trials to answer."""

    limit = ma.fields.Integer(
        load_default=None,
        validate=Range(1, 1000),
        metadata=described("Most items to answer. Default: 100, and as CSV all."),
    )
    after = ma.fields.Integer(
        load_default=None,
        validate=Range(0, LARGEST_NUMBER),
        metadata=described("Number of the last trial already seen, in either order."),
    )
    state = ma.fields.String(
        load_default=None, validate=OneOf(list(TrialState)), metadata=described("Only these.")
    )
    sort = ma.fields.String(
        load_default="number",
        validate=OneOf(["number", "score"]),
        metadata=described("By `number`, or by `score` with the best first."),
    )
    history = ma.fields.Boolean(
        load_default=True,
        metadata=described("False leaves out `history` and `folds`, most of a long JSON list."),
    )


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
