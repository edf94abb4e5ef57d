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
# The page shows what users called their columns and models; whatever that is, nothing may run.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"


@blueprint.route("/<job>/importance", methods=["GET"])
@blueprint.response(200, ImportanceSchema)
def importance(job: str) -> dict[str, Any]:
    """Rank a job's hyperparameters by how much they mattered to its scores."""
    return {"job": job} | asdict(services().reports.importance(job))


@blueprint.route("/<job>/report", methods=["GET"])
@blueprint.arguments(ReportQuery, location="query")
@blueprint.response(200, {"type": "string"}, content_type="text/html")
@blueprint.doc(
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}}
)
def report(query: dict[str, Any], job: str) -> ResponseReturnValue:
    """Show what is known of a job, as one HTML page or one PNG."""
    form = wanted_format(query["format"], _MEDIA_TYPES)
    content = services().reports.picture(job) if form == "png" else services().reports.page(job)
    response = Response(content, mimetype=_MEDIA_TYPES[form])
    response.headers["Content-Security-Policy"] = _POLICY
    response.vary.add("Accept")
    return response
