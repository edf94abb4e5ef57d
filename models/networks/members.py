"""TabM-mini: one network of several members, whose prediction is the mean of theirs.

Gorishniy, Kotelnikov and Babenko, TabM: Advancing Tabular Deep Learning with Parameter-Efficient
Ensembling, ICLR 2025. Each member multiplies the inputs by numbers of its own, which begin as
random signs, and has an output layer of its own. The hidden layers are shared. Members are trained
by the mean of their losses on the same batch.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from models.data.preparation.tasks import Task
from models.networks.outputs import Outputs

# The equations of stock Keras layers: n rows, m members, f features, u units.
ADAPTERS = "nf,mf->nmf"
HEADS = "nmf,mfu->nmu"
SCALES = "nf,f->nf"  # of the layer that stands in for adapters where there is one member

Figures = Callable[[Any, Any], Any]  # (truth, predictions) -> one figure a row

_COMPANIONS: dict[Task, Figures] = {
    Task.REGRESSION: keras.losses.mean_absolute_error,
    Task.BINARY: keras.metrics.binary_accuracy,
    Task.MULTICLASS: keras.metrics.sparse_categorical_accuracy,
}
_SIGN_STREAM = 2  # separates the random signs from other numbers of a seed


def random_signs(members: int, features: int, seed: int) -> Any:
    """Return the initial adapters, float32 (members, features) of -1 and 1."""
    chosen = np.random.default_rng([seed, _SIGN_STREAM]).integers(2, size=(members, features))
    return (2 * chosen - 1).astype(np.float32)


def adapt(signal: keras.KerasTensor, members: int, seed: int) -> keras.KerasTensor:
    """Multiply the inputs for each member: (rows, features) -> (rows, members, features)."""
    features = signal.shape[-1]
    layer = keras.layers.EinsumDense(
        ADAPTERS, (members, features), kernel_initializer="ones", name="members"
    )
    adapted = layer(signal)
    layer.set_weights([random_signs(members, features, seed)])
    return adapted


def scale(signal: keras.KerasTensor) -> keras.KerasTensor:
    """Multiply each input by a trained number that begins as 1: (rows, features)."""
    layer = keras.layers.EinsumDense(
        SCALES, signal.shape[-1], kernel_initializer="ones", name="scales"
    )
    return layer(signal)


def predict_apart(
    signal: keras.KerasTensor,
    outputs: Outputs,
    initializers: list[keras.initializers.Initializer],
    regularizer: Any,
) -> keras.KerasTensor:
    """Give each member an output layer: (rows, members, features) -> (rows, members, units).

    The initializers are those of the kernels, one a member.
    """
    members, features = signal.shape[1:]
    layer = keras.layers.EinsumDense(
        HEADS,
        (members, outputs.units),
        activation=outputs.activation,
        bias_axes="mu",
        kernel_regularizer=regularizer,
        name="output",
    )
    predicted = layer(signal)
    kernels = [np.asarray(each((features, outputs.units))) for each in initializers]
    layer.set_weights([np.stack(kernels), np.zeros((members, outputs.units), np.float32)])
    return predicted


def mean(signal: keras.KerasTensor) -> keras.KerasTensor:
    """Average the members: (rows, members, units) -> (rows, units)."""
    layer = keras.layers.GlobalAveragePooling1D(data_format="channels_last", name="mean")
    return layer(signal)


class _MembersOrMean(keras.layers.Layer):  # type: ignore[misc]
    """Returns (rows, members, units) as it is in training, and else its mean, (rows, units)."""

    def call(self, signal: Any, training: bool = False) -> Any:
        return signal if training else keras.ops.mean(signal, axis=1)


def to_train(network: keras.Model) -> keras.Model:
    """Return a network with the same weights whose members are seen by the loss in training.

    `network` ends with `mean`. The result is to be trained, not to be saved.
    """
    members = network.layers[-1].input
    return keras.Model(network.input, _MembersOrMean(name="mean")(members), name=network.name)


class MembersLoss(keras.losses.Loss):  # type: ignore[misc]
    """The mean of the members' losses in training; otherwise the loss of their mean."""

    def __init__(self, loss: Any) -> None:
        """`loss` is as `keras.Model.compile` takes it."""
        super().__init__(name="loss")
        self._figures = over_members(loss)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each row."""
        return self._figures(y_true, y_pred)


def over_members(loss: Any) -> Figures:
    """Return the figures of a loss, or of a function like it, for members or for their mean."""
    figures = loss.call if isinstance(loss, keras.losses.Loss) else keras.losses.get(loss)

    def averaged(truth: Any, predictions: Any) -> Any:
        if len(predictions.shape) == 3:
            truth = keras.ops.repeat(keras.ops.expand_dims(truth, 1), predictions.shape[1], axis=1)
        found = figures(truth, predictions)
        axes = tuple(range(1, len(found.shape)))
        return keras.ops.mean(found, axis=axes) if axes else found

    return averaged


def companion(outputs: Outputs) -> keras.metrics.Metric:
    """Return the metric beside the loss in the history of epochs, over the members."""
    figures = over_members(_COMPANIONS[outputs.task])
    return keras.metrics.MeanMetricWrapper(figures, name=outputs.companion)
