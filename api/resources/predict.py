"""Predictions."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import marshmallow as ma
from flask import Response, jsonify, request
from flask.typing import ResponseReturnValue

from api.arrays import (
    arrow_of,
    npy_of,
    npz_of,
    parquet_of,
    read_npy,
    read_npz,
    rows_of_arrays,
)
from api.hooks.limits import current_body
from api.openapi import PREDICT_EXAMPLE
from api.parsing import MEDIA_TYPES, Blueprint, StrictParser, wanted_format
from api.predictions import COLUMN_RULES, answer, read_table
from api.schemas.predict import (
    ID_HEADER,
    PredictionSchema,
    PredictQuery,
    PredictSchema,
    prediction_body,
    prediction_csv,
)
from api.services import services
from models.errors import Invalid
from models.serving.engine import Prediction, Rows, RowsOf

blueprint = Blueprint("predict", __name__, url_prefix="/predict", description="Predictions")

_TABLES = (
    "application/vnd.apache.parquet",
    "application/vnd.apache.arrow.file",
    "application/vnd.apache.arrow.stream",
    "text/csv",
)
_NPY, _NPZ = "application/x-npy", "application/x-npz"
_ANSWERS = MEDIA_TYPES | {
    "npy": _NPY,
    "npz": _NPZ,
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
_WRITERS: Mapping[str, Callable[[Prediction], bytes]] = {
    "csv": lambda prediction: prediction_csv(prediction).encode(),
    "npy": npy_of,
    "npz": npz_of,
    "arrow": arrow_of,
    "parquet": parquet_of,
}
_IDENTIFIED = {
    ID_HEADER: {"description": "As `prediction_id`.", "schema": {"type": "string"}},
}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_REQUIRED = str(ma.fields.Field.default_error_messages["required"])
# Making a schema takes longer than loading a request by it.
_QUERY, _BODY, _PARSER = PredictQuery(), PredictSchema(), StrictParser()


@blueprint.route("", methods=["POST"])
@blueprint.alt_response(
    200, schema=PredictionSchema, description="Predictions", headers=_IDENTIFIED
)
@blueprint.alt_response(422, description="A field, a column or a cell breaks a rule: see `errors`")
@blueprint.doc(
    parameters=[{"in": "query", "schema": PredictQuery}],
    requestBody={
        "required": True,
        "content": {
            "application/json": {"schema": PredictSchema, "example": PREDICT_EXAMPLE},
            **dict.fromkeys((*_TABLES, _NPY, _NPZ), _BYTES),
        },
    },
    responses={
        200: {"content": {kind: _BYTES for kind in _ANSWERS.values() if "json" not in kind}}
    },
)
def predict() -> ResponseReturnValue:
    """Predict rows of JSON, of a table or of arrays, with a registered model."""
    rows, wanted = _read()
    return _answer(answer(services(), rows, wanted))


def _read() -> tuple[Rows | RowsOf, dict[str, Any]]:
    """Return the rows of the body, and what is wanted of them."""
    query: dict[str, Any] = {}
    if request.query_string:
        query = _PARSER.parse(_QUERY, request, location="query")
    if request.mimetype in _TABLES:
        _check_model(query)
        return read_table(services(), current_body(), request.mimetype), query
    if request.mimetype in (_NPY, _NPZ):
        _check_model(query)
        content = current_body()
        is_one = request.mimetype == _NPY
        arrays = {"": read_npy(content)} if is_one else read_npz(content, services())
        return partial(rows_of_arrays, arrays), query
    wanted = _PARSER.parse(_BODY, request, location="json")
    misplaced = {name: ["Give it in the body."] for name in query if name not in COLUMN_RULES}
    twice = {name: ["Give it once."] for name in query.keys() & wanted.keys()}
    if misplaced or twice:
        raise Invalid(twice | misplaced)
    return wanted["instances"], wanted | query


def _check_model(query: dict[str, Any]) -> None:
    if "model" not in query:
        raise Invalid.at("model", _REQUIRED)


def _answer(prediction: Prediction) -> Response:
    form = wanted_format(None, _ANSWERS)
    if form in _WRITERS:
        response = Response(_WRITERS[form](prediction), mimetype=_ANSWERS[form])
    else:
        response = jsonify(prediction_body(prediction, prediction.id))
    response.headers[ID_HEADER] = prediction.id
    response.headers.add("Vary", "Accept")
    return response
