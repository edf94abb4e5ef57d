"""Loading of built-in datasets from scikit-learn and Keras; never imported by the API."""

import importlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.datasets

from models.data.cells.conversion import to_dataset
from models.data.dataset import Dataset
from models.data.formats.arrays import to_columns
from models.data.library.builtin import BUILTINS, PREFIX, Builtin
from models.data.library.storing import StoredRows, store_rows
from models.errors import LoadError, NotFound
from models.store.artifacts import Artifacts

Array = np.ndarray[Any, Any]

_KERAS = "keras.datasets."


@dataclass(frozen=True, slots=True)
class BuiltinRequest:
    """The name of a built-in dataset and the artifact root to store it in."""

    name: str
    artifacts_root: str


def load_builtin(name: str) -> Dataset:
    """Load the built-in dataset called `name`, with or without `builtin:` before it.

    Classes are whole numbers, as in the source. Datasets of Keras import TensorFlow; Keras
    downloads them once and keeps them under `KERAS_HOME` or `~/.keras`. Raises NotFound for an
    unknown name and LoadError when a download fails.
    """
    name = name.removeprefix(PREFIX)
    if name not in BUILTINS:
        raise NotFound("built-in dataset", name)
    return _to_dataset(BUILTINS[name], *_load(BUILTINS[name]))


def store_builtin(request: BuiltinRequest) -> StoredRows:
    """Load a built-in dataset and store its rows; raises what `load_builtin` raises."""
    return store_rows(load_builtin(request.name), Artifacts(request.artifacts_root))


def load_or_stand_in(name: str) -> Dataset:
    """Load the built-in dataset `name`, or make random rows of its shape if it is not downloaded.

    For estimates of time, which must not download anything.
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
        raise LoadError(
            f"The dataset {builtin.name!r} should be {kind}, but `x` has shape {x.shape}."
        )
    cells = to_columns(x, y)
    names = (*builtin.columns, builtin.target)
    types = {column: "number" for column in names if column != "x"}
    return to_dataset(dict(zip(names, cells.values(), strict=True)), types).dataset


def _load(builtin: Builtin) -> tuple[Array, Array]:
    _, _, function = builtin.source.rpartition(".")
    if builtin.name == "xor":
        return np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    if builtin.source.startswith(_KERAS):
        return _load_keras(builtin.name)
    bunch = getattr(sklearn.datasets, function)()
    return (bunch.images if builtin.is_image else bunch.data), bunch.target


def _load_keras(name: str) -> tuple[Array, Array]:
    """Load training and test part as one; Luthier holds out a test part of its own.

    A file that is already where Keras keeps the dataset is read without its checksum, so that a
    smaller or mirrored copy can be put there.
    """
    cached = _cached(name)
    if cached.exists():
        return _read_cached(cached)
    module = importlib.import_module(f"keras.datasets.{name}")
    try:
        parts: tuple[tuple[Array, Array], tuple[Array, Array]] = module.load_data()
    # Keras raises a bare Exception for a failed download, ValueError for a wrong checksum.
    except Exception as error:
        raise LoadError(
            f"The built-in dataset {name!r} could not be downloaded: {error}. Keras keeps it"
            " under KERAS_HOME (by default ~/.keras/datasets) once it was fetched."
        ) from error
    (x_train, y_train), (x_test, y_test) = parts
    return np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])


def _cached(name: str) -> Path:
    """Return the path at which Keras keeps the downloaded dataset."""
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
        raise LoadError(f"The cached dataset {path.name} cannot be read: {error}") from error
