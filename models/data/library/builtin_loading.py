"""Built-in datasets from scikit-learn and Keras, whose imports are heavy."""

import importlib
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.datasets

from models.data.dataset import Dataset
from models.data.formats.arrays import to_columns
from models.data.formats.conversion import to_dataset
from models.data.library.builtin import BUILTINS, PREFIX, Builtin
from models.errors import NotFound, Unavailable

Array = np.ndarray[Any, Any]

_KERAS = "keras.datasets."


def load_builtin(name: str) -> Dataset:
    """The built-in dataset called `name`, with or without `builtin:` before it.

    Classes stay the whole numbers of the source. Those of Keras are downloaded once, and kept
    where Keras keeps them (`KERAS_HOME`, or `~/.keras`); they import TensorFlow.
    Raises NotFound for an unknown name and Unavailable when a download fails.
    """
    name = name.removeprefix(PREFIX)
    if name not in BUILTINS:
        raise NotFound("built-in dataset", name)
    return _to_dataset(BUILTINS[name], *_load(BUILTINS[name]))


def load_or_stand_in(name: str) -> Dataset:
    """The built-in dataset `name`, or random rows like its own where it must be downloaded first.

    For those who ask how long something takes; nothing is downloaded.
    """
    builtin = BUILTINS[name]
    if not builtin.source.startswith(_KERAS) or _cached(name).exists():
        return load_builtin(name)
    generator = np.random.default_rng(0)
    if builtin.is_image:
        pixels = generator.integers(0, 256, (builtin.rows, *builtin.shape), dtype=np.uint8)
        return _to_dataset(builtin, pixels, np.arange(builtin.rows) % builtin.classes)
    x = generator.standard_normal((builtin.rows, len(builtin.columns)))
    return _to_dataset(builtin, x, generator.standard_normal(builtin.rows))


def _to_dataset(builtin: Builtin, x: Array, y: Array) -> Dataset:
    if builtin.is_image != (x.ndim > 2):
        kind = "images" if builtin.is_image else "a table"
        raise Unavailable(
            f"The dataset {builtin.name!r} should be {kind}, but `x` has shape {x.shape}."
        )
    cells = to_columns(x, y)
    names = (*builtin.columns, builtin.target)
    types = {column: "number" for column in names if column != "x"}
    return to_dataset(dict(zip(names, cells.values(), strict=True)), types)


def _load(builtin: Builtin) -> tuple[Array, Array]:
    _, _, function = builtin.source.rpartition(".")
    if builtin.name == "xor":
        return np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    if builtin.source.startswith(_KERAS):
        return _load_keras(builtin.name)
    bunch = getattr(sklearn.datasets, function)()
    return (bunch.images if builtin.is_image else bunch.data), bunch.target


def _load_keras(name: str) -> tuple[Array, Array]:
    """Training and test part joined; Luthier holds out a test part of its own.

    A file that lies where Keras keeps the dataset is read as it is, also when it is not the one
    that Keras would download: so a smaller or mirrored copy can be put there.
    """
    cached = _cached(name)
    if cached.exists():
        return _read_cached(cached)
    module = importlib.import_module(f"keras.datasets.{name}")
    try:
        parts: tuple[tuple[Array, Array], tuple[Array, Array]] = module.load_data()
    # Keras raises a bare Exception for a failed download, ValueError for a wrong checksum.
    except Exception as error:
        raise Unavailable(
            f"The built-in dataset {name!r} could not be downloaded: {error}. Keras keeps it"
            " under KERAS_HOME (by default ~/.keras/datasets) once it was fetched."
        ) from error
    (x_train, y_train), (x_test, y_test) = parts
    return np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])


def _cached(name: str) -> Path:
    """Where Keras keeps a dataset that it has downloaded."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return home / "datasets" / f"{name}.npz"


def _read_cached(path: Path) -> tuple[Array, Array]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "x" in arrays:
                return arrays["x"], arrays["y"]
            x = np.concatenate([arrays["x_train"], arrays["x_test"]])
            return x, np.concatenate([arrays["y_train"], arrays["y_test"]])
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise Unavailable(f"The cached dataset {path.name} cannot be read: {error}") from error
