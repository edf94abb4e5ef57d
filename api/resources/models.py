"""Models, versions, aliases and their files."""

import re
from http import HTTPStatus
from typing import Any

from flask import Response, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.http import quote_etag

from api import downloads
from api.forms import MEDIA_TYPE, form_values
from api.parsing import Blueprint
from api.schemas.fields import NumberedPageQuery, page
from api.schemas.models.aliases import AliasMovePageSchema, AliasSchema, RollbackSchema, RouteSchema
from api.schemas.models.imports import ImportSchema
from api.schemas.models.models import (
    ModelChangeSchema,
    ModelDetailSchema,
    ModelPageSchema,
    ModelSchema,
    ModelsQuery,
)
from api.schemas.models.versions import VersionSchema
from api.schemas.predict import VersionQuery
from api.schemas.rows import row_schema
from api.services import services
from models.errors import Invalid, UnsupportedMediaType
from models.fields import ALIAS_NAME, LARGEST_NUMBER, MODEL_NAME, FullMatch
from models.monitoring.guard import check_metrics
from models.registry.catalog.records import ModelRecord, VersionRecord
from models.registry.catalog.routes import Route

blueprint = Blueprint("models", __name__, url_prefix="/models", description="Models")

_MODEL_FIELDS = tuple(ModelSchema().fields)
_IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "description": "The `ETag` that the alias is to have until now; else 412. Of an alias with one"
    " version and no shadow that is the version in quotes.",
    "schema": {"type": "string", "example": '"3"'},
}
_ALIAS_TAG = {
    "ETag": {
        "description": "Of the alias: the version in quotes, or a text of weights and shadow.",
        "schema": {"type": "string"},
    }
}


def _named(name: str, rule: FullMatch) -> dict[str, Any]:
    """Return the parameter of a path that holds a name."""
    schema = {"type": "string", "pattern": rule.pattern}
    return {"in": "path", "name": name, "description": rule.rule, "schema": schema}


@blueprint.after_request
def _follow(response: Response) -> Response:
    """Let the next prediction of this process know of a change that is just answered."""
    if request.method != "GET" and response.status_code < HTTPStatus.BAD_REQUEST:
        services().routes.refresh()
    return response


@blueprint.route("", methods=["GET"])
@blueprint.arguments(ModelsQuery, location="query")
@blueprint.response(200, ModelPageSchema)
def index(query: dict[str, Any]) -> dict[str, Any]:
    """List models by name."""
    found = services().models.models(query["limit"] + 1, query["after"])
    return page(found, query["limit"], lambda record: record.name)


@blueprint.route("/<model>", methods=["GET"])
@blueprint.response(200, ModelDetailSchema)
def show(model: str) -> dict[str, Any]:
    """Show a model's aliases and versions."""
    catalog = services().models
    found = catalog.model(model)
    shown = {name: getattr(found, name) for name in _MODEL_FIELDS}
    return shown | {"versions": catalog.versions(model)}


@blueprint.route(f"/<model>/versions/<int(max={LARGEST_NUMBER}):version>", methods=["GET"])
@blueprint.response(200, VersionSchema)
def show_version(model: str, version: int) -> VersionRecord:
    """Show a version's evidence, signature, lineage and layers."""
    return services().models.version(model, version)


@blueprint.route("/<model>/schema", methods=["GET"])
@blueprint.arguments(VersionQuery, location="query")
@blueprint.response(200, {"type": "object"}, content_type="application/schema+json")
def schema(query: dict[str, Any], model: str) -> ResponseReturnValue:
    """Show the JSON Schema of a row that a version takes."""
    catalog = services().models
    number = catalog.resolve(model, query.get("version"), query.get("alias"))
    response = jsonify(row_schema(model, number, catalog.version(model, number).signature))
    response.mimetype = "application/schema+json"
    return response


@blueprint.route(
    f"/<model>/versions/<int(max={LARGEST_NUMBER}):version>/artifacts/<file>", methods=["GET"]
)
@blueprint.response(
    200, {"type": "string", "format": "binary"}, content_type="application/octet-stream"
)
@blueprint.doc(
    parameters=downloads.HEADERS,
    responses={
        200: {
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "text/markdown": {"schema": {"type": "string"}},
            }
        },
        **downloads.RESPONSES,
    },
)
def download(model: str, version: int, file: str) -> ResponseReturnValue:
    """Download one file of a version, or a part of it."""
    files = services().version_files
    entry = files.entry(model, version, file)
    return downloads.send_file(file, entry, files.pieces(model, version, file, entry))


