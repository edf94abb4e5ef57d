"""Rows ready for a network, on their way to the processes of the contestants."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Fold:
    """One training and its validation."""

    x_train: Array  # float32 (rows, features)
    y_train: Array  # float32 (rows,), or int64 (rows,) class numbers
    x_validation: Array
    y_validation: Array
    classes: int  # units of the last layer
    target_scale: float  # own units in one unit of a scaled target


def save(path: Path, folds: list[Fold]) -> None:
    """Write folds to an NPZ file."""
    arrays = {
        f"{number}.{name}": array
        for number, fold in enumerate(folds)
        for name, array in asdict(fold).items()
    }
    np.savez(path, **arrays)


def load(path: str) -> list[Fold]:
    """Read what `save` wrote."""
    with np.load(path) as stored:
        numbers = sorted({int(key.split(".")[0]) for key in stored})
        return [
            _fold({k.split(".")[1]: stored[k] for k in stored if int(k.split(".")[0]) == n})
            for n in numbers
        ]


def _fold(arrays: dict[str, Array]) -> Fold:
    classes, scale = int(arrays.pop("classes")), float(arrays.pop("target_scale"))
    return Fold(**arrays, classes=classes, target_scale=scale)
