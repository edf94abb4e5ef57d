"""Preprocessing fitted on training rows: columns to network inputs, targets to outputs and back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.encoding.choice import STANDARD, CategoryEncoding, Encoding
from models.data.encoding.cross_fitting import target_columns
from models.data.encoding.features import (
    Array,
    CategoryFeature,
    ImageFeature,
    ScaledFeature,
    components,
)
from models.data.encoding.numbers import PLAIN, Curves, statistics
from models.data.encoding.target_encoding import EncodedFeature, fit_encoding
from models.data.encoding.texts import TextFeature, fit_text
from models.data.preparation.tasks import ClassLabel, Task, class_labels
from models.errors import Invalid

MAX_CATEGORIES = 64  # places of one category column, the rare one included
MIN_FREQUENCY = 2  # rows that a value needs for a place of its own
_IMAGES_AT_ONCE = 1024

Rows = Array | slice
_Mapped = CategoryFeature | EncodedFeature | TextFeature


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """The fitted preprocessing of all features: fitted by scikit-learn, applied by NumPy.

    Outputs are in the order of the fields; an image is the only feature.
    """

    scaled: tuple[ScaledFeature, ...] = ()
    categories: tuple[CategoryFeature, ...] = ()
    # Those of `categories` with more values than places, or each category that has no places.
    encoded: tuple[EncodedFeature, ...] = ()
    texts: tuple[TextFeature, ...] = ()
    image: ImageFeature | None = None
    curves: Curves = PLAIN  # of the scaled numbers
    missing_indicators: bool = False  # for those of `scaled` that had missing cells

    @classmethod
    def fit(
        cls,
        dataset: Dataset,
        rows: Rows,
        features: Sequence[str],
        y: Array | None = None,
        seed: int = 0,
        encoding: Encoding = STANDARD,
    ) -> "Preprocessor":
        """Fit to `rows` as `fit_transform` does."""
        return cls.fit_transform(dataset, rows, features, y, seed, encoding)[0]

    @classmethod
    def fit_transform(
        cls,
        dataset: Dataset,
        rows: Rows,
        features: Sequence[str],
        y: Array | None = None,
        seed: int = 0,
        encoding: Encoding = STANDARD,
    ) -> "tuple[Preprocessor, Array]":
        """Fit to `rows` (row numbers) of the columns `features`; return also their outputs.

        `features` is the result of `tasks.resolve_features`: existing columns, none ignored, an
        image only alone. Missing numbers get the median; a category's value in fewer than two
        rows, or beyond the 63 most frequent, is rare.

        `y`, (rows,), is what `TargetEncoder.encode` gives for `rows`. What is fitted to it are the
        numbers of texts and of categories with too many frequent values. In the outputs of `rows`
        these are cross-fitted, by `seed`, so train on them and never on `transform` of the same
        rows. Without `y` such categories have places alone; raises ValueError for a text.
        """
        named = {name: dataset.column(name) for name in features}
        types = {name: column.type for name, column in named.items()}
        parts = {name: dataset.values[name][rows] for name in features}
        images = [name for name in features if types[name] is ColumnType.IMAGE]
        if images:
            image = cls(image=_fit_image(images[0], parts[images[0]]))
            return image, image.transform(dataset, rows)
        by_type = {kind: [n for n in features if types[n] is kind] for kind in ColumnType}
        names, texts = by_type[ColumnType.CATEGORY], by_type[ColumnType.TEXT]
        has_places = encoding.category is CategoryEncoding.ONE_HOT
        if y is None and (texts or (names and not has_places)):
            raise ValueError("Texts and target encodings are fitted to the target; give `y`.")
        categories = [_fit_category(name, parts[name]) for name in names] if has_places else []
        many = [item.name for item, is_cut in categories if is_cut] if has_places else names
        targets = np.empty((0, 0)) if y is None else target_columns(y)
        encoded = [] if y is None else [fit_encoding(n, parts[n], targets, seed) for n in many]
        read = [fit_text(name, parts[name], targets, seed) for name in texts]
        others = {name: types[name] for name in features if not types[name].is_text}
        scaled, curves = _fit_scaled(others, parts, encoding)
        fitted = cls(
            scaled=scaled,
            categories=tuple(item for item, _ in categories),
            encoded=tuple(item for item, _ in encoded),
            texts=tuple(item for item, _ in read),
            curves=curves,
            missing_indicators=encoding.missing_indicators,
        )
        crossed = [outputs for _, outputs in (*encoded, *read)]
        return fitted, fitted._join(dataset, rows, crossed)

    @property
    def features(self) -> "tuple[ScaledFeature | _Mapped, ...]":
        """The fitted features in the order of the outputs; none for an image."""
        return (*self.scaled, *self.categories, *self.encoded, *self.texts)

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw columns used, in the order in which they first add to the outputs."""
        if self.image is not None:
            return (self.image.name,)
        return tuple(dict.fromkeys(feature.name for feature in self.features))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """A name for each output; for an image that of its column."""
        if self.image is not None:
            return (self.image.name,)
        mapped: tuple[_Mapped, ...] = (*self.encoded, *self.texts)
        return (
            *self.number_names,
            *(name for feature in self.categories for name in feature.feature_names),
            *(f"{name} is missing" for name in self.indicators),
            *(name for feature in mapped for name in feature.feature_names),
        )

    @property
    def number_names(self) -> tuple[str, ...]:
        """A name for each of the outputs of `scaled`, which are the first."""
        return self.curves.names([name for item in self.scaled for name in item.feature_names])

    @property
    def indicators(self) -> tuple[str, ...]:
        """The columns that have an output of 1 for a missing cell and 0 for others."""
        if not self.missing_indicators:
            return ()
        return tuple(item.name for item in self.scaled if item.has_missing)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one transformed row: (features,) or (height, width, channels)."""
        if self.image is not None:
            return self.image.output_shape
        return (len(self.feature_names),)

    def transform(self, dataset: Dataset, rows: Rows) -> Array:
        """Convert `rows` to float32: (rows, features) or (rows, height, width, channels)."""
        if self.image is not None:
            return self.image.transform(dataset.values[self.image.name][rows])
        mapped: tuple[_Mapped, ...] = (*self.encoded, *self.texts)
        blocks = [item.transform(dataset.values[item.name][rows]) for item in mapped]
        return self._join(dataset, rows, blocks)

    def _join(self, dataset: Dataset, rows: Rows, blocks: list[Array]) -> Array:
        """Put numbers, places and indicators before the outputs of `encoded` and `texts`."""
        cells = dataset.values
        places = [item.transform(cells[item.name][rows]) for item in self.categories]
        numbers = [self._transform_scaled(dataset, rows)] if self.scaled else []
        missing = [
            np.isnan(cells[name][rows])[:, None].astype(np.float32) for name in self.indicators
        ]
        return np.concatenate([*numbers, *places, *missing, *blocks], axis=1)

    def _transform_scaled(self, dataset: Dataset, rows: Rows) -> Array:
        raw = [components(item.type, dataset.values[item.name][rows]) for item in self.scaled]
        return self.curves.transform(_scaled(np.concatenate(raw, axis=1), *self.scaling()))

    def scaling(self) -> tuple[Array, Array, Array]:
        """Return fill, mean and scale of the components of `scaled`, each (components,) float64."""
        return (
            np.array([value for item in self.scaled for value in item.fill], dtype=np.float64),
            np.array([value for item in self.scaled for value in item.mean], dtype=np.float64),
            np.array([value for item in self.scaled for value in item.scale], dtype=np.float64),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the form for JSON; `from_json` reads back one that transforms identically."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Preprocessor":
        """Read back what `to_json` returned."""
        image = document["image"]
        return cls(
            scaled=tuple(map(ScaledFeature.from_json, document["scaled"])),
            categories=tuple(map(CategoryFeature.from_json, document["categories"])),
            # Documents of older versions have none of the optional ones.
            encoded=tuple(map(EncodedFeature.from_json, document.get("encoded", ()))),
            texts=tuple(map(TextFeature.from_json, document.get("texts", ()))),
            image=None if image is None else ImageFeature.from_json(image),
            curves=Curves.from_json(document["curves"]) if "curves" in document else PLAIN,
            missing_indicators=document.get("missing_indicators", False),
        )


@dataclass(frozen=True, slots=True)
class TargetEncoder:
    """The encoding of targets for the network: standardised numbers, or class numbers."""

    task: Task
    classes: tuple[ClassLabel, ...] = ()  # sorted; empty for a regression
    mean: float = 0.0
    scale: float = 1.0
    words: tuple[str, str] | None = None  # of a boolean: the classes of false and true
    is_clipped: bool = False  # decoded numbers are 0 or more

    @classmethod
    def fit(
        cls,
        dataset: Dataset,
        rows: Rows,
        target: str,
        task: Task,
        allow_negative: bool = False,
    ) -> "TargetEncoder":
        """Fit mean and scale to the training `rows`, or take the classes of the whole column.

        Decoded numbers are clipped at 0 if the whole column holds no negative number, unless
        `allow_negative` is set.
        """
        if task is Task.REGRESSION:
            values = dataset.values[target]
            _, mean, scale = statistics(values[rows].reshape(-1, 1))
            is_clipped = not allow_negative and not np.any(values < 0)
            return cls(task, (), float(mean[0]), float(scale[0]), is_clipped=is_clipped)
        words = dataset.column(target).spelling.words
        return cls(task, class_labels(dataset, target), words=words)

    def encode(self, values: Array) -> Array:
        """Encode values of the dataset, (rows,), to (rows,) float32 or int64 class numbers.

        Raises Invalid at `target` for a value that is not one of the classes.
        """
        if self.task is Task.REGRESSION:
            return ((values - self.mean) / self.scale).astype(np.float32)
        held = self.classes if self.words is None else map(self.words.index, self.classes)
        numbers = {value: number for number, value in enumerate(held)}
        known = np.fromiter((numbers.get(value, -1) for value in values), np.int64, len(values))
        if (known < 0).any():
            value = values[int(np.argmax(known < 0))]
            raise Invalid.at("target", f"{value!r} is not one of the {len(numbers)} classes.")
        return known

    def decode(self, outputs: Array) -> Array:
        """Decode outputs, (rows,) or (rows, 1), to float64 in the target's units, (rows,).

        Class numbers are decoded to an object array of labels.
        """
        flat = np.asarray(outputs).reshape(-1)
        if self.task is Task.REGRESSION:
            numbers = flat.astype(np.float64) * self.scale + self.mean
            return np.where(numbers < 0, 0.0, numbers) if self.is_clipped else numbers
        labels = np.empty(len(self.classes), dtype=object)
        labels[:] = self.classes
        decoded: Array = labels[flat]
        return decoded

    def to_json(self) -> dict[str, Any]:
        """Return the form for JSON; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "TargetEncoder":
        """Read back what `to_json` returned."""
        task, classes = Task(document["task"]), tuple(document["classes"])
        words = document.get("words") and tuple(document["words"])
        return cls(**{**document, "task": task, "classes": classes, "words": words})