@blueprint.route(
    "/<model>/aliases/<alias>",
    methods=["PUT"],
    parameters=[_named("alias", ALIAS_NAME)],
)
@blueprint.arguments(AliasSchema)
@blueprint.response(200, ModelSchema, headers=_ALIAS_TAG)
@blueprint.alt_response(412, description="The alias points at another version than `If-Match`")
@blueprint.doc(parameters=[_IF_MATCH])
def point(
    wanted: dict[str, Any], model: str, alias: str
) -> tuple[ModelRecord, int, dict[str, str]]:
    """Point an alias at a version, or at several by weights; set or end its shadow."""
    if not re.fullmatch(ALIAS_NAME.pattern, alias):
        raise Invalid.at("alias", ALIAS_NAME.rule)
    tags = request.if_match  # empty, too, if the header cannot be read: then nothing matches
    is_sent = "If-Match" in request.headers
    expects = tags.contains if is_sent else None
    catalog = services().models
    route = catalog.set_alias(model, alias, wanted["change"], expects, wanted["reason"])
    return catalog.model(model), 200, {"ETag": quote_etag(route.tag)}


@blueprint.route("/<model>/aliases/<alias>", methods=["GET"])
@blueprint.response(200, RouteSchema, headers=_ALIAS_TAG)
def show_alias(model: str, alias: str) -> tuple[Route, int, dict[str, str]]:
    """Show the versions that an alias names."""
    route = services().models.route(model, alias)
    return route, 200, {"ETag": quote_etag(route.tag)}


@blueprint.route("/<model>/aliases/<alias>/history", methods=["GET"])
@blueprint.arguments(NumberedPageQuery, location="query")
@blueprint.response(200, AliasMovePageSchema)
def moves(query: dict[str, Any], model: str, alias: str) -> dict[str, Any]:
    """List the moves of an alias, newest first: when, from where to where, by whom and why."""
    found = services().models.moves(model, alias, query["limit"] + 1, query["after"])
    return page(found, query["limit"], lambda move: move.id)


@blueprint.route(
    "/<model>/versions",
    methods=["POST"],
    parameters=[_named("model", MODEL_NAME)],
)
@blueprint.response(201, VersionSchema)
@blueprint.doc(
    requestBody={"required": True, "content": {MEDIA_TYPE: {"schema": ImportSchema}}},
)
def import_version(model: str) -> tuple[VersionRecord, int, dict[str, str]]:
    """Make a version of an ONNX graph; it is run, and nothing is claimed of it."""
    if not re.fullmatch(MODEL_NAME.pattern, model):
        raise Invalid.at("model", MODEL_NAME.rule)
    if request.mimetype != MEDIA_TYPE:
        raise UnsupportedMediaType(f"Send the graph as {MEDIA_TYPE}, as the field `file`.")
    schema = ImportSchema()
    form = schema.load(form_values(schema))
    number = services().imports.add(model, form["file"].stream.read(), **form["request"])
    location = url_for("models.show_version", model=model, version=number)
    return services().models.version(model, number), 201, {"Location": location}


@blueprint.route("/<model>", methods=["PATCH"])
@blueprint.arguments(ModelChangeSchema)
@blueprint.response(200, ModelSchema)
def change(wanted: dict[str, Any], model: str) -> ModelRecord:
    """Change who may move `champion` by a job, the prediction log, and the guard."""
    catalog = services().models
    if wanted.get("rollback_when"):
        newest = catalog.version(model, catalog.model(model).latest_version)
        check_metrics(wanted["rollback_when"], newest.task)
    catalog.change_settings(model, wanted)
    services().recorder.refresh()
    return catalog.model(model)


@blueprint.route("/<model>/rollback", methods=["POST"])
@blueprint.arguments(RollbackSchema, required=False)
@blueprint.response(200, ModelSchema)
def rollback(wanted: dict[str, Any], model: str) -> ModelRecord:
    """Point `champion` back at the version, or the weights, before."""
    services().models.rollback(model, wanted["from_"], wanted["reason"])
    return services().models.model(model)


@blueprint.route("/<model>", methods=["DELETE"])
@blueprint.response(204)
def remove(model: str) -> None:
    """Delete a model with its aliases, versions and their files."""
    services().deletion.model(model)


@blueprint.route(f"/<model>/versions/<int(max={LARGEST_NUMBER}):version>", methods=["DELETE"])
@blueprint.response(204)
def remove_version(model: str, version: int) -> None:
    """Delete a version that no alias points at; its number is not used again."""
    services().deletion.version(model, version)


@blueprint.route("/<model>/aliases/<alias>", methods=["DELETE"])
@blueprint.response(204)
def remove_alias(model: str, alias: str) -> None:
    """Delete an alias; the list of its moves stays."""
    services().deletion.alias(model, alias)
