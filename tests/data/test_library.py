"""What the library keeps beside the rows: the file, how it was read, and warnings."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from models.data.library.catalog import DatasetCatalog, artifact_folder
from models.data.library.library import DatasetLibrary
from models.data.table import ReadOptions
from models.data.warnings import DataWarning, WarningCode
from models.errors import ArtifactError, Invalid, NotFound, Unavailable
from models.retention.remover import Remover
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import datasets
from tests.files import from_records

CSV = b"zip,y\n8010,1\n8020,2\n1010,3\n"
RECORDS = {"records": [{"zip": 8010, "y": 1}, {"zip": 8020, "y": 2}]}
WARNINGS = (
    DataWarning(WarningCode.IDENTIFIER, "Every cell differs.", "zip", 3),
    DataWarning(WarningCode.HEADER_GUESSED, "The first line holds the names."),
)
READING = {"format": "csv", "delimiter": ",", "header": 1}


@pytest.fixture
def artifacts(settings: Settings) -> Artifacts:
    return Artifacts(settings.resolved_artifacts)


@pytest.fixture
def library(database: Database, artifacts: Artifacts) -> DatasetLibrary:
    return DatasetLibrary(DatasetCatalog(database), artifacts)


def delete(library: DatasetLibrary, artifacts: Artifacts, database: Database, dataset: str) -> None:
    """Delete a dataset and, as the service does, its files."""
    library.catalog.remove(dataset)
    Remover(database, artifacts).remove_now([artifact_folder(dataset)])


def overwrite(database: Database, **values: Any) -> None:
    with database.write() as connection:
        connection.execute(update(datasets).values(values))


@pytest.mark.both_databases
@pytest.mark.both_stores
def test_a_file_is_read_anew_with_other_types(
    library: DatasetLibrary, artifacts: Artifacts, database: Database
) -> None:
    first = library.add_file(CSV, "a.csv", "text/csv", {}, "towns")
    again = library.add_from(first.id, {"zip": "category"})
    assert [column.type for column in first.columns] == ["number", "number"]
    assert [column.type for column in again.columns] == ["category", "number"]
    assert again.id != first.id
    assert again.name == "towns"
    # The file belongs to either dataset, and types do not carry over.
    delete(library, artifacts, database, first.id)
    assert library.add_from(again.id, {}, "zips").id == first.id
    assert library.catalog.get(first.id).name == "zips"


@pytest.mark.parametrize(
    "document", [RECORDS, {"x": [[1.0, 2.0], [3.0, 4.0]], "y": [1, 2]}], ids=["records", "arrays"]
)
def test_rows_of_a_request_are_read_anew(library: DatasetLibrary, document: Any) -> None:
    first = library.add_inline(document, {})
    again = library.add_from(first.id, {"y": "category"})
    assert [first.columns[-1].type, again.columns[-1].type] == ["number", "category"]
    assert library.add_from(again.id, {}).id == first.id


def test_a_large_file_makes_no_root_where_one_has_gone(
    library: DatasetLibrary, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.data.library.library.LARGE_BYTES", 0)  # read by another process
    library.add_file(CSV, "a.csv", "text/csv", {}, "towns")
    root = Path(artifacts.root)
    root.rename(root.with_name("away"))
    with pytest.raises(Unavailable, match="is not there"):
        library.add_file(CSV + b"1020,4\n", "b.csv", "text/csv", {}, "towns")
    assert not root.exists()


def test_equal_rows_keep_the_file_that_came_first(
    library: DatasetLibrary, artifacts: Artifacts
) -> None:
    first = library.add_file(CSV, "a.csv", None, {})
    other = library.add_file(CSV.replace(b",", b"\t"), "b.tsv", None, {})
    assert replace(other, reading=first.reading) == first
    assert first.source is not None
    assert first.source.filename == "a.csv"
    stored = artifacts.names(f"datasets/{first.id}/source")
    assert stored == [first.source.stored_name(first.id)]
    assert artifacts.read(stored[0]) == CSV


def test_the_file_goes_with_its_dataset(
    library: DatasetLibrary, artifacts: Artifacts, database: Database
) -> None:
    stored = library.add_file(CSV, "a.csv", None, {})
    delete(library, artifacts, database, stored.id)
    assert artifacts.names("datasets") == []
    with pytest.raises(NotFound):
        library.add_from(stored.id, {})


@pytest.mark.parametrize("source", [None, "lost", {"filename": "a.csv"}, {"sha256": 3}])
def test_a_dataset_without_its_file_says_so_until_it_is_uploaded_again(
    library: DatasetLibrary, database: Database, source: Any
) -> None:
    stored = library.add_file(CSV, "a.csv", None, {})
    overwrite(database, source=source)
    assert library.catalog.get(stored.id).columns == stored.columns
    with pytest.raises(Invalid, match=r"from: .*Upload it again\."):
        library.add_from(stored.id, {})
    if source is None:
        library.add_file(CSV, "a.csv", None, {})
        assert library.add_from(stored.id, {}).id == stored.id


def test_a_dataset_of_an_older_version_has_neither_reading_nor_warnings(
    library: DatasetLibrary, database: Database
) -> None:
    with database.write() as connection:
        connection.execute(
            text(
                "INSERT INTO datasets (id, rows, columns, created)"
                " VALUES ('ds_1', 1, '[]', '2026-01-01 00:00:00')"
            )
        )
    found = library.catalog.get("ds_1")
    assert (found.source, found.reading, found.warnings) == (None, None, ())
    with pytest.raises(Invalid, match="from: "):
        library.add_from("ds_1", {})


def test_a_file_that_is_another_one_is_not_read(
    library: DatasetLibrary, artifacts: Artifacts
) -> None:
    stored = library.add_file(CSV, "a.csv", None, {})
    assert stored.source is not None
    artifacts.write(stored.source.stored_name(stored.id), b"zip,y\n1,1\n")
    with pytest.raises(ArtifactError, match="SHA-256"):
        library.add_from(stored.id, {})


@pytest.mark.both_databases
def test_reading_and_warnings_come_back(library: DatasetLibrary) -> None:
    rows = from_records(RECORDS["records"])
    added = library.add(rows, None, reading=READING, warnings=WARNINGS)
    assert (added.reading, added.warnings) == (READING, WARNINGS)
    assert library.catalog.page(10) == [added]


def test_warnings_that_this_version_does_not_know_are_left_out(
    library: DatasetLibrary, database: Database
) -> None:
    library.add(from_records(RECORDS["records"]), None, warnings=WARNINGS)
    good = json.loads('{"code": "constant", "message": "m", "column": null, "rows": null}')
    codes: list[Any] = ["of_a_newer_version", 3, None, []]
    bad: list[Any] = [
        *(good | {"code": code} for code in codes),
        *(good | {name: {}} for name in ("message", "column", "rows")),
        *({}, "constant", None),
    ]
    overwrite(database, warnings=[*bad, good], reading="csv")
    (found,) = library.catalog.page(10)
    assert found.warnings == (DataWarning(WarningCode.CONSTANT, "m"),)
    assert (found.reading, found.error) == (None, None)
    overwrite(database, warnings={"constant": good})
    assert library.catalog.page(10)[0].warnings == ()


def test_options_of_a_files_layout_do_not_fit_rows(library: DatasetLibrary) -> None:
    with pytest.raises(Invalid) as caught:
        library.add_inline(RECORDS, {}, options=ReadOptions(header="none", sheet=2))
    assert set(caught.value.errors) == {"options.header", "options.sheet"}


def test_the_same_file_under_another_name_keeps_its_stored_file(library: DatasetLibrary) -> None:
    content = b"city,n\n" + b"".join(b"q%d,%d\n" % (n % 3, n) for n in range(40))
    first = library.add_file(content, "a.csv", "text/csv", {})
    assert library.add_file(content, "b.csv", "text/csv", {}).id == first.id
    again = library.add_from(first.id, {"n": "category"})
    assert {column.name: column.type for column in again.columns} == {
        "city": "category",
        "n": "category",
    }


def test_the_answer_tells_how_this_file_was_read(library: DatasetLibrary) -> None:
    rows = "".join(f"q{n % 3},{n}\n" for n in range(40))
    first = library.add_file(f"city,n\n{rows}".encode(), "a.csv", "text/csv", {})
    other = f"A title\n\ncity;n\n{rows.replace(',', ';')}".encode()
    second = library.add_file(other, "b.csv", "text/csv", {})
    assert first.id == second.id
    assert first.reading is not None
    assert second.reading is not None
    assert (first.reading["delimiter"], first.reading["skipped_lines"]) == (",", 0)
    assert (second.reading["delimiter"], second.reading["skipped_lines"]) == (";", 2)
