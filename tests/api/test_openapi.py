import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient

from api.hooks.auth import OPERATIONS
from api.openapi import document
from models.oracles.strategy import STRATEGIES
from models.space.hyperparameters import HYPERPARAMETERS

COMMITTED = Path(__file__).parents[2] / "openapi.yaml"
CONVERTER = re.compile(r"<([^:<>]*:)?")  # of a path parameter
PAGES = {
    "/",
    "/dashboard/static/{name}",
    "/docs",
    "/docs/assets/{name}",
    "/openapi.json",
    "/openapi.yaml",
}


@pytest.fixture
def contract(app_client: FlaskClient) -> dict[str, Any]:
    response = app_client.get("/openapi.yaml")
    assert response.mimetype == "application/yaml"
    return yaml.safe_load(response.get_data(as_text=True))


def operations(contract: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in contract["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def references(value: Any) -> set[str]:
    """Every `$ref` below a value."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    if isinstance(value, list):
        return set().union(*map(references, value))
    return set()


def test_the_committed_document_is_what_the_code_says(app_client: FlaskClient) -> None:
    assert COMMITTED.read_text(encoding="utf-8") == document(app_client.application), (
        "run `make openapi` and commit what it writes"
    )


def test_every_route_is_documented(app_client: FlaskClient, contract: dict[str, Any]) -> None:
    routes = {
        f"{method} {CONVERTER.sub('{', rule.rule).replace('>', '}')}"
        for rule in app_client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    pages = {f"GET {path}" for path in PAGES}
    assert pages <= routes
    assert routes - pages == set(operations(contract))


def test_every_operation_has_a_summary_a_tag_and_its_errors(contract: dict[str, Any]) -> None:
    assert contract["openapi"].startswith("3.")
    tags = {tag["name"] for tag in contract["tags"]}
    for name, operation in operations(contract).items():
        assert operation["summary"].endswith("."), name
        assert set(operation["tags"]) <= tags, name
        assert "default" in operation["responses"], name
        assert any(status.startswith("2") for status in operation["responses"]), name


def test_every_operation_has_a_name_of_its_own(contract: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(contract).values()]
    assert sorted(names) == sorted(named.id for named in OPERATIONS.values() if named.id)
    assert len(names) == len(set(names))


def test_every_answer_with_a_body_says_how_it_looks(contract: dict[str, Any]) -> None:
    for name, operation in operations(contract).items():
        for status, response in operation["responses"].items():
            if status.startswith("2") and status != "204":
                assert response["content"], (name, status)


def test_every_path_parameter_is_described(contract: dict[str, Any]) -> None:
    for path, item in contract["paths"].items():
        found = {parameter["name"] for parameter in item.get("parameters", [])}
        assert found == set(re.findall(r"{(\w+)}", path)), path


def test_every_reference_leads_somewhere(contract: dict[str, Any]) -> None:
    found = references(contract)
    assert found
    for reference in found:
        place: Any = contract
        for key in reference.removeprefix("#/").split("/"):
            place = place[key]


def test_errors_are_documented_as_problems(contract: dict[str, Any]) -> None:
    responses = contract["components"]["responses"]
    assert responses
    for response in responses.values():
        assert set(response["content"]) == {"application/problem+json"}


def test_what_a_user_writes_is_described_field_by_field(contract: dict[str, Any]) -> None:
    schemas = contract["components"]["schemas"]
    for name in (
        "JobSpec",
        "NarrowFrom",
        "ChangedLimits",
        "EnqueueTrials",
        "Budget",
        "Objective",
        "Evaluation",
        "EarlyStopping",
        "Predict",
    ):
        for field, schema in schemas[name]["properties"].items():
            assert "$ref" in schema or "allOf" in schema or schema.get("description"), (name, field)
    assert schemas["JobSpec"]["required"] == ["model"]
    assert schemas["Predict"]["properties"]["instances"]["example"]


def test_every_strategy_and_hyperparameter_is_described(contract: dict[str, Any]) -> None:
    schemas = contract["components"]["schemas"]
    fields_of_tune = schemas["JobSpec"]["properties"]
    assert set(fields_of_tune["search_space"]["properties"]) == set(HYPERPARAMETERS)
    _, *references = fields_of_tune["strategy"]["oneOf"]
    described = {}
    for reference in references:
        properties = schemas[reference["$ref"].rpartition("/")[2]]["properties"]
        (name,) = properties["name"]["enum"]
        described[name] = set(properties) - {"name"}
    assert described == {
        name: {option.name for option in fields(strategy)} for name, strategy in STRATEGIES.items()
    }


def test_the_docs_ask_no_other_host_and_all_their_files_are_there(app_client: FlaskClient) -> None:
    response = app_client.get("/docs")
    assert response.status_code == 200
    page = response.get_data(as_text=True)
    assert "://" not in page
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(assets) >= 3
    for asset in assets:
        assert asset.startswith("/")
        found = app_client.get(asset, buffered=True)
        assert found.status_code == 200
        assert len(found.data) > 1000
    (contract,) = re.findall(r'url: "([^"]+)"', page)
    assert app_client.get(contract).get_json()["info"]["title"] == "Luthier"
