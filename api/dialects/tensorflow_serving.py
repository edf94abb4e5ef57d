"""The REST API of TensorFlow Serving: status, metadata, predict, classify and regress.

Source: `tensorflow_serving/g3doc/api_rest.md` of TensorFlow Serving. A label is an alias, and a
path without either means the champion.
"""

from collections.abc import Callable
from typing import Any

import marshmallow as ma
from flask import Response, jsonify, request

from api.dialects.rows import from_inputs, from_instances, json_object, only_one
from api.parsing import Blueprint, StrictParser
from api.predictions import answer
from api.schemas.predict import ColumnsQuery
from api.services import services
from models.data.columns import ColumnType
from models.errors import Invalid
from models.fields import LARGEST_NUMBER, described
from models.serving.engine import Prediction, RowsOf
from models.serving.signature import Signature

blueprint = Blueprint(
    "tensorflow_serving",
    __name__,
    url_prefix="/v1/models",
    description="The REST API of TensorFlow Serving; see docs/protocols.md",
)

SIGNATURE_NAME = "serving_default"

# Where an operation is found, by the end of its name.
_PLACES = {
    "": "",
    "_version": f"/versions/<int(max={LARGEST_NUMBER}):version>",
    "_label": "/labels/<label>",
}
_DTYPES = {
    ColumnType.NUMBER: "DT_DOUBLE",
    ColumnType.BOOLEAN: "DT_BOOL",
    ColumnType.IMAGE: "DT_FLOAT",
}
_QUERY, _PARSER = ColumnsQuery(), StrictParser()


class StatusSchema(ma.Schema):
    """The state of versions; all that are published are available."""

    model_version_status = ma.fields.List(
        ma.fields.Dict(),
        metadata=described("`version`, `state` (`AVAILABLE`) and `status` of each."),
    )


class MetadataSchema(ma.Schema):
    """The signature of a version, as `GetModelMetadataResponse` has it."""

    model_spec = ma.fields.Dict(metadata=described("`name`, `signature_name` and `version`."))
    metadata = ma.fields.Dict(metadata=described("`signature_def` with inputs and outputs."))


class ServingRequestSchema(ma.Schema):
    """Rows, or columns, to predict."""

    signature_name = ma.fields.String(
        metadata=described("`serving_default`, which is the only one.")
    )
    instances = ma.fields.Raw(
        metadata=described("Rows: a list of objects, of lists or of cells.", type="array", items={})
    )
    inputs = ma.fields.Raw(
        metadata=described(
            "Columns: an object of lists; or a list of rows.",
            oneOf=[{"type": "object"}, {"type": "array", "items": {}}],
        )
    )


class ServingAnswerSchema(ma.Schema):
    """An answer for each row: a number, or the probabilities of the classes in their order."""

    predictions = ma.fields.List(ma.fields.Raw(), metadata=described("For `instances`."))
    outputs = ma.fields.List(ma.fields.Raw(), metadata=described("For `inputs`."))


class ExamplesSchema(ma.Schema):
    """Rows to classify, or to find a number for."""

    signature_name = ma.fields.String(metadata=described("`serving_default`."))
    context = ma.fields.Dict(metadata=described("Cells that all examples share."))
    examples = ma.fields.List(ma.fields.Dict(), required=True, metadata=described("Rows."))


class ResultsSchema(ma.Schema):
    """A number for each example, or a pair of label and probability for each of its classes."""

    results = ma.fields.List(ma.fields.Raw())


@blueprint.response(200, StatusSchema)
def status(model: str, version: int | None = None, label: str | None = None) -> dict[str, Any]:
    """Show which versions of a model can be asked."""
    catalog = services().models
    if version is None and label is None:
        found = catalog.numbers(model)
    else:
        found = [catalog.resolve(model, version, label)]
    is_fine = {"error_code": "OK", "error_message": ""}
    states = [{"version": str(number), "state": "AVAILABLE", "status": is_fine} for number in found]
    return {"model_version_status": states}


