"""The result of a batch: parts, one a piece of rows, and the file that is put together of them."""

import csv
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from models.batches.model import Batch, result_name
from models.data.library.pieces import Cells
from models.data.preparation.tasks import ClassLabel
from models.serving.engine import Prediction
from models.store.artifacts import Artifacts

ERROR = "error"
_BLOCK = 1024**2  # bytes


def answer_columns(
    prediction: Prediction | None, classes: Sequence[ClassLabel], interval: float | None
) -> dict[str, Cells]:
    """Return the columns of an answer by name, as `POST /predict` writes them as CSV.

    A regression has `prediction`, a classification also `probability_<class>`. With an interval,
    `lower` and `upper` follow, or `labels`. None stands for no rows.
    """
    label = _label_type(classes)
    found = prediction or Prediction("", 0, [], [], list(classes), lower=[], upper=[], labels=[])
    columns = {"prediction": Cells(found.predictions, label)}
    for place, name in enumerate(classes):
        cells = [row[place] for row in found.probabilities or ()]
        columns[f"probability_{_text(name)}"] = Cells(cells, pa.float64())
    if interval is not None and classes:
        columns["labels"] = Cells(list(found.labels or ()), pa.list_(label))
    elif interval is not None:
        columns["lower"] = Cells(list(found.lower or ()), pa.float64())
        columns["upper"] = Cells(list(found.upper or ()), pa.float64())
    return columns


def named_apart(kept: Mapping[str, Cells], answer: Mapping[str, Cells]) -> dict[str, Cells]:
    """Put kept columns before those of the answer; `input_` before a name that both have."""
    columns: dict[str, Cells] = {}
    for name, cells in kept.items():
        while name in answer or name == ERROR or name in columns:
            name = f"input_{name}"
        columns[name] = cells
    return columns | dict(answer)


class ResultFile:
    """Writes the parts of one batch, and puts them together; every step can be repeated."""

    def __init__(self, artifacts: Artifacts, batch: Batch) -> None:
        self._artifacts = artifacts
        self._batch = batch

    def write_part(self, number: int, columns: Mapping[str, Cells]) -> None:
        """Store the part `number`, from 0; all parts have the same columns."""
        write = _csv_part if self._batch.spec.format == "csv" else _parquet_part
        self._artifacts.write(self._part(number), write(columns, with_header=number == 0))

    def put_together(self, parts: int) -> tuple[str, int]:
        """Store the result out of all parts; return its SHA-256 and bytes.

        It is made in a temporary file, so that no more than a part is in memory.
        """
        with tempfile.TemporaryDirectory(prefix="luthier-batch-") as folder:
            path = Path(folder) / "result"
            join = _join_csv if self._batch.spec.format == "csv" else _join_parquet
            join(map(self._opened, range(parts)), path)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            self._artifacts.write_file(result_name(self._batch.id, digest), path)
            return digest, path.stat().st_size

    def _part(self, number: int) -> str:
        return f"{self._batch.folder}/parts/{number:06}"

    @contextmanager
    def _opened(self, number: int) -> Iterator[Any]:
        with self._artifacts.open(self._part(number)) as file:
            yield file


def _csv_part(columns: Mapping[str, Cells], with_header: bool) -> bytes:
    """Write rows as CSV, booleans as in JSON, sets of labels as JSON, None as an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    if with_header:
        writer.writerow(columns)
    writer.writerows(zip(*map(_csv_cells, columns.values()), strict=True))
    return text.getvalue().encode("utf-8", "surrogatepass")


def _csv_cells(column: Cells) -> Iterable[Any]:
    if pa.types.is_boolean(column.type):
        return [cell if cell is None else _text(cell) for cell in column.cells]
    if pa.types.is_list(column.type):
        return [
            cell if cell is None else json.dumps(cell, ensure_ascii=False) for cell in column.cells
        ]
    return column.cells


def _parquet_part(columns: Mapping[str, Cells], with_header: bool) -> bytes:
    arrays = {name: pa.array(column.cells, column.type) for name, column in columns.items()}
    sink = io.BytesIO()
    pa.parquet.write_table(pa.table(arrays), sink)
    return sink.getvalue()


def _join_csv(parts: Iterable[Any], path: Path) -> None:
    with path.open("wb") as result:
        for part in parts:
            with part as file:
                shutil.copyfileobj(file, result, _BLOCK)


def _join_parquet(parts: Iterable[Any], path: Path) -> None:
    writer: Any = None
    try:
        for part in parts:
            with part as file:
                table = pa.parquet.read_table(file, use_threads=False, pre_buffer=False)
            writer = writer or pa.parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _label_type(classes: Sequence[ClassLabel]) -> Any:
    kinds = {type(label) for label in classes}
    if not kinds:
        return pa.float64()
    if kinds == {bool}:
        return pa.bool_()
    return pa.int64() if kinds == {int} else pa.string()


def _text(label: ClassLabel) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)
