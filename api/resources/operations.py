"""Probes and metrics."""

from typing import Any

from flask import Response, request
from flask.typing import ResponseReturnValue

from api.errors import problem
from api.monitoring import OK
from api.parsing import Blueprint
from api.schemas.operations import ProbeSchema, ReadySchema
from api.services import services

blueprint = Blueprint("operations", __name__, description="Probes and metrics")


@blueprint.route("/healthz", methods=["GET"])
@blueprint.response(200, ProbeSchema)
def healthz() -> dict[str, str]:
    """Report that the process answers; nothing else is checked."""
    return {"status": "ok"}


@blueprint.route("/readyz", methods=["GET"])
@blueprint.response(200, ReadySchema)
@blueprint.alt_response(503, description="Something is missing: see `checks`")
def readyz() -> ResponseReturnValue:
    """Report whether requests can be served, or what is missing."""
    checks = services().readiness.checks()
    missing = [found for found in checks.values() if found != OK]
    if missing:
        return problem(503, " ".join(missing), checks=checks)
    body: dict[str, Any] = {"status": "ready", "checks": checks}
    return body


@blueprint.route("/metrics", methods=["GET"])
@blueprint.response(
    200,
    {"type": "string"},
    content_type="text/plain",
    description="Every metric, in a text format of Prometheus; see docs/observability.md",
)
def metrics() -> ResponseReturnValue:
    """Show the metrics of all processes of this server, and figures from the database."""
    content, media_type = services().metrics.exposition(request.headers.get("Accept", ""))
    return Response(content, content_type=media_type)
