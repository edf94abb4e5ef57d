"""Predictions."""

from typing import Any

from flask import jsonify
from flask.typing import ResponseReturnValue

from api.parsing import Blueprint
from api.schemas.predict import PredictionSchema, PredictSchema
from api.services import services
from models.telemetry import add_about

blueprint = Blueprint("predict", __name__, url_prefix="/predict", description="Predictions")


@blueprint.route("", methods=["POST"])
@blueprint.arguments(PredictSchema)
@blueprint.alt_response(200, schema=PredictionSchema, description="Predictions")
def predict(wanted: dict[str, Any]) -> ResponseReturnValue:
    """Predict rows with a registered model."""
    model = wanted["model"]
    version = services().models.resolve(model, wanted["version"], wanted["alias"])
    add_about(model=model, version=version)
    prediction = services().predictions.predict(model, version, wanted["instances"])
    services().metrics.predicted(model, version, len(wanted["instances"]))
    # The schema would visit every number of thousands of rows; the engine returns JSON values.
    body = {"model": model, "version": version, "predictions": prediction.predictions}
    if prediction.classes is not None:
        body |= {"classes": prediction.classes, "probabilities": prediction.probabilities}
    return jsonify(body)