def _scaled(numbers: Array, fill: Array, mean: Array, scale: Array) -> Array:
    """Fill and scale (rows, components) float64 with NaN."""
    filled = np.where(np.isnan(numbers), fill, numbers)
    # Subtraction in float64 keeps the differences of large numbers such as timestamps.
    with np.errstate(over="ignore"):
        return (filled - mean) / scale


def _fit_scaled(
    types: Mapping[str, ColumnType], parts: Mapping[str, Array], encoding: Encoding
) -> tuple[tuple[ScaledFeature, ...], Curves]:
    if not types:
        return (), Curves(encoding.numeric)
    blocks = [components(column_type, parts[name]) for name, column_type in types.items()]
    numbers = np.concatenate(blocks, axis=1)
    fills, means, scales = statistics(numbers, encoding.numeric)
    features = []
    start = 0
    for (name, column_type), block in zip(types.items(), blocks, strict=True):
        part = slice(start, start + block.shape[1])
        features.append(
            ScaledFeature(
                name,
                column_type,
                tuple(fills[part].tolist()),
                tuple(means[part].tolist()),
                tuple(scales[part].tolist()),
                bool(np.isnan(block).any()),
            )
        )
        start = part.stop
    scaled = _scaled(numbers, fills, means, scales)
    return tuple(features), Curves.fit(encoding, scaled, np.isnan(numbers))


