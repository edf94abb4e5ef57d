"""Answers of a merged ONNX graph for rows of a dataset."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.datetimes import expand
from models.data.preparation.features import input_name
from models.networks.size import rows_at_once

Array = np.ndarray[Any, Any]


class OnnxAnswers:
    """Runs one graph file that `onnx_merge.merge` made."""

    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, dataset: Dataset, rows: Array, features: Sequence[str]) -> Array:
        """Predictions (rows, 1) in the target's own units, or probabilities (rows, classes)."""
        at_once = min(rows_at_once(dataset.column(name).shape) for name in features)
        pieces = [
            self._session.run(None, raw_inputs(dataset, piece, features))[0]
            for piece in np.split(rows, range(at_once, len(rows), at_once))
        ]
        return np.concatenate(pieces)


def raw_inputs(dataset: Dataset, rows: Array, features: Sequence[str]) -> dict[str, Array]:
    """The inputs of `onnx_graph.preprocessing_graph`, by their names, for rows of a dataset."""
    return {
        input_name(name): _raw(dataset.column(name).type, dataset.values[name][rows])
        for name in features
    }


def _raw(kind: ColumnType, values: Array) -> Array:
    match kind:
        case ColumnType.CATEGORY:
            texts = np.empty((len(values), 1), dtype=object)
            texts[:, 0] = ["" if value is None else value for value in values]
            return texts
        case ColumnType.DATETIME:
            return expand(values)
        case ColumnType.IMAGE:
            return values.astype(np.float32)
    return values[:, None]
