"""NumPy arrays and NPZ files to columns."""

import io
import math
import zipfile
import zlib
from typing import Any

import numpy as np
import pyarrow as pa

from models.data.formats.limits import DEFAULT_LIMITS, TableLimits
from models.errors import Invalid

_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(content: bytes, limits: TableLimits) -> dict[str, Any]:
    """Read the columns of an NPZ file: arrays `x` and `y`, or arrays of one axis and images.

    Raises Invalid at `file`, and TooLarge before anything is unpacked that `limits` forbid.
    """
    arrays = _unpack(content, limits)
    if set(arrays) == {"x", "y"}:
        return to_columns(arrays["x"], arrays["y"], limits)
    if not arrays or "" in arrays:
        raise Invalid.at("file", "The file holds no array, or one without a name.")
    if len({array.shape[:1] for array in arrays.values()}) > 1:
        raise Invalid.at("file", "The arrays differ in length.")
    if any(array.size == 0 for array in arrays.values()):
        raise Invalid.at("file", "There is no row.")
    cells: dict[str, Any] = {}
    for name, array in arrays.items():
        if array.ndim not in (1, 3, 4):
            message = f"Array {name!r} has {array.ndim} axes; 1 or, for images, 3 or 4 are read."
            raise Invalid.at("file", message)
        cells[name] = _cells(name, array) if array.ndim == 1 else _images(name, array)
    return cells


def to_columns(x: Any, y: Any, limits: TableLimits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Convert features `x` and targets `y`, arrays or nested lists, to columns by name.

    `x` of shape (rows, columns) becomes `x0`, `x1`…; (rows,) becomes `x0`; (rows, height, width)
    and (rows, height, width, channels) become one image `x`. `y` has shape (rows,) or (rows, 1).
    Raises Invalid at `x` or `y`, TooLarge for more than `limits` allow.
    """
    features, targets = _array("x", x, limits), _array("y", y, limits)
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim != 1:
        raise Invalid.at("y", f"Expected one value a row, got shape {targets.shape}.")
    if features.ndim not in (1, 2, 3, 4):
        raise Invalid.at("x", f"Expected 1 to 4 axes, got {features.ndim}.")
    if 0 in features.shape:
        raise Invalid.at("x", "There is no row." if len(features) == 0 else "There is no column.")
    if len(targets) != len(features):
        raise Invalid.at("y", f"Has {len(targets)} rows, but `x` has {len(features)}.")
    if features.ndim >= 3:
        return {"x": _images("x", features), "y": _cells("y", targets)}
    features = features.reshape(len(features), -1)
    limits.check_shape("x", *features.shape)
    features = _numbers("x", features)
    cells = {f"x{number}": _cells("x", column) for number, column in enumerate(features.T)}
    return {**cells, "y": _cells("y", targets)}


def _unpack(content: bytes, limits: TableLimits) -> dict[str, np.ndarray[Any, Any]]:
    # Opening an archive takes memory for each member, however small the file is.
    limits.check_columns("file", content.count(b"PK\x01\x02"))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            limits.check_bytes(sum(member.file_size for member in members), "The file")
            for member in members:
                _check_header(archive, member, limits)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name]) for name in arrays.files}
    except _UNREADABLE as error:
        raise Invalid.at("file", f"The file is not a plain NPZ file: {error}") from None


def _check_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limits: TableLimits) -> None:
    """Refuse an array whose header claims more than its member holds, or holds objects."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds pickled objects")
    elements = math.prod(shape)
    if elements * max(1, dtype.itemsize) > member.file_size:
        raise ValueError(f"{member.filename} claims {elements:,} elements, which it does not hold")
    limits.check_shape("file", shape[0] if shape else 0, 1)


def _array(path: str, values: Any, limits: TableLimits) -> np.ndarray[Any, Any]:
    try:
        if isinstance(values, list):
            _check_texts(values, limits)
        array = np.asarray(values)
    except OverflowError:
        raise Invalid.at(path, "A number is too large.") from None
    except ValueError:
        raise Invalid.at(path, "The rows differ in length.") from None
    if array.dtype == object:
        array = _from_objects(path, array)
    return array


def _check_texts(values: list[Any], limits: TableLimits) -> None:
    """Raise TooLarge for text that NumPy, which pads every cell to the longest, would blow up."""
    cells = np.asarray(values, dtype=object).ravel()
    longest = max((len(cell) for cell in cells if isinstance(cell, str)), default=0)
    limits.check_bytes(4 * longest * len(cells), "The text")


def _from_objects(path: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Convert objects, which numbers with null arrive as; null is NaN."""
    kinds = {type(value) for value in array.flat} - {type(None)}
    if kinds <= {int, float, bool}:
        try:
            return array.astype(np.float64)
        except OverflowError:
            raise Invalid.at(path, "A number is too large.") from None
    if kinds <= {str} and array.ndim == 1:
        return array
    raise Invalid.at(path, "Expected numbers only, or text only in one axis.")


def _cells(path: str, values: np.ndarray[Any, Any]) -> Any:
    if values.dtype.kind in "US":
        try:
            values = values.astype(str).astype(object)
        except UnicodeDecodeError:
            raise Invalid.at(path, "Holds bytes that are not ASCII text.") from None
    if values.dtype.kind == "b":
        return pa.array(values)
    if values.dtype == object:
        return pa.array(values.tolist(), pa.string())
    if values.dtype.kind == "M":
        return pa.array(values.astype("datetime64[us]"))
    if values.dtype.kind in "iu":
        return pa.array(np.ascontiguousarray(values))
    return pa.array(np.ascontiguousarray(_numbers(path, values)), from_pandas=True)


def _numbers(path: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if values.dtype.kind not in "biuf":
        raise Invalid.at(path, f"Expected numbers, got {values.dtype}.")
    if values.dtype.kind != "f":
        return values
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float64)
    infinite = np.isinf(numbers).reshape(len(numbers), -1).any(axis=1)
    if infinite.any():
        row = int(np.argmax(infinite)) + 1
        raise Invalid.at(path, f"Row {row} holds a number that is infinite or too large.")
    return numbers


def _images(path: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return uint8 if the pixels are whole numbers of that range, else float32."""
    if values.dtype.kind not in "biuf" or values.size == 0:
        raise Invalid.at(path, "Expected images with numbers for pixels.")
    if values.dtype.kind in "biu" and values.min() >= 0 and values.max() <= 255:
        return np.ascontiguousarray(values, dtype=np.uint8)
    with np.errstate(over="ignore"):
        pixels = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(pixels).all():
        raise Invalid.at(path, "A pixel is missing or infinite.")
    return pixels