def _fit_category(name: str, values: Array) -> tuple[CategoryFeature, bool]:
    """Return also whether some values have no place although they are frequent enough."""
    present = np.array([value for value in values if value is not None], dtype=object)
    has_missing = len(present) < len(values)
    if len(present) == 0:
        return CategoryFeature(name, (), False, has_missing), False
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        max_categories=MAX_CATEGORIES,
        min_frequency=MIN_FREQUENCY,
    ).fit(present.reshape(-1, 1))
    rare = encoder.infrequent_categories_[0]
    rare_values = set() if rare is None else set(rare.tolist())
    frequent = [value for value in encoder.categories_[0].tolist() if value not in rare_values]
    feature = CategoryFeature(name, tuple(frequent), bool(rare_values), has_missing)
    if len(frequent) < MAX_CATEGORIES - 1:
        return feature, False
    counts = pd.Series(present).value_counts()
    return feature, int((counts >= MIN_FREQUENCY).sum()) > len(frequent)


def _fit_image(name: str, images: Array) -> ImageFeature:
    scaler = StandardScaler()
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        pixels = images[start : start + _IMAGES_AT_ONCE].astype(np.float64)
        scaler.partial_fit(pixels.reshape(-1, 1))
    return ImageFeature(name, images.shape[1:], float(scaler.mean_[0]), float(scaler.scale_[0]))
