"""Workbooks are read in a process of their own: their reader can end it."""

import io
import zipfile
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.spreadsheets import MAIN, archive, ods, xlsx

ROWS = [["town", "size"], *([f"town {n}", str(n)] for n in range(12))]
# The reader allocates the rectangle between two cells; this one is spelled as no check expects.
FAR = f"<worksheet xmlns='{MAIN}'><sheetData><row r='1'><c r='A1'><v>1</v></c></row>"
FAR += "<row><c r='XFD1048576'><v>1</v></c></row></sheetData></worksheet>"


def upload(client: FlaskClient, content: bytes, name: str) -> tuple[int, dict[str, Any]]:
    response = client.post("/datasets", data={"file": (io.BytesIO(content), name)})
    return response.status_code, response.get_json()


@pytest.mark.parametrize(("write", "name"), [(lambda r: xlsx(S=r), "a.xlsx"), (ods, "a.ods")])
def test_a_workbook_is_stored(app_client: FlaskClient, write: Any, name: str) -> None:
    status, found = upload(app_client, write(ROWS), name)
    assert status == 201
    assert (found["rows"], [each["name"] for each in found["columns"]]) == (12, ROWS[0])


def test_a_workbook_that_takes_all_memory_ends_no_process_but_its_own(
    app_client: FlaskClient,
) -> None:
    with zipfile.ZipFile(io.BytesIO(xlsx(S=ROWS))) as plain:
        members = {name: plain.read(name) for name in plain.namelist()}
    far = archive(**{**members, "xl/worksheets/sheet1.xml": FAR})
    status, found = upload(app_client, far, "far.xlsx")
    assert (status, "LUTHIER_UPLOAD_MEMORY" in str(found["detail"])) == (413, True)


@pytest.mark.parametrize("kind", ["text/csv", "application/vnd.apache.parquet"])
def test_rows_to_predict_are_no_workbook(app_client: FlaskClient, kind: str) -> None:
    body = xlsx(S=ROWS)
    response = app_client.post("/predict?model=towns", data=body, content_type=kind)
    assert response.status_code == 413
    assert "send the rows as CSV" in response.get_json()["detail"]
