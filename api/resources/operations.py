"""Probes."""

from typing import Any

from flask.typing import ResponseReturnValue

from api.bodies import Blueprint
from api.errors import problem
from api.schemas.operations import ProbeSchema
from api.services import services
from models.store.readiness import missing_part

blueprint = Blueprint("operations", __name__, description="Probes")


@blueprint.route("/healthz", methods=["GET"])
@blueprint.response(200, ProbeSchema)
def healthz() -> dict[str, str]:
    """Say that the process answers; nothing else is looked at."""
    return {"status": "ok"}


@blueprint.route("/readyz", methods=["GET"])
@blueprint.response(200, ProbeSchema)
def readyz() -> ResponseReturnValue:
    """Say whether requests can be served, or what is missing."""
    missing = missing_part(services().database, services().artifacts)
    if missing:
        return problem(503, missing)
    body: dict[str, Any] = {"status": "ready"}
    return body
