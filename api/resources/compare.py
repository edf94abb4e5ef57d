"""Comparison of jobs."""

from typing import Any

from flask import Response, jsonify
from flask.typing import ResponseReturnValue

from api.parsing import Blueprint, wanted_format
from api.schemas.compare import CompareQuery, ComparisonSchema, comparison_csv
from api.services import services

blueprint = Blueprint("compare", __name__, url_prefix="/compare", description="Jobs side by side")

_MEDIA_TYPES = {"json": "application/json", "csv": "text/csv", "png": "image/png"}


@blueprint.route("", methods=["GET"])
@blueprint.arguments(CompareQuery, location="query")
@blueprint.alt_response(200, schema=ComparisonSchema, description="The comparison")
@blueprint.doc(
    responses={
        200: {
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "image/png": {"schema": {"type": "string", "format": "binary"}},
            }
        }
    }
)
def compare(query: dict[str, Any]) -> ResponseReturnValue:
    """Put jobs side by side: scores, time to best, curves and tests, as JSON, CSV or PNG."""
    found = services().reports.compare(query["jobs"], force=query["force"])
    form = wanted_format(query["format"], _MEDIA_TYPES)
    if form == "png":
        response = Response(services().reports.draw_comparison(found), mimetype="image/png")
    elif form == "csv":
        response = Response(comparison_csv(ComparisonSchema().dump(found)), mimetype="text/csv")
    else:
        response = jsonify(ComparisonSchema().dump(found))
    response.vary.add("Accept")
    return response
