"""Reports on jobs."""

from dataclasses import asdict
from typing import Any

from flask import Response
from flask.typing import ResponseReturnValue

from api.parsing import Blueprint, wanted_format
from api.schemas.reports import ImportanceSchema, ReportQuery
from api.services import services

blueprint = Blueprint("reports", __name__, url_prefix="/tune", description="Reports on jobs")

_MEDIA_TYPES = {"html": "text/html", "png": "image/png"}


@blueprint.route("/<job>/importance", methods=["GET"])
@blueprint.response(200, ImportanceSchema)
def importance(job: str) -> dict[str, Any]:
    """Rank a job's hyperparameters by how much they mattered to its scores."""
    return {"job": job} | asdict(services().reports.importance(job))


@blueprint.route("/<job>/report", methods=["GET"])
@blueprint.arguments(ReportQuery, location="query")
@blueprint.response(
    200, {"type": "string", "format": "binary"}, content_type="image/png", description="A picture"
)
@blueprint.alt_response(302, description="The page of the report, in the dashboard")
def report(query: dict[str, Any], job: str) -> ResponseReturnValue:
    """Draw what is known of a job as one PNG, or lead to the page that shows it."""
    if wanted_format(query["format"], _MEDIA_TYPES) == "png":
        response = Response(services().reports.picture(job), mimetype="image/png")
    else:
        page = f"/#/jobs/{services().jobs.get(job).id}/report"
        response = Response(status=302, headers={"Location": page})
    response.vary.add("Accept")
    return response
