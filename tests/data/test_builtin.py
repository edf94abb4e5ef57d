import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets

from models.data.library.builtin import BUILTINS
from models.data.library.builtin_loading import load_builtin
from models.data.preparation.tasks import infer_task, resolve_features
from models.errors import LoadError, NotFound
from tests.waiting import PATIENCE

OFFLINE = [name for name, item in BUILTINS.items() if not item.source.startswith("keras")]
DEAD_PROXY = "http://127.0.0.1:9"  # so that no test downloads anything


@pytest.mark.parametrize("name", OFFLINE)
def test_a_builtin_is_what_the_table_says(name):
    builtin = BUILTINS[name]
    dataset = load_builtin(f"builtin:{name}")
    assert dataset.names == (*builtin.columns, builtin.target)
    assert dataset.rows == builtin.rows
    assert infer_task(dataset, builtin.target) is builtin.task
    assert resolve_features(dataset, builtin.target) == builtin.columns


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
def test_columns_and_values_are_those_of_scikit_learn(name):
    frame = getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame
    dataset = load_builtin(name)
    assert dataset.names == tuple(frame.columns)
    for column in frame.columns:
        np.testing.assert_array_equal(dataset.values[column], frame[column])


def test_digits_are_images_and_xor_is_xor():
    digits = load_builtin("digits")
    assert digits.column("x").shape == (8, 8)
    np.testing.assert_array_equal(digits.values["x"], sklearn.datasets.load_digits().images)
    xor = load_builtin("xor")
    rows = np.stack([xor.values[name] for name in xor.names], axis=1)
    np.testing.assert_array_equal(rows, [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])


def test_an_unknown_builtin_is_not_found():
    with pytest.raises(NotFound, match="built-in dataset 'titanic'"):
        load_builtin("builtin:titanic")


def load_with_keras(home: Path, program: str) -> str:
    """What `program` prints in a process of its own, whose Keras keeps its files in `home`."""
    environment = {
        **os.environ,
        "KERAS_HOME": str(home),
        "https_proxy": DEAD_PROXY,
        "http_proxy": DEAD_PROXY,
        "no_proxy": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def write_fashion_mnist(home: Path) -> None:
    """Four IDX files of the form that Zalando publishes, with 3 and 2 images."""
    folder = home / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    for part, labels in (("train", [9, 0, 3]), ("t10k", [1, 2])):
        images = bytes(pixel % 256 for pixel in range(len(labels) * 784))
        header = struct.pack(">IIII", 2051, len(labels), 28, 28)
        for name, content in (
            (f"{part}-images-idx3-ubyte.gz", header + images),
            (f"{part}-labels-idx1-ubyte.gz", struct.pack(">II", 2049, len(labels)) + bytes(labels)),
        ):
            (folder / name).write_bytes(gzip.compress(content))


def test_a_keras_dataset_is_read_from_where_keras_keeps_it(tmp_path):
    write_fashion_mnist(tmp_path)
    program = (
        "from models.data.library.builtin_loading import load_builtin\n"
        "dataset = load_builtin('builtin:fashion_mnist')\n"
        "x = dataset.values['x']\n"
        "print(dataset.names, x.shape, x.dtype, x[3, 0, 5], dataset.values['target'].tolist())\n"
    )
    printed = load_with_keras(tmp_path, program)
    assert "('x', 'target') (5, 28, 28) uint8 5 [9.0, 0.0, 3.0, 1.0, 2.0]" in printed


def test_a_keras_dataset_without_a_network_is_unavailable(tmp_path):
    program = (
        "from models.data.library.builtin_loading import load_builtin\n"
        "from models.errors import LoadError\n"
        "for name in ('mnist', 'california_housing', 'boston_housing'):\n"
        "    try:\n"
        "        load_builtin(name)\n"
        "    except LoadError as error:\n"
        "        print('refused:', error)\n"
    )
    printed = load_with_keras(tmp_path, program)
    assert printed.count("refused: The built-in dataset") == 3
    assert "'mnist' could not be downloaded: URL fetch failure" in printed
    assert "KERAS_HOME" in printed


@pytest.mark.parametrize(
    ("name", "split", "shape"), [("mnist", True, (28, 28)), ("boston_housing", False, (13,))]
)
def test_a_cached_npz_is_honoured_even_if_keras_would_not_download_it(
    tmp_path, monkeypatch, name, split, shape
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    x = np.arange(12 * np.prod(shape)).reshape(12, *shape).astype("uint8")
    y = np.arange(12) % 3
    arrays: dict[str, Any] = {"x": x, "y": y}
    if split:
        arrays = {"x_train": x[:8], "y_train": y[:8], "x_test": x[8:], "y_test": y[8:]}
    (tmp_path / "datasets").mkdir()
    np.savez(tmp_path / "datasets" / f"{name}.npz", **arrays)
    dataset = load_builtin(f"builtin:{name}")
    assert dataset.rows == 12
    assert dataset.values["target"].tolist() == y.tolist()
    first = dataset.names[0]
    assert np.array_equal(dataset.values[first], x if split else x[:, 0])


def test_a_broken_cached_npz_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mnist.npz").write_bytes(b"not a zip file")
    with pytest.raises(LoadError, match=r"mnist\.npz cannot be read"):
        load_builtin("mnist")
