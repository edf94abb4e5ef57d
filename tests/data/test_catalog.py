"""Stored descriptions of datasets, also such as this version cannot read."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from models.data.columns import ColumnType
from models.data.library.catalog import DatasetCatalog
from models.data.library.profile import ColumnProfile, FrequentValue
from models.errors import NotFound, Unreadable
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import datasets

COLUMNS = (
    ColumnProfile(
        "rooms",
        ColumnType.NUMBER,
        0,
        2,
        min=1,
        max=2.5,
        mean=1.75,
        quartiles=(1.375, 1.75, 2.125),
        histogram=(1, 1),
    ),
    ColumnProfile("town", ColumnType.CATEGORY, 1, 1, frequent=(FrequentValue("Graz", 1),)),
)
GOOD: dict[str, Any] = {"name": "a", "type": "number", "missing": 0, "distinct": 2}
BAD = [
    (None, "columns"),
    ("nothing", "columns"),
    ({"a": GOOD}, "columns"),
    ([GOOD, "b"], "columns.1"),
    ([{**GOOD, "type": "embedding"}], "columns.0.type"),
    ([{**GOOD, "type": 3}], "columns.0.type"),
    ([{**GOOD, "missing": None}], "columns.0.missing"),
    ([{**GOOD, "distinct": True}], "columns.0.distinct"),
    ([{**GOOD, "shape": "8x8"}], "columns.0.shape"),
    ([{**GOOD, "min": {"value": 1}}], "columns.0.min"),
    ([{**GOOD, "mean": "high"}], "columns.0.mean"),
    ([{**GOOD, "frequent": [{"value": "x"}]}], "columns.0.frequent"),
    ([{**GOOD, "frequent": 5}], "columns.0.frequent"),
    ([{**GOOD, "histogram": 5}], "columns.0.histogram"),
    ([{**GOOD, "histogram": [0.5]}], "columns.0.histogram"),
    ([{**GOOD, "quartiles": ["low"]}], "columns.0.quartiles"),
    ([{"name": "a"}], "columns.0"),
]


@pytest.fixture
def catalog(database: Database) -> DatasetCatalog:
    return DatasetCatalog(database)


def overwrite(database: Database, dataset: str, columns: Any) -> None:
    """Store what no version of the catalog wrote."""
    with database.write() as connection:
        connection.execute(update(datasets).where(datasets.c.id == dataset).values(columns=columns))


def test_a_record_comes_back_equal(catalog: DatasetCatalog) -> None:
    added = catalog.add("ds_1", 2, COLUMNS, "flats", None)
    assert catalog.get("ds_1") == added
    assert (added.columns, added.rows, added.name, added.error) == (COLUMNS, 2, "flats", None)
    assert catalog.page(10) == [added]


def test_profiles_of_version_0_1_are_read(catalog: DatasetCatalog, database: Database) -> None:
    catalog.add("ds_1", 2, COLUMNS, None, None)
    stored = [
        GOOD | {"min": 1, "max": 2, "mean": 1.5},
        GOOD | {"name": "when", "type": "datetime", "min": "2024-01-01T00:00:00Z", "max": None},
        GOOD | {"name": "x", "type": "image", "shape": [8, 8]},
        GOOD | {"name": "id", "type": "ignored", "reason": None},
    ]
    overwrite(database, "ds_1", stored)
    number, moment, image, ignored = catalog.get("ds_1").columns
    assert (number.min, number.max, number.mean) == (1, 2, 1.5)
    assert (moment.type, moment.max) == (ColumnType.DATETIME, None)
    assert (image.shape, ignored.reason) == ((8, 8), "")


def test_fields_that_a_newer_version_added_are_skipped(
    catalog: DatasetCatalog, database: Database
) -> None:
    catalog.add("ds_1", 2, COLUMNS, None, None)
    frequent = [{"value": "x", "count": 2, "share": 0.5}]
    overwrite(database, "ds_1", [{**GOOD, "unit": "m", "frequent": frequent}])
    (column,) = catalog.get("ds_1").columns
    assert column.frequent == (FrequentValue("x", 2),)


@pytest.mark.parametrize(("columns", "field"), BAD)
def test_a_profile_that_cannot_be_read_stops_nobody(
    catalog: DatasetCatalog, database: Database, columns: Any, field: str
) -> None:
    for dataset in ("ds_1", "ds_2", "ds_3"):
        catalog.add(dataset, 2, COLUMNS, None, dataset)
    overwrite(database, "ds_2", columns)
    with pytest.raises(Unreadable, match=f"cannot read dataset 'ds_2': {field}: ") as caught:
        catalog.get("ds_2")

    listed = {record.id: record for record in catalog.page(10)}
    assert listed["ds_1"].columns == listed["ds_3"].columns == COLUMNS
    assert (listed["ds_2"].columns, listed["ds_2"].error) == ((), str(caught.value))
    pages = [record.id for record in catalog.page(1)]
    while len(found := catalog.page(1, pages[-1])) == 1:
        pages.append(found[0].id)
    assert set(pages) == set(listed)

    # Nobody needs the profile to find the rows, to store them again or to delete them.
    builtin = catalog.find_builtin("ds_2")
    assert builtin is not None
    assert (builtin.id, catalog.exists("ds_2")) == ("ds_2", True)
    assert catalog.add("ds_2", 2, COLUMNS, None, None).error == str(caught.value)
    catalog.remove("ds_2")
    with pytest.raises(NotFound):
        catalog.get("ds_2")
    assert catalog.add("ds_2", 2, COLUMNS, None, None).columns == COLUMNS


def test_the_service_goes_on_beside_a_dataset_that_it_cannot_read(
    app_client: FlaskClient, settings: Settings
) -> None:
    stored = [
        app_client.post("/datasets", json={"records": [{"a": n}, {"a": n + 1}]}).get_json()["id"]
        for n in range(2)
    ]
    database = Database(settings.resolved_database_url)
    overwrite(database, stored[0], [{**GOOD, "type": "embedding"}])
    database.close()

    shown = app_client.get(f"/datasets/{stored[0]}")
    assert shown.status_code == 409
    assert f"dataset '{stored[0]}': columns.0.type" in shown.get_json()["detail"]
    listed = {item["id"]: item for item in app_client.get("/datasets").get_json()["items"]}
    assert (listed[stored[0]]["columns"], listed[stored[0]]["rows"]) == ([], 2)
    assert listed[stored[0]]["error"] == shown.get_json()["detail"]
    assert listed[stored[1]]["error"] is None
    assert listed[stored[1]]["columns"][0]["max"] == 2

    preview = app_client.get(f"/datasets/{stored[0]}/preview").get_json()
    assert preview == {"items": [{"a": 0}, {"a": 1}]}
    assert app_client.delete(f"/datasets/{stored[0]}").status_code == 204
    assert app_client.get(f"/datasets/{stored[0]}").status_code == 404


def test_rows_that_cannot_be_read_are_told_and_can_be_deleted(
    app_client: FlaskClient, settings: Settings
) -> None:
    body = app_client.post("/datasets", json={"records": [{"a": 1}, {"a": 2}]}).get_json()
    artifacts = Artifacts(settings.resolved_artifacts)
    artifacts.write(f"datasets/{body['id']}/columns.parquet", b"PAR1 of a newer version")
    refused = app_client.get(f"/datasets/{body['id']}/preview")
    assert refused.status_code == 409
    assert f"the stored dataset '{body['id']}': columns.parquet" in refused.get_json()["detail"]
    assert app_client.get(f"/datasets/{body['id']}").get_json() == body
    assert app_client.delete(f"/datasets/{body['id']}").status_code == 204
