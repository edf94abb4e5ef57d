"""Datasets in the artifact store: one Parquet file, and one .npy file for each image column."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from models.data.columns import Column, ColumnType
from models.data.dataset import Dataset
from models.errors import ArtifactError
from models.store.artifacts import Artifacts

_METADATA = b"luthier.columns"


def folder(dataset_id: str) -> str:
    """The artifact name under which everything of a dataset lies."""
    return f"datasets/{dataset_id}"


def write_dataset(dataset: Dataset, artifacts: Artifacts, dataset_id: str) -> None:
    """Store the dataset under its id; the Parquet file is written last."""
    tabular = {}
    for number, column in enumerate(dataset.columns):
        values = dataset.values[column.name]
        if column.type is ColumnType.IMAGE:
            buffer = io.BytesIO()
            np.save(buffer, values, allow_pickle=False)
            artifacts.write(_image_file(dataset_id, number), buffer.getvalue())
        else:
            kind = pa.string() if values.dtype == object else pa.float64()
            tabular[column.name] = pa.array(values, kind)
    described = json.dumps([column.to_json() for column in dataset.columns])
    table = pa.table(tabular).replace_schema_metadata({_METADATA: described})
    sink = io.BytesIO()
    pa.parquet.write_table(table, sink)
    artifacts.write(_table_file(dataset_id), sink.getvalue())


def is_stored(dataset: Dataset, artifacts: Artifacts, dataset_id: str) -> bool:
    """Whether every file of the dataset is there."""
    images = [
        _image_file(dataset_id, number)
        for number, column in enumerate(dataset.columns)
        if column.type is ColumnType.IMAGE
    ]
    return all(artifacts.exists(name) for name in [*images, _table_file(dataset_id)])


def read_dataset(artifacts: Artifacts, dataset_id: str) -> Dataset:
    """The dataset stored under an id; ArtifactError if it is missing or damaged."""
    content = artifacts.read(_table_file(dataset_id))
    try:
        table = pa.parquet.read_table(io.BytesIO(content))
        described = json.loads(table.schema.metadata[_METADATA])
        columns = tuple(map(Column.from_json, described))
        values = {}
        for number, column in enumerate(columns):
            if column.type is ColumnType.IMAGE:
                image = io.BytesIO(artifacts.read(_image_file(dataset_id, number)))
                values[column.name] = np.load(image, allow_pickle=False)
            else:
                values[column.name] = table.column(column.name).to_numpy()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise ArtifactError(f"The stored dataset {dataset_id!r} is damaged: {error}") from error
    return Dataset(columns, values)


def _table_file(dataset_id: str) -> str:
    return f"{folder(dataset_id)}/columns.parquet"


def _image_file(dataset_id: str, number: int) -> str:
    return f"{folder(dataset_id)}/column-{number}.npy"
