"""The weights of training rows, from what a request says of classes and rows."""

from collections.abc import Sequence

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from models.data.preparation.tasks import ClassLabel
from models.data.preparation.weighting import ClassWeight, label_name
from models.trials.trainers.base import Array


def class_factors(
    wanted: ClassWeight | None, classes: Sequence[ClassLabel], y: Array
) -> dict[str, float] | None:
    """The factor of each class, by `label_name` and in the order of `classes`; None without any.

    `y` holds the class numbers of the training rows, shape (rows,). "balanced" is scikit-learn's
    rows / (classes * rows of the class); a class that is not named has 1.
    """
    if wanted is None:
        return None
    names = [label_name(label) for label in classes]
    if wanted == "balanced":
        balanced = compute_class_weight("balanced", classes=np.arange(len(names)), y=y)
        return dict(zip(names, balanced.tolist(), strict=True))
    given = dict(wanted)
    return {name: given.get(name, 1.0) for name in names}


def row_weights(factors: dict[str, float] | None, y: Array, own: Array | None) -> Array | None:
    """float32 (rows,): the factor of a row's class times its own weight; None without either."""
    if factors is None:
        return None if own is None else own.astype(np.float32)
    by_class = np.array(list(factors.values()))[y]
    return (by_class if own is None else by_class * own).astype(np.float32)
