"""Stored tables read in pieces: across row groups, from any row on, images too."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.data.formats.reading import from_arrays, read_rows
from models.data.library import pieces, storage
from models.data.library.pieces import read_pieces, write_rows
from models.data.library.profile import preview
from models.data.library.storage import folder, write_dataset
from models.data.table import Table
from models.errors import ArtifactError, Invalid, Unreadable
from models.store.artifacts import Artifacts

ROWS = 23


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path / "artifacts"))


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (storage, pieces):
        monkeypatch.setattr(module, "group_rows", lambda columns: 5)


def read(artifacts: Artifacts, place: str, start: int, rows: int) -> list[Any]:
    return list(read_pieces(artifacts, place, start, rows, lambda name: name != "id", ["id"]))


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("rows", [1, 3, 5, 7, 10, 50])
def test_pieces_hold_each_row_once_in_order(artifacts: Artifacts, rows: int) -> None:
    records = [
        {"id": f"i{n}", "n": n + 0.5 * (n % 2), "when": f"2024-01-{n + 1:02}", "ok": n % 3 == 0}
        for n in range(ROWS)
    ]
    dataset = read_rows({"records": records}).dataset
    write_dataset(dataset, artifacts, "d")
    expected = preview(dataset, ROWS)
    raw = Table({name: pa.array([row[name] for row in records]) for name in records[0]})
    assert write_rows(raw, artifacts, "batches/b/rows") == ROWS
    for start in (0, 4, 5, 12, 22):
        for place, wanted in ((folder("d"), expected), ("batches/b/rows", records)):
            found = read(artifacts, place, start, rows)
            assert [piece.rows for piece in found[:-1]] == [rows] * (len(found) - 1)
            ids = [cell for piece in found for cell in piece.kept["id"].cells]
            assert ids == [f"i{n}" for n in range(start, ROWS)]
            for name in ("n", "when", "ok"):
                cells = [cell for piece in found for cell in piece.cells[name]]
                assert cells == [row[name] for row in wanted[start:]]


@pytest.mark.usefixtures("small_groups")
def test_images_come_in_pieces_too(artifacts: Artifacts) -> None:
    images = np.arange(ROWS * 4, dtype=np.uint8).reshape(ROWS, 2, 2)
    write_dataset(from_arrays(images, np.arange(float(ROWS))), artifacts, "d")
    write_rows(Table({"x": images}), artifacts, "batches/b/rows")
    for place in (folder("d"), "batches/b/rows"):
        found = list(read_pieces(artifacts, place, 7, 6, lambda name: name == "x", []))
        assert [piece.rows for piece in found] == [6, 6, 4]
        cells = [cell for piece in found for cell in piece.cells["x"]]
        assert cells == images[7:].tolist()


def test_rows_that_nobody_can_read_are_refused(artifacts: Artifacts) -> None:
    with pytest.raises(Invalid, match="no row"):
        write_rows(Table({"x": pa.array([], pa.string())}), artifacts, "batches/b/rows")
    with pytest.raises(Invalid, match="binary"):
        write_rows(Table({"x": pa.array([b"1"])}), artifacts, "batches/b/rows")
    with pytest.raises(ArtifactError, match="missing"):
        read(artifacts, "batches/b/rows", 0, 1)
    artifacts.write("batches/b/rows/columns.parquet", b"PAR1 and no more")
    with pytest.raises(Unreadable, match="batches/b/rows"):
        read(artifacts, "batches/b/rows", 0, 1)
