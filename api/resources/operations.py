"""Probes."""

from typing import Any

from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError

from api.bodies import Blueprint
from api.errors import problem
from api.schemas.operations import ProbeSchema
from api.services import services

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
    missing = _missing()
    if missing:
        return problem(503, missing)
    body: dict[str, Any] = {"status": "ready"}
    return body


def _missing() -> str | None:
    database = services().database
    try:
        if not database.is_current:
            return "The database lacks migrations; run: luthier migrate"
    except DBAPIError:
        return "The database does not answer."
    return None
