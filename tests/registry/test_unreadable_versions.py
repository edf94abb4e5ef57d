"""A version whose stored documents cannot be read stops nothing but itself."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text, update
from werkzeug.test import TestResponse

from models.registry.catalog.catalog import ModelCatalog
from models.registry.catalog.routes import RouteChange
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import versions
from tests.tiny_versions import signature_of, write_file, write_version

DETAILS = {
    "metrics": {"r2": 0.5},
    "baseline": {"r2": 0.0},
    "signature": signature_of(),
    "evidence": {
        "validation": {"metrics": {"r2": 0.6}},
        "test": {"rows": 9},
        "baseline": {"predicts": "mean"},
    },
    "layers": [{"name": "a", "type": "Dense", "output_shape": [None, 1], "parameters": 2}],
    "summary": "a (Dense)",
    "parameters": 2,
}
NEW_TYPE = signature_of() | {"columns": [{"name": "x", "type": "hologram"}]}
WHAT = "version 1 of model 'doubles'"
Change = Callable[..., None]


def evidence_with(**parts: Any) -> dict[str, Any]:
    """The details with other parts of the evidence."""
    evidence: Any = DETAILS["evidence"]
    return DETAILS | {"evidence": {**evidence, **parts}}


@pytest.fixture
def store_root(settings: Settings) -> Artifacts:
    return Artifacts(settings.resolved_artifacts)


@pytest.fixture
def two_versions(app_client: FlaskClient, database: Database, store_root: Artifacts) -> FlaskClient:
    """A client of a service with the versions 1 and 2 of `doubles`; 1 is the champion."""
    catalog = ModelCatalog(database)
    for number in (1, 2):
        version = catalog.reserve("doubles", "regression", f"job_{number}", 1)
        files = write_version(store_root, "doubles", version)
        with database.write() as connection:
            catalog.publish(connection, "doubles", version, 1, files, DETAILS)
    catalog.set_alias("doubles", "champion", RouteChange.to(1))
    return app_client


@pytest.fixture
def change(database: Database) -> Change:
    """Write another value into a column of version 1."""

    def write(**columns: Any) -> None:
        one = (versions.c.model == "doubles", versions.c.version == 1)
        with database.write() as connection:
            connection.execute(update(versions).where(*one).values(columns))

    return write


def predict(client: FlaskClient, **choice: Any) -> Any:
    return client.post("/predict", json={"model": "doubles", "instances": [[3]], **choice})


def body(response: TestResponse) -> Any:
    """The document of a JSON response."""
    return response.json


def refused(response: Any, status: int) -> str:
    """Check that a response is a problem of this status; answer what it says."""
    assert response.status_code == status, response.json
    assert response.mimetype == "application/problem+json"
    return str(response.json["detail"])


def assert_others_go_on(client: FlaskClient) -> None:
    assert [model["name"] for model in body(client.get("/models"))["items"]] == ["doubles"]
    second, first = body(client.get("/models/doubles"))["versions"]
    assert (second["version"], second["metrics"], second["unreadable"]) == (2, {"r2": 0.5}, None)
    assert first["version"] == 1
    assert body(client.get("/models/doubles/versions/2"))["signature"] == signature_of()
    assert predict(client, version=2).json["predictions"] == [8.0]
    moved = client.put("/models/doubles/aliases/champion", json={"version": 2})
    assert body(moved)["aliases"] == {"champion": 2}
    assert predict(client).json["version"] == 2
    assert body(client.post("/models/doubles/rollback"))["aliases"] == {"champion": 1}


def test_versions_can_be_read_at_first(two_versions: FlaskClient) -> None:
    shown = body(two_versions.get("/models/doubles/versions/1"))
    assert shown["aliases"] == ["champion"]
    assert {name: shown[name] for name in DETAILS} == DETAILS
    # Versions of older releases have none of these.
    for name in ("intervals", "baselines", "better_than_trees", "optimism", "column_importance"):
        assert shown[name] is None
    assert predict(two_versions).json["predictions"] == [7.0]
    assert_others_go_on(two_versions)


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("details", "field"),
    [
        ([], "not a JSON object"),
        ({key: DETAILS[key] for key in DETAILS if key != "metrics"}, "metrics"),
        (DETAILS | {"baseline": {"r2": "good"}}, "baseline.r2.value"),
        ({key: DETAILS[key] for key in DETAILS if key != "evidence"}, "evidence"),
        (DETAILS | {"evidence": {"test": {}}}, "evidence.test.rows"),
        (evidence_with(test={"rows": 9, "intervals": {"r2": [1]}}), "intervals.r2"),
        (evidence_with(better_than_trees="maybe"), "evidence.better_than_trees"),
        (evidence_with(column_importance={"items": []}), "column_importance.metric"),
        (
            evidence_with(
                partial_dependence=[
                    {"column": "x", "type": "number", "values": [1, 2], "predictions": [3]}
                ]
            ),
            "partial_dependence.0.values",
        ),
        (DETAILS | {"signature": NEW_TYPE}, "signature.columns.0.type"),
        (DETAILS | {"layers": [1]}, "layers.0"),
        (DETAILS | {"parameters": "many"}, "parameters"),
    ],
)
def test_details_of_another_form_are_named(
    two_versions: FlaskClient, change: Change, details: Any, field: str
) -> None:
    change(details=details)
    detail = refused(two_versions.get("/models/doubles/versions/1"), 409)
    assert WHAT in detail
    assert field in detail
    assert_others_go_on(two_versions)
    # Its files are as they were.
    assert predict(two_versions, version=1).json["predictions"] == [7.0]
    change(details=DETAILS)
    assert body(two_versions.get("/models/doubles/versions/1"))["parameters"] == 2


@pytest.mark.parametrize("content", ["{oops", "", '{"metrics": NaN}', "[" * 100_000])
def test_details_that_are_not_json_are_named(
    two_versions: FlaskClient, database: Database, content: str
) -> None:
    change = text("UPDATE versions SET details = :content WHERE version = 1")
    with database.write() as connection:
        connection.execute(change, {"content": content})
    detail = refused(two_versions.get("/models/doubles/versions/1"), 409)
    assert f"the details of {WHAT}" in detail
    assert "not JSON" in detail
    first = body(two_versions.get("/models/doubles"))["versions"][1]
    assert (first["metrics"], first["baseline"]) == (None, None)
    assert f"the details of {WHAT}" in first["unreadable"]
    assert_others_go_on(two_versions)


@pytest.mark.parametrize("entry", [{}, {"sha256": None, "bytes": 3}, 7])
def test_files_of_another_form_are_named_until_they_are_fixed(
    two_versions: FlaskClient, database: Database, change: Change, entry: Any
) -> None:
    with database.read() as connection:
        query = select(versions.c.files).where(versions.c.version == 1)
        kept = connection.execute(query).scalar_one()
    change(files=kept | {"signature.json": entry})
    for _ in range(2):
        detail = refused(predict(two_versions), 409)
        assert WHAT in detail
        assert "files.signature.json" in detail
    refused(two_versions.get("/models/doubles/versions/1/artifacts/model.onnx"), 409)
    assert_others_go_on(two_versions)
    change(files=kept)
    assert predict(two_versions).json["predictions"] == [7.0]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"{oops", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "columns: "),
        (json.dumps(NEW_TYPE).encode(), "columns.0.type: "),
        (json.dumps(signature_of() | {"task": "ranking"}).encode(), "task: "),
        (json.dumps(signature_of() | {"columns": []}).encode(), "columns: "),
        (
            json.dumps(signature_of() | {"columns": [{"name": "x", "type": "image"}]}).encode(),
            "columns.0.shape: ",
        ),
    ],
)
def test_a_signature_file_that_cannot_be_read_answers_409_until_it_is_fixed(
    two_versions: FlaskClient,
    database: Database,
    store_root: Artifacts,
    change: Change,
    content: bytes,
    field: str,
) -> None:
    kept = ModelCatalog(database).files("doubles", 1)
    entry = write_file(store_root, "models/doubles/1", "signature.json", content)
    change(files=kept | {"signature.json": entry})
    for _ in range(3):
        detail = refused(predict(two_versions), 409)
        assert f"signature.json of {WHAT}" in detail
        assert field in detail
    assert_others_go_on(two_versions)
    change(files=kept)
    assert predict(two_versions).json["predictions"] == [7.0]


def test_a_file_that_was_overwritten_is_not_used_until_it_is_restored(
    two_versions: FlaskClient, database: Database, store_root: Artifacts
) -> None:
    path = ModelCatalog(database).files("doubles", 1)["signature.json"]["path"]
    name = f"models/doubles/1/{path}"
    kept = store_root.read(name)
    store_root.write(name, b"{oops")
    download = "/models/doubles/versions/1/artifacts/signature.json"
    for answer in (predict(two_versions), predict(two_versions), two_versions.get(download)):
        detail = refused(answer, 500)
        assert f"signature.json of {WHAT}" in detail
        assert "SHA-256 differs" in detail
    assert_others_go_on(two_versions)
    store_root.write(name, kept)
    assert predict(two_versions).json["predictions"] == [7.0]


def test_what_a_newer_version_adds_is_no_trouble(two_versions: FlaskClient, change: Change) -> None:
    signature = signature_of() | {"units": {"x": "m"}}
    change(details=DETAILS | {"signature": signature, "carbon": 3})
    assert body(two_versions.get("/models/doubles/versions/1"))["signature"] == signature
