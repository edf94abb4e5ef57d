"""The JSON Schema of a row agrees with what `/predict` accepts."""

from typing import Any

import jsonschema
import pytest
from flask.testing import FlaskClient

from api.schemas.rows import DIALECT, row_schema
from tests.dialects.versions import ROWS, SIGNATURE


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


@pytest.fixture(scope="module")
def schema(api: FlaskClient) -> dict[str, Any]:
    response = api.get("/models/flats/schema")
    assert response.mimetype == "application/schema+json"
    return response.get_json()


def test_it_names_types_and_categories(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == DIALECT
    assert schema["required"] == ["area", "town", "garden", "sold"]
    assert schema["properties"]["area"] == {"type": ["number", "null"]}
    assert schema["properties"]["town"]["examples"] == ["Graz", "Wien"]
    assert schema["examples"] == [SIGNATURE["sample"]]


@pytest.mark.parametrize(
    ("row", "fits"),
    [
        *((row, True) for row in ROWS),
        (ROWS[0] | {"town": "Atlantis"}, True),
        (ROWS[0] | {"town": 3}, True),
        (ROWS[0] | {"id": "of the training data"}, True),
        (ROWS[0] | {"price": 3}, True),
        (ROWS[0] | {"colour": "red"}, False),
        ({"area": 1.0}, False),
        (ROWS[0] | {"area": "big"}, False),
        (ROWS[0] | {"town": ["Graz"]}, False),
        (ROWS[0] | {"garden": 7}, False),
        (ROWS[0] | {"sold": "tomorrow"}, False),
        ([], False),
    ],
)
def test_a_row_fits_where_it_is_accepted(
    api: FlaskClient, schema: dict[str, Any], row: Any, fits: bool
) -> None:
    assert validator(schema).is_valid(row) is fits
    body = {"model": "flats", "instances": [row]}
    assert (api.post("/predict", json=body).status_code == 200) is fits


def test_the_version_can_be_named(api: FlaskClient) -> None:
    for query, number in (("", 1), ("?version=2", 2), ("?alias=next", 2)):
        title = api.get(f"/models/flats/schema{query}").get_json()["title"]
        assert title == f"A row of flats, version {number}"
    for path, status in (
        ("/models/houses/schema", 404),
        ("/models/flats/schema?version=9", 404),
        ("/models/flats/schema?version=1&alias=next", 422),
        ("/models/flats/schema?rows=1", 422),
    ):
        assert api.get(path).status_code == status


def test_images_are_nested_arrays() -> None:
    signature = SIGNATURE | {"columns": [{"name": "scan", "type": "image", "shape": [2, 3]}]}
    check = validator(row_schema("m", 1, signature))
    assert check.is_valid({"scan": [[0, 1, 2], [3, 4, 5]]})
    for image in (None, [[0, 1], [2, 3]], [[0, 1, None], [3, 4, 5]]):
        assert not check.is_valid({"scan": image})
