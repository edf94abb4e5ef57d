"""Small files and rows read as an upload reads them."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.data.dataset import Dataset
from models.data.formats.limits import DEFAULT_LIMITS, TableLimits
from models.data.formats.reading import read_file, read_rows


def read(
    content: bytes,
    extension: str,
    types: Mapping[str, str] | None = None,
    limits: TableLimits = DEFAULT_LIMITS,
) -> Dataset:
    """Return the dataset of a file with this extension."""
    return read_file(content, f"table.{extension}", None, types, None, limits).dataset


def from_records(
    rows: Sequence[Any],
    types: Mapping[str, str] | None = None,
    limits: TableLimits = DEFAULT_LIMITS,
) -> Dataset:
    """Return the dataset of JSON objects, one a row."""
    return read_rows({"records": rows}, types, limits=limits).dataset
