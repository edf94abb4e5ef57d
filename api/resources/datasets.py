"""Datasets."""

from datetime import datetime
from typing import Any

from flask import request, url_for

from api.forms import MEDIA_TYPE, form_values, other_media_type
from api.hooks.limits import current_body
from api.parsing import Blueprint, parse_json
from api.schemas.datasets import (
    DatasetPageSchema,
    DatasetSchema,
    InlineDatasetSchema,
    PreviewQuery,
    PreviewSchema,
    UploadSchema,
)
from api.schemas.deletion import DeleteDatasetsQuery, DeletedSchema
from api.schemas.fields import PageQuery, page
from api.services import services
from models.data.library.catalog import DatasetRecord
from models.retention.deletion import Deleted

blueprint = Blueprint("datasets", __name__, url_prefix="/datasets", description="Datasets")

_EXAMPLE = {
    "records": [
        {"city": "Graz", "rooms": 3, "balcony": True, "price": 210.5},
        {"city": "Wien", "rooms": 2, "balcony": None, "price": 305.0},
    ],
    "name": "flats",
}


@blueprint.route("", methods=["POST"])
@blueprint.response(201, DatasetSchema)
@blueprint.doc(
    requestBody={
        "required": True,
        "content": {
            MEDIA_TYPE: {"schema": UploadSchema},
            "application/json": {"schema": InlineDatasetSchema, "example": _EXAMPLE},
        },
    }
)
def create() -> tuple[DatasetRecord, int, dict[str, str]]:
    """Store a dataset: a file as multipart form, or as JSON rows, or where a file is."""
    if request.mimetype == MEDIA_TYPE:
        record = _from_form()
    elif request.is_json:
        record = _from_body()
    else:
        raise other_media_type()
    return record, 201, {"Location": url_for("datasets.show", dataset=record.id)}


@blueprint.route("", methods=["GET"])
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, DatasetPageSchema)
def index(query: dict[str, Any]) -> dict[str, Any]:
    """List datasets, newest first."""
    found = services().datasets.catalog.page(query["limit"] + 1, query["after"])
    return page(found, query["limit"], lambda record: record.id)


@blueprint.route("/<dataset>", methods=["GET"])
@blueprint.response(200, DatasetSchema)
def show(dataset: str) -> DatasetRecord:
    """Show a dataset's columns."""
    return services().datasets.catalog.get(dataset)


@blueprint.route("/<dataset>", methods=["DELETE"])
@blueprint.response(204)
def remove(dataset: str) -> None:
    """Delete a dataset that no unfinished job needs."""
    services().deletion.dataset(dataset)


@blueprint.route("", methods=["DELETE"])
@blueprint.arguments(DeleteDatasetsQuery, location="query")
@blueprint.response(200, DeletedSchema)
def remove_many(query: dict[str, Any]) -> Deleted:
    """Delete datasets that match a filter and that no unfinished job needs."""
    return services().deletion.datasets(**query)


@blueprint.route("/<dataset>/preview", methods=["GET"])
@blueprint.arguments(PreviewQuery, location="query")
@blueprint.response(200, PreviewSchema)
def preview(query: dict[str, Any], dataset: str) -> dict[str, Any]:
    """Show a dataset's first rows."""
    return {"items": services().datasets.preview(dataset, query["rows"])}


def _from_form() -> DatasetRecord:
    schema = UploadSchema()
    form = schema.load(form_values(schema))
    file = form["file"]
    return services().datasets.add_file(
        file.stream, file.filename, file.mimetype, form["types"], form["name"], form["options"]
    )


def _from_body() -> DatasetRecord:
    body = InlineDatasetSchema().load(parse_json(current_body()))
    how = {name: body.pop(name) for name in ("types", "name", "options")}
    since, until = body.pop("since"), body.pop("until")
    if "from_log" in body:
        return _from_log(body["from_log"], since, until, how["name"])
    if "url" in body:
        return services().datasets.add_url(body["url"], **how)
    if "dataset" in body:
        return services().datasets.add_from(body["dataset"], **how)
    return services().datasets.add_inline(body, **how)


def _from_log(
    model: str, since: datetime | None, until: datetime | None, name: str | None
) -> DatasetRecord:
    found = services()
    found.models.model(model)
    found.recorder.flush(whole=True)
    with found.turns.take():
        rows = found.logged_data.rows(model, since, until, found.settings.max_rows)
        reading = {
            "format": "prediction log",
            "model": model,
            "versions": rows.versions,
            "rows": rows.dataset.rows,
            "without_truth": rows.without_truth,
        }
        return found.datasets.add(rows.dataset, name or f"log of {model}", reading=reading)
