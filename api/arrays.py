"""Rows that come as NumPy arrays, and predictions that go out as arrays."""

import io
import lzma
import math
import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np

from api.schemas.predict import prediction_columns
from api.services import Services
from models.errors import Invalid, TooLarge
from models.serving.cells import Array, Cells
from models.serving.engine import Prediction, Rows
from models.serving.signature import Signature

_DIRECTORY_ENTRY = b"PK\x01\x02"
_UNREADABLE = (
    ValueError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,  # of bzip2
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)  # halves of pairs
# What numpy raises for a header that is no dictionary of descr, fortran_order and shape.
_NO_HEADER = (ValueError, TypeError, MemoryError, RecursionError, tokenize.TokenError)


def read_npy(content: bytes, path: str = "body") -> Array:
    """Return the array of an NPY file, which holds no objects; raise Invalid at `path`.

    Source: `numpy.lib.format`. The header is compared with the content before anything is made.
    """
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(file)
    except _NO_HEADER as error:
        raise Invalid.at(path, f"It is not an NPY file: {error}") from None
    if dtype.hasobject:
        raise Invalid.at(path, "It holds pickled objects, which are not read.")
    size = math.prod(shape) * dtype.itemsize
    if len(content) - file.tell() != size or not dtype.itemsize:
        raise Invalid.at(path, f"An array of shape {shape} and type {dtype} has {size:,} bytes.")
    array = np.frombuffer(content, dtype, offset=file.tell())
    try:
        return array.reshape(shape, order="F" if is_fortran else "C")
    except (ValueError, TypeError):  # such as two sides of -1, whose product is 1
        raise Invalid.at(path, f"There is no array of the shape {shape}.") from None


def read_npz(content: bytes, found: Services) -> dict[str, Array]:
    """Return the arrays of an NPZ file by name; raise Invalid at `body`.

    Raises TooLarge before more is unpacked than LUTHIER_MAX_JSON_BYTES allows.
    """
    limits = found.settings
    # Opening an archive takes memory for each member, however small the file is.
    if content.count(_DIRECTORY_ENTRY) > limits.max_columns:
        raise Invalid.at("body", f"It holds more arrays than the {limits.max_columns:,} allowed.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > limits.max_json_bytes:
                raise TooLarge(
                    f"The arrays take more than {limits.max_json_bytes:,} bytes unpacked, the most"
                    " that LUTHIER_MAX_JSON_BYTES allows."
                )
            files = {each.filename.removesuffix(".npy"): archive.read(each) for each in members}
    except _UNREADABLE as error:
        raise Invalid.at("body", f"It is not an NPZ file: {error}") from None
    return {name: read_npy(file, f"body.{name}") for name, file in files.items()}


def rows_of_arrays(arrays: dict[str, Array], signature: Signature) -> Rows:
    """Return cells by column of named arrays, as `cells_of` reads them.

    One array under another name than a column's, of shape (rows, columns), has the columns in the
    signature's order. Raises Invalid at `columns.<name>` for other shapes.
    """
    if len(arrays) == 1:
        (array,) = arrays.values()
        if array.dtype.names:
            return {name: cells_of(name, array[name], signature) for name in array.dtype.names}
        if not set(arrays) & set(signature.names):
            return _matrix(array, signature)
    return {name: cells_of(name, array, signature) for name, array in arrays.items()}


def cells_of(name: str, array: Array, signature: Signature) -> Cells:
    """Return the cells of one column, of shape (rows,), (rows, 1) or, of images, (rows, *shape).

    Moments become ISO 8601 texts, bytes texts. Raises Invalid at `columns.<name>`.
    """
    path = f"columns.{name}"
    if name not in signature.images:
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise Invalid.at(path, f"Expected one cell a row, not the shape {array.shape}.")
    if array.dtype.kind in "fiubO":
        return array
    if array.dtype.kind == "U":
        _check_texts(array, path)
        return array
    if array.dtype.kind == "M":
        return [None if np.isnat(cell) else str(cell) for cell in array]
    if array.dtype.kind == "S":
        try:
            return [bytes(cell).decode() for cell in array]
        except UnicodeDecodeError:
            raise Invalid.at(path, "Holds bytes that are not UTF-8.") from None
    raise Invalid.at(path, f"Arrays of type {array.dtype} are not read.")


def _check_texts(array: Array, path: str) -> None:
    """Raise Invalid for an array of texts with a number that is no character."""
    codes = np.dtype(np.uint32).newbyteorder(array.dtype.byteorder)
    numbers = array.ravel().view(codes) if array.dtype.itemsize else np.empty(0, codes)
    if ((numbers > _LAST_CHARACTER) | (numbers - _SURROGATES.start < len(_SURROGATES))).any():
        raise Invalid.at(path, "Holds numbers that are no characters.")


def _matrix(array: Array, signature: Signature) -> Rows:
    names = signature.names
    if len(names) == 1 and array.ndim != 2:
        return {names[0]: cells_of(names[0], array, signature)}
    if array.ndim != 2 or array.shape[1] != len(names):
        raise Invalid.at(
            "body",
            f"Expected an array of {len(names)} columns, not of the shape {array.shape}.",
        )
    return {
        name: cells_of(name, column, signature) for name, column in zip(names, array.T, strict=True)
    }


def arrays_of(prediction: Prediction) -> dict[str, Array]:
    """Return a prediction as arrays by name.

    `prediction` (rows,): float64 or the labels; `probabilities` (rows, classes) and `classes`;
    `lower` and `upper` (rows,) of an interval, or `labels` (rows, classes): whether a class is in
    the set of a row.
    """
    arrays: dict[str, Any] = {"prediction": np.array(prediction.predictions)}
    if prediction.classes is not None:
        arrays["probabilities"] = np.array(prediction.probabilities, dtype=np.float64)
        arrays["classes"] = np.array(prediction.classes)
        if prediction.labels is not None:
            sets = map(set, prediction.labels)
            arrays["labels"] = np.array(
                [[c in found for c in prediction.classes] for found in sets]
            )
    if prediction.lower is not None:
        arrays["lower"] = np.array(prediction.lower)
        arrays["upper"] = np.array(prediction.upper)
    return arrays


def npy_of(prediction: Prediction) -> bytes:
    """Return `prediction` of `arrays_of` as an NPY file."""
    file = io.BytesIO()
    np.save(file, arrays_of(prediction)["prediction"], allow_pickle=False)
    return file.getvalue()


def npz_of(prediction: Prediction) -> bytes:
    """Return `arrays_of` as an NPZ file."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays_of(prediction))
    return file.getvalue()


def arrow_of(prediction: Prediction) -> bytes:
    """Return `table_of` as an Arrow stream."""
    import pyarrow as pa

    table, sink = table_of(prediction), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def parquet_of(prediction: Prediction) -> bytes:
    """Return `table_of` as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table_of(prediction), sink)
    return bytes(sink.getvalue())


def table_of(prediction: Prediction) -> Any:
    """Return a prediction as an Arrow table with the columns of `prediction_csv`.

    Its metadata names `model` and `version`.
    """
    import pyarrow as pa

    columns = prediction_columns(prediction)
    named = {"model": prediction.model, "version": str(prediction.version)}
    return pa.table(columns).replace_schema_metadata(named)
