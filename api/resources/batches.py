"""Predictions of whole datasets and files, as jobs of their own."""

from functools import partial
from typing import Any

from flask import Response, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from api import downloads
from api.forms import MEDIA_TYPE, form_values, other_media_type
from api.hooks.auth import present_caller
from api.hooks.limits import current_body
from api.parsing import Blueprint, StrictParser
from api.schemas.batches import (
    FORMATS,
    BatchesQuery,
    BatchFormSchema,
    BatchPageSchema,
    BatchRequestSchema,
    BatchSchema,
)
from api.schemas.fields import page
from api.services import services
from models.access.keys import Scope
from models.batches.model import OPEN_STATES, Batch
from models.batches.submission import BatchRequest, File
from models.errors import Conflict, Forbidden
from models.store.pieces import CheckedPieces
from models.telemetry import add_about

_PARSER = StrictParser()

blueprint = Blueprint("batches", __name__, description="Predictions of whole files")


@blueprint.route("/models/<model>/batch", methods=["POST"])
@blueprint.response(202, BatchSchema)
@blueprint.alt_response(429, description="Too many batches are queued; see `Retry-After`")
@blueprint.doc(
    requestBody={
        "required": True,
        "content": {
            "application/json": {
                "schema": BatchRequestSchema,
                "example": {"dataset": "ds_3e0c", "keep": ["id"], "format": "parquet"},
            },
            MEDIA_TYPE: {"schema": BatchFormSchema},
        },
    }
)
def start(model: str) -> tuple[Batch, int, dict[str, str]]:
    """Predict all rows of a stored dataset, or of a file, in the background."""
    if request.mimetype == MEDIA_TYPE:
        batch = _from_form(model)
    elif request.is_json or not current_body():
        batch = _from_body(model)
    else:
        raise other_media_type()
    add_about(batch=batch.id, model=model, version=batch.version)
    return batch, 202, {"Location": url_for("batches.show", batch=batch.id)}


@blueprint.route("/batches", methods=["GET"])
@blueprint.arguments(BatchesQuery, location="query")
@blueprint.response(200, BatchPageSchema)
def index(query: dict[str, Any]) -> dict[str, Any]:
    """List batches, newest first."""
    found = services().batches.page(query["limit"] + 1, query["after"], query["state"])
    return page(found, query["limit"], lambda batch: batch.id)


@blueprint.route("/batches/<batch>", methods=["GET"])
@blueprint.response(200, BatchSchema)
def show(batch: str) -> Batch:
    """Show a batch's state and progress."""
    return services().batches.get(batch)


@blueprint.route("/batches/<batch>/file", methods=["GET"])
@blueprint.response(200, {"type": "string", "format": "binary"}, content_type=FORMATS["csv"])
@blueprint.alt_response(409, description="The batch has not succeeded")
@blueprint.doc(
    parameters=downloads.HEADERS,
    responses={
        **downloads.RESPONSES,
        200: {
            "content": {FORMATS["parquet"]: {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)
def download(batch: str) -> Response:
    """Download the result of a batch that has succeeded."""
    found = services().batches.get(batch)
    if found.result is None or found.sha256 is None:
        raise Conflict(f"Batch {batch} has no result: its state is {found.state}.")
    open_file = partial(services().artifacts.open, found.result)
    sha256, size = found.sha256, found.bytes or 0
    pieces = CheckedPieces(open_file, sha256, size, f"The result of {batch}")
    return downloads.send_file(found.filename, {"sha256": sha256, "bytes": size}, pieces)


@blueprint.route("/batches/<batch>", methods=["DELETE"])
@blueprint.response(204)
@blueprint.alt_response(200, schema=BatchSchema, description="The batch that was cancelled")
def remove(batch: str) -> ResponseReturnValue:
    """Cancel a batch that has not ended; delete one that has, with its result."""
    found = services()
    if found.batches.get(batch).state in OPEN_STATES:
        return jsonify(BatchSchema().dump(found.batches.cancel(batch)))
    found.deletion.batch(batch)
    return Response(status=204)


def _from_form(model: str) -> Batch:
    schema = BatchFormSchema()
    form = schema.load(form_values(schema))
    file, options = form.pop("file"), form.pop("options")
    return services().batch_submission.submit_file(
        BatchRequest(model, **form), File(file.stream, file.filename, file.mimetype, options)
    )


def _from_body(model: str) -> Batch:
    body = _PARSER.parse(BatchRequestSchema(), request, location="json")
    caller = present_caller()
    if caller is not None and not caller.may(Scope.READ):
        scope = Scope.READ.value
        raise Forbidden.at("dataset", f"This key lacks the scope {scope!r} that it takes.")
    dataset = body.pop("dataset")
    return services().batch_submission.submit_dataset(BatchRequest(model, **body), dataset)
