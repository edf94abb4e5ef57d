"""Predictions."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import marshmallow as ma
from flask import Response, after_this_request, jsonify, request
from flask.typing import ResponseReturnValue

from api.limits import current_body
from api.openapi import PREDICT_EXAMPLE
from api.parsing import MEDIA_TYPES, Blueprint, StrictParser, wanted_format
from api.schemas.predict import PredictionSchema, PredictQuery, PredictSchema, prediction_csv
from api.services import services
from models.data.table import ReadOptions, Table
from models.errors import Invalid
from models.serving.engine import AnswerOptions, Prediction
from models.serving.signature import ColumnRules
from models.telemetry import add_about

# Each row of the body gets an answer.
EVERY_ROW = ReadOptions(every_row=True)

blueprint = Blueprint("predict", __name__, url_prefix="/predict", description="Predictions")

_TABLES = (
    "application/vnd.apache.parquet",
    "application/vnd.apache.arrow.file",
    "application/vnd.apache.arrow.stream",
    "text/csv",
)
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_COLUMNS = ("unknown_columns", "missing_columns")
_OPTIONS = ("interval", "threshold")
_REQUIRED = str(ma.fields.Field.default_error_messages["required"])
# Making a schema takes longer than loading a request by it.
_QUERY, _BODY, _PARSER = PredictQuery(), PredictSchema(), StrictParser()


@blueprint.route("", methods=["POST"])
@blueprint.alt_response(200, schema=PredictionSchema, description="Predictions")
@blueprint.alt_response(422, description="A field, a column or a cell breaks a rule: see `errors`")
@blueprint.doc(
    parameters=[{"in": "query", "schema": PredictQuery}],
    requestBody={
        "required": True,
        "content": {
            "application/json": {"schema": PredictSchema, "example": PREDICT_EXAMPLE},
            **dict.fromkeys(_TABLES, _BYTES),
        },
    },
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def predict() -> ResponseReturnValue:
    """Predict rows of JSON, or of a table, with a registered model."""
    rows, wanted = _read()
    model, found = wanted["model"], services()
    version, shadow = found.routes.resolve(
        model, wanted.get("version"), wanted.get("alias"), wanted.get("key")
    )
    add_about(model=model, version=version)
    rules = ColumnRules(**{name: wanted[name] for name in _COLUMNS if name in wanted})
    options = AnswerOptions(**{name: wanted[name] for name in _OPTIONS if name in wanted})
    predict: Callable[..., Prediction] = found.predictions.predict
    if isinstance(rows, Table):
        predict = found.predictions.predict_table
    prediction = predict(model, version, rows, rules, options)
    found.metrics.predicted(model, version, len(prediction.predictions))
    if shadow is not None:
        plain = replace(options, interval=None)
        again = partial(predict, model, shadow, rows, rules, plain)
        _after_answer(partial(found.shadows.compare, prediction, shadow, again))
    return _answer(prediction)


def _after_answer(call: Callable[[], None]) -> None:
    """Make a call once the answer to the present request has been sent."""

    @after_this_request
    def _(response: Response) -> Response:
        response.call_on_close(call)
        return response


def _read() -> tuple[Any, dict[str, Any]]:
    """Return the rows of the body, a Table or JSON, and what is wanted of them."""
    query: dict[str, Any] = {}
    if request.query_string:
        query = _PARSER.parse(_QUERY, request, location="query")
    if request.mimetype in _TABLES:
        return _read_table(query), query
    wanted = _PARSER.parse(_BODY, request, location="json")
    misplaced = {name: ["Give it in the body."] for name in query if name not in _COLUMNS}
    twice = {name: ["Give it once."] for name in query.keys() & wanted.keys()}
    if misplaced or twice:
        raise Invalid(twice | misplaced)
    return wanted["instances"], wanted | query


def _read_table(query: dict[str, Any]) -> Table:
    if "model" not in query:
        raise Invalid.at("model", _REQUIRED)
    content = current_body()
    try:
        return services().datasets.read_table(content, None, request.mimetype, EVERY_ROW)
    except Invalid as error:
        # What is said of a file holds for the body.
        paths = {
            ("body" if path == "file" else path): texts for path, texts in error.errors.items()
        }
        raise Invalid(paths) from None


def _answer(prediction: Prediction) -> Response:
    if wanted_format(None, MEDIA_TYPES) == "csv":
        response = Response(prediction_csv(prediction), mimetype=MEDIA_TYPES["csv"])
    else:
        # The schema would visit every number of thousands of rows; the engine returns JSON values.
        body: dict[str, Any] = {
            "model": prediction.model,
            "version": prediction.version,
            "predictions": prediction.predictions,
        }
        if prediction.classes is not None:
            body |= {"classes": prediction.classes, "probabilities": prediction.probabilities}
        optional = ("threshold", "interval", "lower", "upper", "labels")
        named = {name: getattr(prediction, name) for name in optional}
        body |= {name: found for name, found in named.items() if found is not None}
        response = jsonify(body)
    response.vary.add("Accept")
    return response
