"""What versions do in production: figures, drift, feedback."""

from typing import Any

from api.parsing import Blueprint
from api.schemas.models.monitoring import (
    FeedbackSchema,
    MonitorQuery,
    MonitorSchema,
    StoredFeedbackSchema,
)
from api.services import services
from models.monitoring.feedback import TrueValues
from models.monitoring.monitor import ModelMonitor

blueprint = Blueprint("monitoring", __name__, url_prefix="/models", description="Monitoring")


@blueprint.route("/<model>/monitor", methods=["GET"])
@blueprint.arguments(MonitorQuery, location="query")
@blueprint.response(200, MonitorSchema)
def show(query: dict[str, Any], model: str) -> ModelMonitor:
    """Show what the versions of a model do: rate, errors, latency, live score and drift."""
    services().recorder.try_flush()
    return services().monitor.report(model, query["hours"])


@blueprint.route("/<model>/feedback", methods=["POST"])
@blueprint.arguments(FeedbackSchema)
@blueprint.response(200, StoredFeedbackSchema)
@blueprint.alt_response(404, description="The log does not hold that prediction")
@blueprint.alt_response(409, description="The log does not hold that prediction yet")
def give_feedback(wanted: dict[str, Any], model: str) -> dict[str, Any]:
    """Store the true values of predictions, by their ids or with their rows."""
    found = services()
    if "instances" in wanted:
        version = found.models.resolve(model, wanted.get("version"), wanted.get("alias"))
        rows = found.feedback.add_rows(model, version, wanted["instances"], wanted["truth"])
        return {"predictions": 1, "rows": rows}
    found.models.model(model)
    is_one = "items" not in wanted
    items = [wanted] if is_one else wanted["items"]
    paths = [""] if is_one else [f"items.{place}." for place in range(len(items))]
    told = [TrueValues(item["prediction_id"], item["truth"]) for item in items]
    rows = found.feedback.add(model, told, paths)
    return {"predictions": len({item.prediction_id for item in told}), "rows": rows}