@blueprint.response(200, MetadataSchema)
def metadata(model: str, version: int | None = None, label: str | None = None) -> dict[str, Any]:
    """Show the inputs and outputs of a version."""
    number = services().models.resolve(model, version, label)
    signature = services().predictions.load(model, number).signature
    inputs = {
        column.name: _tensor(column.name, _DTYPES.get(column.type, "DT_STRING"), column.shape)
        for column in signature.columns
    }
    shape = (len(signature.classes),) if signature.classes else ()
    definition = {
        "inputs": inputs,
        "outputs": {_output(signature): _tensor(_output(signature), "DT_DOUBLE", shape)},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": model, "signature_name": "", "version": str(number)},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE_NAME: definition}}},
    }


def predict(model: str, version: int | None = None, label: str | None = None) -> Response:
    """Predict rows (`instances`) or columns (`inputs`)."""
    body = json_object("signature_name", "instances", "inputs")
    name = only_one(body, "instances", "inputs")
    make = from_instances if name == "instances" else from_inputs
    found = _ask(make(body[name]), body, model, version, label)
    answers = found.predictions if found.probabilities is None else found.probabilities
    return jsonify({"predictions" if name == "instances" else "outputs": answers})


def classify(model: str, version: int | None = None, label: str | None = None) -> Response:
    """Predict the probability of each class for examples."""
    found = _ask_examples(model, version, label)
    if found.classes is None or found.probabilities is None:
        raise Invalid.at("model", "This version gives numbers; use :regress.")
    labels = [str(each).lower() if isinstance(each, bool) else str(each) for each in found.classes]
    pairs = [list(map(list, zip(labels, row, strict=True))) for row in found.probabilities]
    return jsonify({"results": pairs})


def regress(model: str, version: int | None = None, label: str | None = None) -> Response:
    """Predict a number for each example."""
    found = _ask_examples(model, version, label)
    if found.classes is not None:
        raise Invalid.at("model", "This version gives classes; use :classify.")
    return jsonify({"results": found.predictions})


def _ask_examples(model: str, version: int | None, label: str | None) -> Prediction:
    body = json_object("signature_name", "context", "examples")
    context, examples = body.get("context"), body.get("examples")
    context = {} if context is None else context
    if not isinstance(context, dict):
        raise Invalid.at("context", "Expected an object of cells by column.")
    if not isinstance(examples, list) or any(not isinstance(row, dict) for row in examples):
        raise Invalid.at("examples", "Expected a list of objects of cells by column.")
    twice = sorted(context.keys() & set().union(*examples))
    if twice:
        raise Invalid.at(f"context.{twice[0]}", "Give it here or in examples.")
    rows = from_instances([context | row for row in examples], "examples")
    return _ask(rows, body, model, version, label)


def _ask(
    rows: RowsOf, body: dict[str, Any], model: str, version: int | None, label: str | None
) -> Prediction:
    name = body.get("signature_name")
    if name not in (None, "", SIGNATURE_NAME):
        raise Invalid.at(
            "signature_name", f'Serving signature name: "{name}" not found in signature def'
        )
    wanted: dict[str, Any] = {}
    if request.query_string:
        wanted = _PARSER.parse(_QUERY, request, location="query")
    return answer(services(), rows, wanted | {"model": model, "version": version, "alias": label})


def _output(signature: Signature) -> str:
    return "probabilities" if signature.classes else "prediction"


def _tensor(name: str, dtype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    sizes = [{"size": str(size), "name": ""} for size in (-1, *shape)]
    return {"name": name, "dtype": dtype, "tensor_shape": {"dim": sizes, "unknown_rank": False}}


def _register(
    view: Callable[..., Any], end: str, method: str, body: type[ma.Schema] | None = None
) -> None:
    """Serve a view at each of its places."""
    if body is not None:
        content = {"application/json": {"schema": body}}
        query = [{"in": "query", "schema": ColumnsQuery}]
        document = {"requestBody": {"required": True, "content": content}, "parameters": query}
        view = blueprint.doc(**document)(view)
        schema = ServingAnswerSchema if body is ServingRequestSchema else ResultsSchema
        view = blueprint.alt_response(200, schema=schema, description="Answers")(view)
    for suffix, place in _PLACES.items():
        rule, endpoint = f"/<model>{place}{end}", f"{view.__name__}{suffix}"
        blueprint.route(rule, methods=[method], endpoint=endpoint)(view)


_register(status, "", "GET")
_register(metadata, "/metadata", "GET")
_register(predict, ":predict", "POST", ServingRequestSchema)
_register(classify, ":classify", "POST", ExamplesSchema)
_register(regress, ":regress", "POST", ExamplesSchema)
