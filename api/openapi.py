"""The OpenAPI document, generated from the code, and the pages that show it."""

import json
import threading
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import marshmallow as ma
import swagger_ui_bundle
import yaml
from apispec import APISpec, BasePlugin
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Blueprint, Flask, Response, current_app, send_from_directory
from flask_smorest import Api
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow.validate import Range

from api.dialects.errors import ERROR_SCHEMAS
from api.errors import PROBLEM_TYPE, ProblemSchema, on_http_exception
from api.hooks.auth import OPERATIONS, SECURITY_SCHEMES, scope_of
from api.hooks.commands import takes_key
from models import __version__
from models.access.idempotency import HEADER, MAX_LENGTH

CONFIGURATION: dict[str, Any] = {
    "API_TITLE": "Luthier",
    "API_VERSION": __version__,
    "OPENAPI_VERSION": "3.0.3",  # the newest that the bundled Swagger UI shows
    "OPENAPI_URL_PREFIX": "/",
    "OPENAPI_JSON_PATH": "openapi.json",
    "OPENAPI_SWAGGER_UI_PATH": "/docs",
    "OPENAPI_SWAGGER_UI_URL": "/docs/assets/",
    "API_SPEC_OPTIONS": {
        "info": {
            "description": "Tunes neural networks and serves the winner.",
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "servers": [{"url": "/", "description": "The service that answers this document."}],
    },
}

TUNE_EXAMPLE: dict[str, Any] = {
    "model": "diabetes",
    "dataset": "builtin:diabetes",
    "target": "target",
    "search_space": {
        "num_layers": {"type": "int", "min": 2, "max": 5},
        "units": {"type": "int", "min": 64, "max": 512, "step": 32, "per_layer": True},
        "activation": {"type": "choice", "values": ["selu", "relu"]},
        "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
        "momentum": {"type": "float", "min": 0.0, "max": 0.99, "when": {"optimizer": ["sgd"]}},
        "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
        "kernel_initializer": "glorot_uniform",
    },
    "strategy": {"name": "random"},
    "objective": {"metric": "val_loss"},
    "budget": {"max_trials": 20, "epochs": 50},
    "seed": 42,
}

TUNE_FORM_EXAMPLE: dict[str, Any] = {
    "file": "rooms,town,price\n3,Graz,210.5\n2,Wien,305.0\n",
    "target": "price",
    "budget": {"max_trials": 10},
}

PREDICT_EXAMPLE = {"model": "house-prices", "instances": [{"rooms": 3, "city": "Graz"}]}

_PROPERTIES = {
    "minItems": "minProperties",
    "maxItems": "maxProperties",
    "minLength": "minProperties",
    "maxLength": "maxProperties",
}

_IDEMPOTENCY_KEY = {
    "in": "header",
    "name": HEADER,
    "description": "The request changes something once, however often it is sent with this key; the"
    " first answer is sent again. 409 with `Retry-After` while the first is under way, 422 with"
    " another request.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH},
}

_PROBLEM = {"$ref": "#/components/schemas/Problem"}

blueprint = Blueprint("openapi", __name__)


class LazyApi(Api):  # type: ignore[misc]
    """flask-smorest with our error bodies, which writes the document when somebody asks for it.

    Writing takes twice as long as all else that the start of an application does.
    """

    ERROR_SCHEMA = ProblemSchema
    handle_http_exception = staticmethod(on_http_exception)

    def __init__(self, app: Flask) -> None:
        self._writing = threading.RLock()
        self._written: APISpec | None = None
        self._documented: list[SmorestBlueprint] = []
        super().__init__(app)

    def register_blueprint(self, blp: SmorestBlueprint, **options: Any) -> None:
        """Register the routes of a blueprint; its part of the document is written later."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blp.name] = self
        self._app.register_blueprint(blp, **options)
        self._documented.append(blp)

    @property
    def spec(self) -> APISpec:
        """The document, written at the first call."""
        with self._writing:
            return self._written or self._write()

    @spec.setter
    def spec(self, spec: APISpec | None) -> None:
        self._written = spec

    def _init_spec(self, **_: Any) -> None:
        """Leave the document to `_write`."""

    def _write(self) -> APISpec:
        super()._init_spec(marshmallow_plugin=SchemaPlugin(), extra_plugins=[OperationsPlugin()])
        for blp in self._documented:
            blp.register_views_in_doc(self, self._app, self.spec, name=blp.name, parameters=None)
            self.spec.tag({"name": blp.name, "description": blp.description})
        components = self.spec.components
        for name, scheme in SECURITY_SCHEMES.items():
            components.security_scheme(name, dict(scheme))
        for schema in dict.fromkeys(ERROR_SCHEMAS.values()):
            components.schema(schema.__name__.removesuffix("Schema"), schema=schema)
        for response in components.responses.values():
            # flask-smorest takes errors for plain JSON.
            response["content"] = {PROBLEM_TYPE: response["content"]["application/json"]}
        # flask-smorest's; ours are in bodies.
        components.schemas.pop("PaginationMetadata")
        return self.spec


def register(app: Flask, blueprints: Iterable[SmorestBlueprint]) -> None:
    """Serve these blueprints, their document at `/openapi.yaml`, and Swagger UI at `/docs`."""
    api = LazyApi(app)
    for each in blueprints:
        api.register_blueprint(each)
    app.extensions["luthier_openapi"] = api
    app.register_blueprint(blueprint)


def document(app: Flask) -> str:
    """Return the document as YAML."""
    spec: dict[str, Any] = app.extensions["luthier_openapi"].spec.to_dict()
    # YAML knows plain values only; JSON turns enum members and tuples into such.
    return yaml.safe_dump(
        json.loads(json.dumps(spec)), sort_keys=False, allow_unicode=True, width=100
    )


@blueprint.get("/openapi.yaml")
def openapi_yaml() -> Response:
    """Return the OpenAPI document."""
    return Response(document(current_app), mimetype="application/yaml")


@blueprint.get("/docs/assets/<path:name>")
def swagger_asset(name: str) -> Response:
    """Return a file of Swagger UI."""
    return send_from_directory(swagger_ui_bundle.swagger_ui_path, name)


class OperationsPlugin(BasePlugin):
    """Writes the name, the security and the refusals of every operation."""

    def operation_helper(
        self,
        path: str | None = None,
        operations: dict[str, Any] | None = None,
        **details: Any,
    ) -> None:
        """Complete the operations of one route."""
        endpoint = details["rule"].endpoint
        scope = scope_of(endpoint)
        for method, operation in (operations or {}).items():
            operation["operationId"] = OPERATIONS[endpoint].id
            operation["security"] = []
            refusals = [HTTPStatus.BAD_REQUEST]  # an address with control characters
            if scope is not None:
                operation["security"] = [{name: []} for name in SECURITY_SCHEMES]
                operation["x-scope"] = str(scope)
                refusals += [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN]
            if takes_key(method, OPERATIONS[endpoint]):
                operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
            responses = operation["responses"]
            for status, response in responses.items():
                if str(status)[0] in "45" and isinstance(response, dict):
                    response.setdefault("content", {PROBLEM_TYPE: {"schema": _PROBLEM}})
            responses |= {str(refusal.value): refusal.name for refusal in refusals}
            if (blueprint_name := endpoint.partition(".")[0]) in ERROR_SCHEMAS:
                _document_errors(responses, ERROR_SCHEMAS[blueprint_name])


def _document_errors(responses: dict[Any, Any], schema: type[ma.Schema]) -> None:
    """Say of every error of an operation that it has another form than a problem."""
    name = schema.__name__.removesuffix("Schema")
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    for status in map(str, list(responses)):
        if status == "default" or status[0] in "45":
            text = "Error" if status == "default" else HTTPStatus(int(status)).phrase
            responses[status] = {"description": text, "content": content}


class SchemaConverter(OpenAPIConverter):
    """apispec's reading of fields, made as strict as their validators."""

    def init_attribute_functions(self) -> None:
        """Add the descriptions that fields give of themselves, before nulls are added."""
        super().init_attribute_functions()  # type: ignore[no-untyped-call]
        self.attribute_functions.insert(-1, self.field2own)

    def field2own(self, field: ma.fields.Field[Any], **_: Any) -> dict[str, Any]:
        """Return what a field of our own says; see `models.fields.Reference`."""
        describe = getattr(field, "openapi", None)
        return {} if describe is None else describe(self.resolve_nested_schema) | field.metadata

    def field2default(self, field: ma.fields.Field[Any], **kwargs: Any) -> dict[str, Any]:
        """Return the default; null, which says that there is none, is left out."""
        found: dict[str, Any] = super().field2default(field, **kwargs)
        return {} if found.get("default") is None else found

    def field2range(self, field: ma.fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
        """Return the bounds, and which of them are themselves refused."""
        found: dict[str, Any] = super().field2range(field, ret)
        for each in (each for each in field.validators if isinstance(each, Range)):
            if each.min is not None and not each.min_inclusive:
                found["exclusiveMinimum"] = True
            if each.max is not None and not each.max_inclusive:
                found["exclusiveMaximum"] = True
        return found

    def field2length(self, field: ma.fields.Field[Any], **kwargs: Any) -> dict[str, Any]:
        """Return the bounds of a length: of a text, a list, or the members of an object."""
        found: dict[str, Any] = super().field2length(field, **kwargs)
        is_object = isinstance(field, ma.fields.Dict) or (
            isinstance(field, ma.fields.Nested) and not field.many
        )
        return {_PROPERTIES[name]: bound for name, bound in found.items()} if is_object else found

    def field2nullable(self, field: ma.fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
        """Allow null beside a schema that has no `type` of its own to widen."""
        if not field.allow_none or ("type" in ret and "allOf" not in ret):
            return dict(super().field2nullable(field, ret))
        null = {"type": "object", "nullable": True, "enum": [None]}
        if "$ref" in ret:
            return {"anyOf": [{"$ref": ret.pop("$ref")}, null]}
        for name in ("allOf", "oneOf", "anyOf"):
            if name in ret:
                return {"anyOf": [*ret.pop(name), null]}
        return {}  # it says nothing of its type, so null is allowed


class SchemaPlugin(MarshmallowPlugin):
    """Reads marshmallow schemas by `SchemaConverter`."""

    Converter = SchemaConverter
