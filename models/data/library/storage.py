"""Datasets in the artifact store: one Parquet file, and one .npy file for each image column."""

import io
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from models.data.columns import Column, ColumnType, dump_columns, load_columns
from models.data.dataset import Dataset
from models.errors import Unreadable
from models.store.artifacts import Artifacts

METADATA = b"luthier.columns"  # the typed columns, in the schema of the Parquet file
TABLE_FILE = "columns.parquet"
_GROUP_CELLS = 1_000_000  # of a row group, the least that is read of a file


def folder(dataset_id: str) -> str:
    """Return the artifact name of the folder of a dataset."""
    return f"datasets/{dataset_id}"


def write_dataset(dataset: Dataset, artifacts: Artifacts, dataset_id: str) -> int:
    """Store the dataset under its id and return its bytes; the Parquet file is written last."""
    tabular, size = {}, 0
    for number, column in enumerate(dataset.columns):
        values = dataset.values[column.name]
        if column.type is ColumnType.IMAGE:
            buffer = io.BytesIO()
            np.save(buffer, values, allow_pickle=False)
            artifacts.write(_image_file(dataset_id, number), buffer.getvalue())
            size += buffer.tell()
        else:
            tabular[column.name] = pa.array(
                values, pa.string() if column.type.is_text else pa.float64()
            )
    described = json.dumps(dump_columns(dataset.columns))
    table = pa.table(tabular).replace_schema_metadata({METADATA: described})
    sink = io.BytesIO()
    pa.parquet.write_table(table, sink, row_group_size=group_rows(len(tabular)))
    artifacts.write(_table_file(dataset_id), sink.getvalue())
    return size + sink.tell()


def group_rows(columns: int) -> int:
    """Return how many rows of a table of so many columns a row group has."""
    return max(1, _GROUP_CELLS // max(1, columns))


def is_stored(columns: Iterable[Column], artifacts: Artifacts, dataset_id: str) -> bool:
    """Whether every file of a dataset with these columns is there."""
    images = [
        _image_file(dataset_id, number)
        for number, column in enumerate(columns)
        if column.type is ColumnType.IMAGE
    ]
    return all(artifacts.exists(name) for name in [*images, _table_file(dataset_id)])


def read_dataset(artifacts: Artifacts, dataset_id: str, rows: int | None = None) -> Dataset:
    """Read the dataset stored under an id, or only its first `rows` rows.

    Raises ArtifactError for a file that is missing, and Unreadable, naming the dataset and the
    column, for one whose content this version cannot read.
    """
    what = f"the stored dataset {dataset_id!r}"
    content = artifacts.read(_table_file(dataset_id))
    try:
        table = _read_table(content, rows)
        columns = load_columns(Column, json.loads(table.schema.metadata[METADATA]), what)
        values = {}
        for number, column in enumerate(columns):
            if column.type is ColumnType.IMAGE:
                images = artifacts.read(_image_file(dataset_id, number))
                values[column.name] = np.load(io.BytesIO(images), allow_pickle=False)[:rows]
            else:
                values[column.name] = table.column(column.name).to_numpy()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise Unreadable(what, f"columns.parquet: {type(error).__name__}: {error}") from error
    if not columns or len({len(cells) for cells in values.values()}) != 1:
        raise Unreadable(what, "columns: There is none, or they differ in length.")
    for number, column in enumerate(columns):
        if not _fits(column, values[column.name]):
            raise Unreadable(
                what, f"columns.{number}.type: The values of {column.name!r} are no {column.type}."
            )
    return Dataset(columns, values)


def _read_table(content: bytes, rows: int | None) -> Any:
    if rows is None:
        return pa.parquet.read_table(io.BytesIO(content))
    file = pa.parquet.ParquetFile(io.BytesIO(content))
    first = next(file.iter_batches(max(1, rows), use_threads=False), None)
    return pa.Table.from_batches([] if first is None else [first], file.schema_arrow)


def _fits(column: Column, values: np.ndarray[Any, Any]) -> bool:
    """Whether `values` have the form that the column's type says."""
    if column.type is ColumnType.IMAGE:
        return values.dtype.name in ("uint8", "float32") and values.shape[1:] == column.shape
    if column.type.is_text:
        return values.dtype == object and all(isinstance(v, str | None) for v in values)
    return bool(values.dtype == np.float64)


def _table_file(dataset_id: str) -> str:
    return f"{folder(dataset_id)}/{TABLE_FILE}"


def image_file(number: int) -> str:
    """Return the name, in the folder of a dataset, of the images of a column."""
    return f"column-{number}.npy"


def _image_file(dataset_id: str, number: int) -> str:
    return f"{folder(dataset_id)}/{image_file(number)}"
