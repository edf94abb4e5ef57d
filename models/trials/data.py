"""The rows of a trial: read, divided and preprocessed once for all trials of a job."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from models.data.dataset import Dataset
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
from models.store.artifacts import Artifacts
from models.trials.spec import DataRef
from models.trials.trainers.base import Array, TrainingData


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


@lru_cache(maxsize=2)
def prepare(ref: DataRef) -> PreparedData:
    """Return every fold, ready for a network. The last two refs stay in memory for later trials."""
    data = load(ref)
    folds = tuple(prepare_fold(data, ref, fold.train, fold.validation) for fold in data.split.folds)
    reference = None if ref.evaluation.method == "train" else _reference_loss(folds[0])
    return PreparedData(folds, reference)


def prepare_fold(
    data: LoadedData, ref: DataRef, train: Rows, validation: Rows | None = None
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
        dataset, train, data.features, y_train, ref.seed
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
