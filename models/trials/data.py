"""The rows of a trial: read, divided and preprocessed once for all trials of a job."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from models.data.dataset import Dataset
from models.data.encoding.choice import STANDARD, CategoryEncoding, Encoding, NumericEncoding
from models.data.encoding.preprocessing import Preprocessor, TargetEncoder
from models.data.library.storage import read_dataset
from models.data.preparation.parts import Rows
from models.data.preparation.splitting import Split, split_dataset
from models.data.preparation.tasks import (
    ClassLabel,
    Task,
    check_other_dataset,
    has_value,
    resolve_features,
)
from models.data.preparation.weighting import ClassWeight, label_name
from models.networks.outputs import Outputs
from models.space.hyperparameters import TrialValues, value
from models.store.artifacts import Artifacts
from models.trials.spec import DataRef
from models.trials.trainers.base import Array, TrainingData

MAX_PREPARED_BYTES = 2**29  # in a process, of rows that are ready for a network
MAX_LOADED_BYTES = 2**27  # of the rows that they are made from
_CELL_BYTES = 64  # of a text, about
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class LoadedData:
    """The stored rows of a DataRef and their division into parts."""

    target: str
    dataset: Dataset
    validation_dataset: Dataset | None
    features: tuple[str, ...]
    split: Split
    test_dataset: Dataset | None = None

    def test_part(self) -> tuple[Dataset, Rows]:
        """Return the rows to test on, and the dataset that holds them."""
        if self.test_dataset is None:
            return self.dataset, self.split.test
        return self.test_dataset, self.rows_of(self.test_dataset)

    def rows_of(self, other: Dataset) -> Rows:
        """Return the rows of a validation or test dataset that have a target."""
        return np.flatnonzero(has_value(other.values[self.target]))


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFold:
    """One fold. Its preprocessor and encoder are fitted on its training rows alone."""

    training: TrainingData
    training_truth: Array  # target as in the dataset, shape (rows,)
    validation_truth: Array
    preprocessor: Preprocessor
    encoder: TargetEncoder
    class_factors: dict[str, float] | None  # weights in its training loss, by label


@dataclass(frozen=True, slots=True, eq=False)
class PreparedData:
    """Every fold of a DataRef."""

    folds: tuple[PreparedFold, ...]
    # Loss, in the target's own units, of always predicting the mean or the class shares of the
    # first fold's training rows; None for method `train`, which validates on the same rows.
    reference_loss: float | None


def load(ref: DataRef) -> LoadedData:
    """Read the stored rows and divide them.

    Raises the errors of `read_dataset` and `divide`.
    """
    return divide(read_dataset(Artifacts(ref.artifacts_root), ref.dataset), ref)


def divide(dataset: Dataset, ref: DataRef) -> LoadedData:
    """Divide `dataset`, and read the datasets to validate and test on, where `ref` names any.

    Raises the errors of `read_dataset`, `resolve_features` and `split_dataset`, and those of
    `check_other_dataset`.
    """
    evaluation = ref.evaluation
    features = resolve_features(
        dataset,
        ref.target,
        ref.features,
        ref.sample_weight,
        group=evaluation.group,
        time=evaluation.time,
    )

    def other(name: str) -> Dataset | None:
        identity = getattr(evaluation, name)
        if identity is None:
            return None
        found = read_dataset(Artifacts(ref.artifacts_root), identity)
        path = f"evaluation.{name}"
        check_other_dataset(dataset, found, ref.target, features, ref.task, path)
        return found

    return LoadedData(
        target=ref.target,
        dataset=dataset,
        validation_dataset=other("validation_dataset"),
        features=features,
        split=split_dataset(dataset, ref.target, ref.task, evaluation, ref.seed),
        test_dataset=other("test_dataset"),
    )


class Kept(Generic[T]):
    """What was used last: as much as fits in `most` bytes, and the `least` last items anyway."""

    def __init__(self, most: int, least: int) -> None:
        self._most, self._least = most, least
        self._items: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return what `make` returned for `key`, now or before."""
        if key in self._items:
            self._items.move_to_end(key)
            return self._items[key][0]
        made = make()
        self._items[key] = made, size(made)
        while len(self._items) > self._least and self._bytes() > self._most:
            self._items.popitem(last=False)
        return made

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()

    def _bytes(self) -> int:
        return sum(held for _, held in self._items.values())


_prepared: Kept[PreparedData] = Kept(MAX_PREPARED_BYTES, least=1)
_loaded: Kept[LoadedData] = Kept(MAX_LOADED_BYTES, least=0)


def prepare(ref: DataRef, encoding: Encoding = STANDARD) -> PreparedData:
    """Return every fold, ready for a network.

    The latest stay in memory for later trials: up to MAX_PREPARED_BYTES, and always the last.
    """
    return _prepared.get((ref, encoding), lambda: _prepare(ref, encoding), _bytes_of_folds)


def forget() -> None:
    """Free what `prepare` keeps in memory."""
    _prepared.clear()
    _loaded.clear()


