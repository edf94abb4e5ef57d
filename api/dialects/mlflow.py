"""The scoring server of MLflow 2 and 3: `/invocations`, `/ping`, `/health` and `/version`.

Source: "Deploy MLflow Model as a Local Inference Server" of MLflow's documentation. As in MLflow,
columns that nobody knows are left out.
"""

from typing import Any

import marshmallow as ma
from flask import Response, jsonify, request

from api.dialects.rows import from_inputs, from_instances, json_object, only_one
from api.errors import problem
from api.hooks.limits import current_body
from api.monitoring import OK
from api.parsing import Blueprint, StrictParser
from api.predictions import answer, read_table
from api.schemas.predict import InvocationsQuery
from api.services import services
from models import __version__
from models.errors import Invalid, UnsupportedMediaType
from models.fields import described
from models.serving.engine import Rows, RowsOf

blueprint = Blueprint("mlflow", __name__, description="MLflow's scoring server")

_CSV = "text/csv"
# curl -d sends JSON under this name unless it is told another one.
_JSON = frozenset({"application/json", "application/x-www-form-urlencoded", ""})
_FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_SPLIT = frozenset({"columns", "data", "index"})
_TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}
_QUERY, _PARSER = InvocationsQuery(), StrictParser()


class SplitSchema(ma.Schema):
    """A DataFrame, as pandas' `to_dict(orient="split")` writes it."""

    columns = ma.fields.List(
        ma.fields.String(), metadata=described("Default: those of the model, in its order.")
    )
    data = ma.fields.List(ma.fields.List(ma.fields.Raw()), required=True)
    index = ma.fields.List(ma.fields.Raw(), metadata=described("Of no effect."))


class InvocationSchema(ma.Schema):
    """Rows in one of the four forms."""

    dataframe_split = ma.fields.Nested(SplitSchema)
    dataframe_records = ma.fields.List(ma.fields.Dict())
    instances = ma.fields.List(ma.fields.Raw())
    inputs = ma.fields.Raw(
        metadata=described(
            "Columns: an object of lists; or a list of rows.",
            oneOf=[{"type": "object"}, {"type": "array", "items": {}}],
        )
    )
    params = ma.fields.Dict(allow_none=True, metadata=described("Must be empty."))


class InvocationAnswerSchema(ma.Schema):
    """A number, or a label, for each row."""

    predictions = ma.fields.List(ma.fields.Raw())


@blueprint.route("/invocations", methods=["POST"])
@blueprint.alt_response(200, schema=InvocationAnswerSchema, description="Predictions")
@blueprint.doc(
    requestBody={
        "required": True,
        "content": {
            "application/json": {"schema": InvocationSchema},
            _CSV: {"schema": {"type": "string"}},
        },
    },
    parameters=[{"in": "query", "schema": InvocationsQuery}],
)
def invocations() -> Response:
    """Predict rows with the model of the query, of the settings, or the only one."""
    wanted: dict[str, Any] = {"unknown_columns": "ignore"}
    wanted |= _PARSER.parse(_QUERY, request, location="query")
    if "model" not in wanted:
        wanted["model"] = _default_model()
    return jsonify({"predictions": answer(services(), _read_rows(), wanted).predictions})


def _text_probe() -> Response:
    """Report whether requests can be served, as `/readyz` does."""
    missing = [found for found in services().readiness.checks().values() if found != OK]
    return problem(503, " ".join(missing)) if missing else Response("\n", mimetype="text/plain")


@blueprint.route("/version", methods=["GET"])
@blueprint.doc(responses={200: {"description": "The version of Luthier", **_TEXT}})
def version() -> Response:
    """Show the version of the server."""
    return Response(__version__, mimetype="text/plain")


_probe = blueprint.doc(responses={200: {"description": "An empty line", **_TEXT}})(_text_probe)
for _name in ("ping", "health"):
    blueprint.route(f"/{_name}", methods=["GET"], endpoint=_name)(_probe)


def _default_model() -> str:
    """Return the model of the settings, or the only one; raise Invalid at `model` if there is none.

    Two models without a setting are refused: neither is meant more than the other.
    """
    found = services()
    if found.settings.invocations_model:
        return found.settings.invocations_model
    models = found.models.models(2)
    if len(models) != 1:
        raise Invalid.at(
            "model",
            f"There {'are several models' if models else 'is no model'}: name one in the query, as"
            " in /invocations?model=…, or in LUTHIER_INVOCATIONS_MODEL.",
        )
    return models[0].name


def _read_rows() -> Rows | RowsOf:
    """Return the rows of the present body, JSON or CSV."""
    if request.mimetype == _CSV:
        return read_table(services(), current_body(), _CSV)
    if request.mimetype not in _JSON:
        raise UnsupportedMediaType(
            f"The body's content type is {request.mimetype}; send application/json or {_CSV}."
        )
    body = json_object(*_FORMATS, "params")
    if body.get("params") not in (None, {}):
        raise Invalid.at("params", "No model here has parameters.")
    name = only_one(body, *_FORMATS)
    if name == "dataframe_split":
        return _split(body[name])
    return from_inputs(body[name]) if name == "inputs" else from_instances(body[name], name)


def _split(frame: Any) -> Rows:
    """Return the rows of a DataFrame, as objects if it names its columns."""
    if not isinstance(frame, dict) or not isinstance(frame.get("data"), list):
        raise Invalid.at("dataframe_split", "Expected an object with columns and data.")
    unknown = sorted(frame.keys() - _SPLIT)
    if unknown:
        raise Invalid.at(f"dataframe_split.{unknown[0]}", "Unknown field.")
    rows: list[Any] = frame["data"]
    columns = frame.get("columns")
    if columns is None:
        return rows
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise Invalid.at("dataframe_split.columns", "Expected a list of names.")
    if len(set(columns)) < len(columns):
        raise Invalid.at("dataframe_split.columns", "Two columns have the same name.")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            path = f"dataframe_split.data.{number}"
            raise Invalid.at(path, f"Expected a list of {len(columns)} cells.")
    return [dict(zip(columns, row, strict=True)) for row in rows]
