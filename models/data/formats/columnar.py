"""Parquet, Arrow IPC and Feather files to columns."""

import io
import re
import struct
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet

from models.data.cells.conversion import is_text
from models.data.formats.limits import TableLimits
from models.data.formats.naming import name_columns
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
        _check_footer(file, limits)
        _check_fields(file.schema_arrow, file.metadata.num_rows)
        table = _gather(file.iter_batches(_BATCH_ROWS, use_threads=False), limits)
    except MemoryError:  # that of Arrow is an ArrowException too
        raise
    except (pa.ArrowException, OSError) as error:
        raise Invalid.at("file", f"The file is not Parquet: {error}") from None
    return _columns(table)


def read_arrow(content: bytes, limits: TableLimits) -> dict[str, Any]:
    """Read columns by name from an Arrow IPC file or stream, or from Feather, version 1 or 2.

    The unpacked size that every batch states is checked before it is unpacked. Raises Invalid at
    `file`, TooLarge.
    """
    try:
        if content.startswith(b"FEA1"):
            table = pa.feather.read_table(io.BytesIO(content))
            limits.check_bytes(table.nbytes, "The file")
        else:
            _check_messages(content, limits)
            table = _gather(_batches(content), limits)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, struct.error, ValueError, EOFError) as error:
        raise Invalid.at("file", f"The file is not Arrow or Feather: {error}") from None
    _check_fields(table.schema, len(table))
    limits.check_shape("file", *table.shape)
    return _columns(table)


def _check_footer(file: Any, limits: TableLimits) -> None:
    """Check the sizes that the footer states."""
    footer = file.metadata
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    limits.check_shape("file", footer.num_rows, footer.num_columns)
    limits.check_bytes(sum(group.total_byte_size for group in groups), "The file")


def _check_fields(schema: Any, rows: int) -> None:
    for field in schema:
        if pa.types.is_nested(field.type):
            raise Invalid.at(
                "file", f"Column {field.name!r} holds {field.type} values, which are not read here."
            )
    if rows == 0 or all(_is_index(name) for name in schema.names):
        raise Invalid.at("file", "There is no row.")


def _is_index(name: str) -> bool:
    """Whether pandas added such a column for an index that is not a plain count."""
    return re.fullmatch(r"__index_level_\d+__", name) is not None


def _columns(table: Any) -> dict[str, Any]:
    numbers = [number for number, name in enumerate(table.column_names) if not _is_index(name)]
    names = name_columns(table.column_names[number] for number in numbers)
    return {name: table.column(number) for name, number in zip(names, numbers, strict=True)}


def _gather(batches: Any, limits: TableLimits) -> Any:
    kept, size = [], 0
    for batch in batches:
        size += batch.nbytes
        limits.check_bytes(size, "The file")
        kept.append(batch)
    if not kept:
        raise Invalid.at("file", "There is no row.")
    return pa.Table.from_batches(kept)


def _batches(content: bytes) -> Any:
    if content.startswith(b"ARROW1"):
        file = pa.ipc.open_file(pa.py_buffer(content))
        return (file.get_batch(number) for number in range(file.num_record_batches))
    return iter(pa.ipc.open_stream(pa.py_buffer(content)))


def _check_messages(content: bytes, limits: TableLimits) -> None:
    """Add up what the compressed buffers of all batches say that they unpack to.

    Every buffer of a compressed batch begins with its unpacked length, 8 bytes, little endian; see
    the "Buffer compression" of Arrow's columnar format.
    """
    body = content[8:] if content.startswith(b"ARROW1") else content
    size = 0
    source = pa.BufferReader(pa.py_buffer(body))
    while (message := _next_message(source)) is not None:
        for buffer in _compressed(bytes(message.metadata), message.body):
            size += buffer
            limits.check_bytes(size, "The file")


def _next_message(source: Any) -> Any:
    try:
        return pa.ipc.read_message(source)
    except (EOFError, pa.ArrowInvalid):
        return None  # the end of the stream, or the footer of a file


def _compressed(metadata: bytes, body: Any) -> list[int]:
    """Return the unpacked length of each compressed buffer of a message, given as a flatbuffer."""
    message = struct.unpack_from("<I", metadata)[0]
    header = _field(metadata, message, 2)  # Message.header
    kind = _field(metadata, message, 1)  # Message.header_type
    if header is None or kind is None or body is None:
        return []
    batch = header + struct.unpack_from("<I", metadata, header)[0]
    if metadata[kind] == 2:  # a dictionary: its batch is the second field
        data = _field(metadata, batch, 1)
        if data is None:
            return []
        batch = data + struct.unpack_from("<I", metadata, data)[0]
    elif metadata[kind] != 3:  # no record batch
        return []
    buffers = _field(metadata, batch, 2)
    if buffers is None or _field(metadata, batch, 3) is None:  # not compressed
        return []
    vector = buffers + struct.unpack_from("<I", metadata, buffers)[0]
    count = struct.unpack_from("<I", metadata, vector)[0]
    lengths = []
    for number in range(count):
        offset, length = struct.unpack_from("<qq", metadata, vector + 4 + 16 * number)
        if length >= 8:
            unpacked = struct.unpack("<q", body.slice(offset, 8).to_pybytes())[0]
            lengths.append(max(unpacked, 0))  # -1: this one is not compressed
    return lengths


def _field(data: bytes, table: int, number: int) -> int | None:
    """Return where a field of a table of a flatbuffer lies; None if it is not set."""
    index = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, index)[0]
    if 4 + 2 * number >= size:
        return None
    offset = struct.unpack_from("<H", data, index + 4 + 2 * number)[0]
    return table + offset if offset else None


def _value_type(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
