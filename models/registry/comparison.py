"""Whether the ONNX graph answers what preprocessing, Keras network and decoding answer."""

from typing import Any

import keras
import numpy as np

from models.data.dataset import Dataset
from models.data.preparation.tasks import Task
from models.registry.onnx_answers import OnnxAnswers
from models.registry.parity import TOLERANCE, Parity, ParityError, largest_difference
from models.registry.synthetic import synthetic_rows
from models.trials.data import LoadedData, PreparedFold
from models.trials.metrics import class_probabilities
from models.trials.trainers.keras import forward

Array = np.ndarray[Any, Any]

ROWS_PER_PART = 1000  # compared of each part; they lie at equal distances


def check_parity(
    network: keras.Model, fold: PreparedFold, onnx: OnnxAnswers, data: LoadedData
) -> Parity:
    """Compare both on rows of every part of `data` and on rows with unusual cells.

    Raises ParityError beyond TOLERANCE.
    """
    compared = _compared_rows(data)
    # In one pass through Keras, whose eager calls take longer than a few rows in them.
    prepared = [fold.preprocessor.transform(dataset, rows) for dataset, rows in compared]
    expected = _answers(fold, forward(network, np.concatenate(prepared)))
    actual = np.concatenate([onnx(dataset, rows, data.features) for dataset, rows in compared])
    largest = largest_difference(expected, actual, fold.encoder.mean, fold.encoder.scale)
    if not largest <= TOLERANCE:
        raise ParityError(
            f"The ONNX graph differs from the Keras network by {largest:.3g}, "
            f"more than the {TOLERANCE:g} allowed; the version is not registered."
        )
    return Parity(largest, TOLERANCE, len(expected))


def _answers(fold: PreparedFold, outputs: Array) -> Array:
    """What the ONNX graph should answer: (rows, 1) in own units or (rows, classes), float64."""
    if fold.training.outputs.task is Task.REGRESSION:
        return np.asarray(fold.encoder.decode(outputs[:, 0]), dtype=np.float64)[:, None]
    return class_probabilities(outputs)


def _compared_rows(data: LoadedData) -> list[tuple[Dataset, Array]]:
    first = data.split.folds[0]
    parts = [(data.dataset, rows) for rows in (first.train, first.validation, data.split.test)]
    if data.validation_dataset is not None:
        parts.append((data.validation_dataset, np.arange(data.validation_dataset.rows)))
    synthetic = synthetic_rows(data.dataset, first.train, data.features)
    compared = [(dataset, _spaced(rows)) for dataset, rows in parts if len(rows)]
    return [*compared, (synthetic, np.arange(synthetic.rows))]


def _spaced(rows: Array) -> Array:
    places = np.linspace(0, len(rows) - 1, min(len(rows), ROWS_PER_PART)).astype(np.int64)
    return rows[places]