def encoding_of(values: TrialValues) -> Encoding:
    """Return the encoding that the values of a trial name, without what its network trains."""
    numeric = str(value(values, "numeric_encoding"))
    is_trained = numeric == "periodic"
    is_piecewise = numeric == NumericEncoding.PIECEWISE
    by_target = value(values, "category_encoding") == CategoryEncoding.TARGET
    return Encoding(
        numeric=NumericEncoding.STANDARD if is_trained else NumericEncoding(numeric),
        bins=int(value(values, "bins")) if is_piecewise else 0,
        category=CategoryEncoding.TARGET if by_target else CategoryEncoding.ONE_HOT,
        missing_indicators=bool(value(values, "missing_indicators")),
    )


def _prepare(ref: DataRef, encoding: Encoding) -> PreparedData:
    data = _loaded.get(ref, lambda: load(ref), _bytes_of_cells)
    folds = tuple(
        prepare_fold(data, ref, fold.train, fold.validation, encoding) for fold in data.split.folds
    )
    reference = None if ref.evaluation.method == "train" else _reference_loss(folds[0])
    return PreparedData(folds, reference)


def _bytes_of_folds(data: PreparedData) -> int:
    arrays = [(fold.training.x_train, fold.training.x_validation) for fold in data.folds]
    return sum(train.nbytes + validation.nbytes for train, validation in arrays)


def _bytes_of_cells(data: LoadedData) -> int:
    datasets = (data.dataset, data.validation_dataset, data.test_dataset)
    columns = [cells for held in datasets if held for cells in held.values.values()]
    texts = sum(cells.size for cells in columns if cells.dtype == object)
    return sum(cells.nbytes for cells in columns) + texts * _CELL_BYTES


def prepare_fold(
    data: LoadedData,
    ref: DataRef,
    train: Rows,
    validation: Rows | None = None,
    encoding: Encoding = STANDARD,
) -> PreparedFold:
    """Preprocess the training rows `train` of a dataset, and the rows to validate on.

    The latter are `validation`, or those of the validation dataset if there is one; without either
    they are the training rows. The training rows get the weights that `ref` asks for.
    """
    dataset, target = data.dataset, data.dataset.values[ref.target]
    encoder = TargetEncoder.fit(dataset, train, ref.target, ref.task, ref.allow_negative)
    y_train = encoder.encode(target[train])
    # Not `transform`: in these outputs, what was fitted to the target is cross-fitted.
    preprocessor, x_train = Preprocessor.fit_transform(
        dataset, train, data.features, y_train, ref.seed, encoding
    )
    factors = _class_factors(ref.class_weight, encoder.classes, y_train)
    own = None if ref.sample_weight is None else dataset.values[ref.sample_weight][train]
    weights = _row_weights(factors, y_train, own)
    if data.validation_dataset is not None:
        dataset, validation = data.validation_dataset, data.rows_of(data.validation_dataset)
        target = dataset.values[ref.target]
    if validation is None or not len(validation):
        x_validation, y_validation, validation = x_train, y_train, train
    else:
        x_validation = preprocessor.transform(dataset, validation)
        y_validation = encoder.encode(target[validation])
    return PreparedFold(
        training=TrainingData(
            x_train,
            y_train,
            x_validation,
            y_validation,
            outputs=Outputs.of(ref.task, len(encoder.classes), encoder.mean / encoder.scale),
            target_scale=encoder.scale,
            weights_train=weights,
            weights_validation=_row_weights(factors, y_validation, None),
            positive_class=_positive_class(ref, encoder.classes),
            numbers=len(preprocessor.number_names),
            categories=tuple(feature.width for feature in preprocessor.categories),
        ),
        training_truth=data.dataset.values[ref.target][train],
        validation_truth=target[validation],
        preprocessor=preprocessor,
        encoder=encoder,
        class_factors=factors,
    )


def _positive_class(ref: DataRef, classes: Sequence[ClassLabel]) -> int | None:
    if ref.positive_class is None:
        return None
    return [label_name(label) for label in classes].index(ref.positive_class)


def _reference_loss(fold: PreparedFold) -> float:
    if fold.training.outputs.task is Task.REGRESSION:
        return float(np.var(fold.training_truth))
    _, counts = np.unique(fold.training.y_train, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _class_factors(
    wanted: ClassWeight | None, classes: Sequence[ClassLabel], y: Array
) -> dict[str, float] | None:
    """Return the factor of each class, by `label_name` and in the order of `classes`.

    `y` holds the class numbers of the training rows, shape (rows,). "balanced" is scikit-learn's
    rows / (classes * rows of the class), in which classes without rows do not count; a class that
    is not named has 1, as has one without rows.
    """
    if wanted is None:
        return None
    names = [label_name(label) for label in classes]
    if wanted == "balanced":
        counts = np.bincount(y, minlength=len(names))
        present = np.count_nonzero(counts)
        factors = np.where(counts, len(y) / (present * np.maximum(counts, 1)), 1.0)
        return dict(zip(names, factors.tolist(), strict=True))
    given = dict(wanted)
    return {name: given.get(name, 1.0) for name in names}


def _row_weights(factors: dict[str, float] | None, y: Array, own: Array | None) -> Array | None:
    """Return float32 (rows,): the factor of a row's class times its own weight, or None."""
    if factors is None:
        return None if own is None else own.astype(np.float32)
    by_class = np.array(list(factors.values()))[y]
    return (by_class if own is None else by_class * own).astype(np.float32)
