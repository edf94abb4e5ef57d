"""Fitted preprocessing of single columns, from raw cells to network inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data import datetimes
from models.data.columns import ColumnType
from models.data.spelling import MISSING_TEXTS

Array = np.ndarray[Any, Any]

_RESERVED_INPUTS = ("features", "prediction", "probabilities")
_RESERVED_PREFIXES = ("column/", "preprocessing/", "network/")


def input_name(column: str) -> str:
    """Return the name of the ONNX input of a column: its own, unless the graph uses that name.

    Different columns have different inputs.
    """
    if column in _RESERVED_INPUTS or column.startswith(_RESERVED_PREFIXES):
        return f"column/{column}"
    return column


@dataclass(frozen=True, slots=True)
class ScaledFeature:
    """A number, boolean or datetime: missing cells are filled, then all are scaled.

    A datetime has the five components of `datetimes.PARTS`, the others have one.
    """

    name: str
    type: ColumnType
    fill: tuple[float, ...]  # the median, per component
    mean: tuple[float, ...]  # or median, as `numbers.statistics` says
    scale: tuple[float, ...]  # the standard deviation or interquartile range, 1 for a constant
    has_missing: bool = False  # in the training rows

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per component."""
        if self.type is ColumnType.DATETIME:
            return tuple(f"{self.name}.{part}" for part in datetimes.PARTS)
        return (self.name,)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ScaledFeature":
        """Read a feature of `preprocessing.json`."""
        fill, mean, scale = (tuple(document[key]) for key in ("fill", "mean", "scale"))
        # Documents of older versions have no `has_missing`.
        has_missing = document.get("has_missing", False)
        return cls(document["name"], ColumnType(document["type"]), fill, mean, scale, has_missing)


def components(column_type: ColumnType, values: Array) -> Array:
    """Convert the values of a scaled feature, (rows,), to (rows, 1 or 5) float64 with NaN."""
    if column_type is ColumnType.DATETIME:
        return datetimes.expand(values)
    return values.reshape(-1, 1)


@dataclass(frozen=True, slots=True)
class CategoryFeature:
    """A one-hot category: a place for each frequent value, for the rare ones, and for missing."""

    name: str
    categories: tuple[str, ...]  # frequent values, sorted
    has_rare: bool  # a place for rare and unseen values; without it unseen is all zeros
    has_missing: bool  # a place for missing cells; without it missing counts as unseen

    @property
    def width(self) -> int:
        """Number of places."""
        return len(self.categories) + self.has_rare + self.has_missing

    @property
    def unseen_code(self) -> int:
        """The place of a rare or unseen value; `width`, which is none, if it has no place."""
        return len(self.categories) if self.has_rare else self.width

    @property
    def codes(self) -> dict[str, int]:
        """The place of every frequent text and of every spelling of a missing value."""
        missing = self.width - 1 if self.has_missing else self.unseen_code
        codes = dict.fromkeys(MISSING_TEXTS, missing)
        codes.update({text: code for code, text in enumerate(self.categories)})
        return codes

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per place."""
        names = [f"{self.name}={category}" for category in self.categories]
        names += [f"{self.name}=<rare>"] * self.has_rare
        names += [f"{self.name}=<missing>"] * self.has_missing
        return tuple(names)

    def transform(self, values: Array) -> Array:
        """Convert (rows,) str or None to (rows, width) float32 of 0 and 1."""
        codes = self.codes
        unseen = self.unseen_code
        places = np.fromiter(
            (codes.get(value or "", unseen) for value in values), np.int64, len(values)
        )
        one_hot: Array = places[:, np.newaxis] == np.arange(self.width)
        return one_hot.astype(np.float32)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "CategoryFeature":
        """Read a feature of `preprocessing.json`."""
        return cls(**{**document, "categories": tuple(document["categories"])})


@dataclass(frozen=True, slots=True)
class ImageFeature:
    """An image, standardised by one mean and one deviation over all pixels."""

    name: str
    shape: tuple[int, ...]  # (height, width) or (height, width, channels), as in the dataset
    mean: float
    scale: float  # 1 for a constant

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        height, width = self.shape[:2]
        return (height, width, self.shape[2] if len(self.shape) == 3 else 1)

    def transform(self, values: Array) -> Array:
        """Convert (rows, *shape) to (rows, height, width, channels) float32."""
        pixels = values.astype(np.float32)
        pixels -= np.float32(self.mean)
        pixels /= np.float32(self.scale)
        return pixels.reshape(len(values), *self.output_shape)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ImageFeature":
        """Read a feature of `preprocessing.json`."""
        return cls(**{**document, "shape": tuple(document["shape"])})
