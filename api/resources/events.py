"""Events of a tuning job, as a stream."""

from typing import Any

from flask import Response, request
from flask.typing import ResponseReturnValue

from api.errors import problem
from api.parsing import Blueprint
from api.schemas.tune.queries import EventsHeaders
from api.services import services
from api.streams import MEDIA_TYPE, RETRY_AFTER

blueprint = Blueprint("events", __name__, url_prefix="/tune", description="Tuning jobs")


@blueprint.route("/<job>/events", methods=["GET"])
@blueprint.arguments(EventsHeaders, location="headers")
@blueprint.response(
    200,
    {"type": "string"},
    content_type=MEDIA_TYPE,
    description="Events of the kinds `state`, `trial` and `epoch`; see docs/events.md",
)
@blueprint.alt_response(204, description="The job has ended and there is nothing left to tell")
@blueprint.alt_response(503, description="Too many clients listen already; see `Retry-After`")
def events(headers: dict[str, Any], job: str) -> ResponseReturnValue:
    """Follow a job by Server-Sent Events, from its beginning or after `Last-Event-ID`."""
    seen, streams = headers["last_event_id"], services().streams
    services().jobs.get(job)
    news = streams.feed.after(job, seen, limit=1)
    if news.is_all and not news.events:
        return Response(status=204)  # an EventSource comes back for ever after any other answer
    if not streams.take_place():
        refusal = problem(503, "Too many clients follow events; ask again, or poll the job.")
        refusal.headers["Retry-After"] = RETRY_AFTER
        return refusal
    response = Response(
        streams.stream(job, seen, client=request.environ.get("gunicorn.socket")),
        mimetype=MEDIA_TYPE,
    )
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would keep the events back
    response.call_on_close(streams.give_back_place)
    return response
