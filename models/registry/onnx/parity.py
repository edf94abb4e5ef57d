"""Check that the ONNX graph answers what preprocessing, Keras network and decoding answer."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.preparation.tasks import Task
from models.registry.export import Parity, ParityError
from models.registry.onnx.model import OnnxAnswers
from models.trials.data import LoadedData, PreparedFold
from models.trials.metrics import class_probabilities
from models.trials.trainers.keras import forward

Array = np.ndarray[Any, Any]

TOLERANCE = 1e-4
ROWS_PER_PART = 1000  # compared of each part, at equal distances

# Standard deviations. Farther out, float32 rounding alone moves sound networks by more than
# TOLERANCE: of 90 networks trained on the diabetes data, one by 2.4e-4 at 100 deviations, none by
# more than 6e-5 at 10.
FAR = 10.0
FAR_SECONDS = 50 * 365.25 * 86400
UNSEEN = "\u2020 never seen in training"


def check_parity(
    network: keras.Model, folds: Sequence[PreparedFold], onnx: OnnxAnswers, data: LoadedData
) -> Parity:
    """Compare both on rows of every part of `data` and on rows with unusual cells.

    There is a fold for each input of the network. Raises ParityError beyond TOLERANCE.
    """
    compared = _compared_rows(data)
    # In one pass through Keras, whose eager calls take longer than a few rows in them.
    inputs = [
        np.concatenate([each.preprocessor.transform(dataset, rows) for dataset, rows in compared])
        for each in folds
    ]
    fold = folds[0]
    expected = _expected(fold, forward(network, *inputs))
    actual = np.concatenate([onnx(dataset, rows, data.features) for dataset, rows in compared])
    largest = largest_difference(expected, actual, fold.encoder.mean, fold.encoder.scale)
    if not largest <= TOLERANCE:
        raise ParityError(
            f"The ONNX graph differs from the Keras network by {largest:.3g}, "
            f"more than the {TOLERANCE:g} allowed; the version is not registered."
        )
    return Parity(largest, TOLERANCE, len(expected))


def largest_difference(
    expected: Array, actual: Array, centre: float = 0.0, unit: float = 1.0
) -> float:
    """Return the largest difference between answers (rows, outputs), in units of `unit`.

    Where an expected value lies farther than `unit` from `centre`, its distance is the unit. With
    a regression target's mean and standard deviation, the difference is a share of the deviation,
    or relative for a value far out; with the defaults, that of probabilities is absolute. Two
    answers that are not finite count as equal, since both are served as null; a finite one beside
    one that is not differs infinitely.
    """
    if expected.shape != actual.shape:
        return float("inf")
    known = np.isfinite(expected)
    if (known != np.isfinite(actual)).any():
        return float("inf")
    expected, actual = expected[known], actual[known].astype(np.float64)
    units = np.maximum(unit, np.abs(expected - centre))
    return float(np.max(np.abs(expected - actual) / units, initial=0.0))


def synthetic_rows(dataset: Dataset, rows: Array, features: Sequence[str]) -> Dataset:
    """Copy the first two `rows` once for each unusual value of a column, and once all missing.

    A number is missing, or 10 standard deviations to either side of its mean; a boolean is
    missing; a category or text is missing or unseen; a datetime is missing or 50 years off; an
    image is all zero or all at the largest value. Columns beyond `features` stay as they are.
    """
    base = np.asarray(rows[:2])
    changes: list[tuple[str, Any]] = []
    for name in features:
        kind, cells = dataset.column(name).type, dataset.values[name][rows]
        changes += [(name, value) for value in _unusual(kind, cells)]
    blocks = len(changes) + 1
    built = {
        name: np.concatenate([values[base]] * blocks) for name, values in dataset.values.items()
    }
    for block, (name, value) in enumerate(changes):
        built[name][block * len(base) : (block + 1) * len(base)] = value
    for name in features:
        kind = dataset.column(name).type
        if kind is not ColumnType.IMAGE:
            built[name][-len(base) :] = None if kind.is_text else np.nan
    return Dataset(dataset.columns, built)


def _expected(fold: PreparedFold, outputs: Array) -> Array:
    """Decode network outputs: (rows, 1) in own units or (rows, classes), float64."""
    if fold.training.outputs.task is Task.REGRESSION:
        return np.asarray(fold.encoder.decode(outputs[:, 0]), dtype=np.float64)[:, None]
    return class_probabilities(outputs)


def _compared_rows(data: LoadedData) -> list[tuple[Dataset, Array]]:
    first = data.split.folds[0]
    parts = [(data.dataset, rows) for rows in (first.train, first.validation)]
    parts.append(data.test_part())
    if data.validation_dataset is not None:
        parts.append((data.validation_dataset, data.rows_of(data.validation_dataset)))
    synthetic = synthetic_rows(data.dataset, first.train, data.features)
    compared = [(dataset, _spaced(rows)) for dataset, rows in parts if len(rows)]
    return [*compared, (synthetic, np.arange(synthetic.rows))]


def _spaced(rows: Array) -> Array:
    places = np.linspace(0, len(rows) - 1, min(len(rows), ROWS_PER_PART)).astype(np.int64)
    return rows[places]


def _unusual(kind: ColumnType, values: Array) -> list[Any]:
    match kind:
        case ColumnType.CATEGORY | ColumnType.TEXT:
            return [None, UNSEEN]
        case ColumnType.IMAGE:
            return [0, values.max()]
        case ColumnType.BOOLEAN:
            return [np.nan]
    known = values[~np.isnan(values)]
    centre = known.mean() if known.size else 0.0
    if kind is ColumnType.DATETIME:
        return [np.nan, centre - FAR_SECONDS, centre + FAR_SECONDS]
    spread = known.std() if known.size else 0.0
    return [np.nan, centre - FAR * (spread or 1.0), centre + FAR * (spread or 1.0)]
