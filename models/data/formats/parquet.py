"""Parquet files to columns."""

import io
import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from models.data.cells.conversion import is_text
from models.data.formats.delimited import check_names
from models.data.formats.limits import TableLimits
from models.errors import Invalid

_BATCH_ROWS = 1_000_000


def read_parquet(content: bytes, limits: TableLimits) -> dict[str, Any]:
    """Read columns by name as Arrow arrays; text that is stored as a dictionary stays one.

    The sizes of the footer are checked before unpacking, the actual ones while unpacking. Raises
    Invalid at `file`, TooLarge.
    """
    try:
        # A dictionary holds each text once; written out, a few bytes can become gigabytes.
        schema = pa.parquet.read_schema(io.BytesIO(content))
        texts = [field.name for field in schema if is_text(_value_type(field.type))]
        file = pa.parquet.ParquetFile(io.BytesIO(content), read_dictionary=texts)
        names = _check_footer(file, limits)
        table = _read_batches(file, names, limits)
    except (pa.ArrowException, OSError) as error:
        raise Invalid.at("file", f"The file is not Parquet: {error}") from None
    return {name: table.column(name) for name in names}


def _check_footer(file: Any, limits: TableLimits) -> list[str]:
    """Check the sizes that the footer states; return the names of the columns to read."""
    footer = file.metadata
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    limits.check_shape("file", footer.num_rows, footer.num_columns)
    limits.check_bytes(sum(group.total_byte_size for group in groups), "The file")
    # pandas adds such columns for an index that is not a plain count.
    fields = [
        field for field in file.schema_arrow if not re.fullmatch(r"__index_level_\d+__", field.name)
    ]
    check_names([field.name for field in fields])
    for field in fields:
        if pa.types.is_nested(field.type):
            raise Invalid.at(
                "file", f"Column {field.name!r} holds {field.type} values, which are not read here."
            )
    if not fields or footer.num_rows == 0:
        raise Invalid.at("file", "There is no row.")
    return [field.name for field in fields]


def _read_batches(file: Any, names: list[str], limits: TableLimits) -> Any:
    batches, size = [], 0
    for batch in file.iter_batches(_BATCH_ROWS, columns=names, use_threads=False):
        size += batch.nbytes
        limits.check_bytes(size, "The file")
        batches.append(batch)
    return pa.Table.from_batches(batches)


def _value_type(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
