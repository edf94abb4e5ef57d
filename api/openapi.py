"""The OpenAPI document, generated from the code, and the pages that show it."""

import json
from typing import Any

import swagger_ui_bundle
import yaml
from flask import Blueprint, Flask, Response, current_app, redirect, send_from_directory
from flask.typing import ResponseReturnValue
from flask_smorest import Api

from api.auth import SECURITY_SCHEMES
from api.errors import PROBLEM_TYPE
from models import __version__

CONFIGURATION: dict[str, Any] = {
    "API_TITLE": "Luthier",
    "API_VERSION": __version__,
    "OPENAPI_VERSION": "3.0.3",
    "OPENAPI_URL_PREFIX": "/",
    "OPENAPI_JSON_PATH": "openapi.json",
    "OPENAPI_SWAGGER_UI_PATH": "/docs",
    "OPENAPI_SWAGGER_UI_URL": "/docs/assets/",
    "API_SPEC_OPTIONS": {
        "info": {
            "description": "Tunes neural networks and serves the winner.",
            "license": {"name": "Apache-2.0"},
        }
    },
}

blueprint = Blueprint("openapi", __name__)


def register(app: Flask, api: Api) -> None:
    """Serve the document as `/openapi.yaml`; `/docs` is Swagger UI from a bundled package."""
    for name, scheme in SECURITY_SCHEMES.items():
        api.spec.components.security_scheme(name, dict(scheme))
    for response in api.spec.components.responses.values():
        # flask-smorest takes errors for plain JSON.
        response["content"] = {PROBLEM_TYPE: response["content"]["application/json"]}
    app.extensions["luthier_openapi"] = api
    app.register_blueprint(blueprint)


def document(app: Flask) -> str:
    """The document as YAML."""
    spec: dict[str, Any] = app.extensions["luthier_openapi"].spec.to_dict()
    # YAML knows plain values only; JSON turns enum members and tuples into such.
    return yaml.safe_dump(
        json.loads(json.dumps(spec)), sort_keys=False, allow_unicode=True, width=100
    )


@blueprint.get("/")
def home() -> ResponseReturnValue:
    """Send a browser that opens the bare address to the documentation."""
    return redirect("/docs")


@blueprint.get("/openapi.yaml")
def openapi_yaml() -> Response:
    """Answer the OpenAPI document."""
    return Response(document(current_app), mimetype="application/yaml")


@blueprint.get("/docs/assets/<path:name>")
def swagger_asset(name: str) -> Response:
    """Answer a file of Swagger UI."""
    return send_from_directory(swagger_ui_bundle.swagger_ui_path, name)
