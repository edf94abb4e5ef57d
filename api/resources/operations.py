"""Probes, and where a browser that opens the bare address is sent."""

from typing import Any

from flask import Blueprint, redirect
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError

from api.errors import problem
from api.services import services

blueprint = Blueprint("operations", __name__)


@blueprint.get("/")
def home() -> ResponseReturnValue:
    """Send a browser to the documentation."""
    return redirect("/docs")


@blueprint.get("/healthz")
def healthz() -> dict[str, str]:
    """Say that the process answers; nothing else is looked at."""
    return {"status": "ok"}


@blueprint.get("/readyz")
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
