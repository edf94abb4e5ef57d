import io
from typing import Any

import numpy as np
import pytest

from models.data.columns import ColumnType
from models.data.formats.reading import from_arrays
from models.errors import Invalid
from tests.files import read


def as_npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def types_of(dataset) -> dict[str, str]:
    return {column.name: column.type.value for column in dataset.columns}


def test_arrays_become_columns():
    dataset = from_arrays([[1, None], [2, 3.5]], ["a", "b"])
    assert dataset.names == ("x0", "x1", "y")
    np.testing.assert_array_equal(dataset.values["x1"], [np.nan, 3.5])
    assert dataset.values["y"].tolist() == ["a", "b"]
    same = read(as_npz(x=np.array([[1, np.nan], [2, 3.5]]), y=np.array(["a", "b"])), "npz")
    assert same.digest() == dataset.digest()


def test_image_arrays_become_one_column():
    pixels = np.arange(2 * 4 * 3 * 2).reshape(2, 4, 3, 2)
    dataset = from_arrays(pixels.tolist(), np.array([[1], [0]]))
    assert dataset.column("x").type is ColumnType.IMAGE
    assert dataset.column("x").shape == (4, 3, 2)
    assert dataset.values["x"].dtype == np.uint8
    assert from_arrays(pixels / 7, [0, 1]).values["x"].dtype == np.float32
    named = read(as_npz(scan=pixels[..., 0], label=np.array([0, 1])), "npz")
    assert types_of(named) == {"scan": "image", "label": "number"}


@pytest.mark.parametrize(
    ("x", "y", "path"),
    [
        ([[1], [2, 3]], [1, 2], "x"),
        ([[1], [2]], [1], "y"),
        ([[1], [2]], [[1, 2], [3, 4]], "y"),
        ([[1], [np.inf]], [1, 2], "x"),
        ([["a"], ["b"]], [1, 2], "x"),
        ([[{}], [1]], [1, 2], "x"),
        ([], [], "x"),
        (np.zeros((2, 0)), [1, 2], "x"),
        (np.zeros((2, 2, 2, 2, 2)), [1, 2], "x"),
        (np.full((2, 2, 2), np.nan), [1, 2], "x"),
        ([[10**400]], [1], "x"),
        ([[1]], [np.inf], "y"),
    ],
)
def test_bad_arrays_are_refused_at_x_or_y(x, y, path):
    with pytest.raises(Invalid, match=f"^{path}: "):
        from_arrays(x, y)


def test_npz_never_unpickles():
    with pytest.raises(Invalid, match=r"^file: .*pickle"):
        read(as_npz(x=np.array([{}, []], dtype=object), y=np.zeros(2)), "npz")
    with pytest.raises(Invalid, match=r"^file: .*differ in length"):
        read(as_npz(a=np.zeros(2), b=np.zeros(3)), "npz")
    with pytest.raises(Invalid, match=r"^file: .*no row"):
        read(as_npz(a=np.zeros(0)), "npz")
