"""The audit log."""

from typing import Any

from api.parsing import Blueprint
from api.schemas.fields import page
from api.schemas.operations import AuditPageSchema, AuditQuery
from api.services import services

blueprint = Blueprint("audit", __name__, url_prefix="/audit", description="Who changed what")


@blueprint.route("", methods=["GET"])
@blueprint.arguments(AuditQuery, location="query")
@blueprint.response(200, AuditPageSchema)
def index(query: dict[str, Any]) -> dict[str, Any]:
    """List changes with the keys that made them, newest first."""
    limit = query.pop("limit")
    return page(services().audit.page(limit + 1, **query), limit, lambda entry: entry.entry)
