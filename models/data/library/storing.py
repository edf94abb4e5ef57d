"""A source read and stored: the work on an upload that takes memory, without the catalog."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.data.dataset import Dataset
from models.data.formats.limits import TableLimits
from models.data.formats.reading import read_file, read_rows, read_table
from models.data.library.pieces import write_rows
from models.data.library.profile import ColumnProfile, profile
from models.data.library.sources import Source, SourceRecord, StoredTable
from models.data.library.storage import write_dataset
from models.data.table import ReadOptions
from models.data.warnings import DataWarning
from models.store.artifacts import Artifacts


@dataclass(frozen=True, slots=True)
class StoredRows:
    """A dataset whose files are stored, for the catalog to record."""

    id: str
    rows: int
    columns: tuple[ColumnProfile, ...]
    bytes: int  # of its files
    source: SourceRecord | None = None
    reading: Mapping[str, Any] | None = None
    warnings: tuple[DataWarning, ...] = ()


def store_source(
    source: Source,
    types: Mapping[str, str],
    options: ReadOptions,
    limits: TableLimits,
    artifacts: Artifacts,
    document: Any = None,
) -> StoredRows:
    """Read a source and store it with its rows; `document` is that of inline rows, parsed.

    Raises Invalid at the fault in the file, TooLarge beyond `limits`.
    """
    if source.is_inline:
        typed = read_rows(source.document if document is None else document, types, options, limits)
    else:
        typed = read_file(
            source.content, source.filename, source.content_type, types, options, limits
        )
    stored = store_rows(typed.dataset, artifacts, source)
    return replace(stored, reading=typed.reading, warnings=typed.warnings)


def store_rows(dataset: Dataset, artifacts: Artifacts, source: Source | None = None) -> StoredRows:
    """Store the source, then the rows, under the digest of the rows."""
    digest = dataset.digest()
    record = None if source is None else source.record
    size = 0
    if source is not None and record is not None:
        artifacts.write(record.stored_name(digest), source.content)
        size = len(source.content)
    size += write_dataset(dataset, artifacts, digest)
    return StoredRows(digest, dataset.rows, profile(dataset), size, record)


def store_table(
    source: Source, options: ReadOptions, limits: TableLimits, artifacts: Artifacts, folder: str
) -> StoredTable:
    """Read a source and store each of its rows in a folder, as the file has it.

    Raises as `models.data.formats.reading.read_table`, and Invalid at `file` without rows.
    """
    options = replace(options, every_row=True)
    table = read_table(source.content, source.filename, source.content_type, options, limits)
    rows = write_rows(table, artifacts, folder)
    shapes = {
        name: list(cells.shape[1:]) if isinstance(cells, np.ndarray) else None
        for name, cells in table.cells.items()
    }
    return StoredTable(rows, shapes)
