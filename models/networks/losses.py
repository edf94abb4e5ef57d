"""The loss that a Keras network is trained by."""

from typing import Any

import keras

from models.data.preparation.tasks import Task
from models.networks.outputs import Outputs
from models.space.hyperparameters import TrialValues, value


def training_loss(values: TrialValues, outputs: Outputs) -> Any:
    """Return the loss that `values` name for the task of `outputs`, as `keras.Model.compile` takes.

    Losses of a regression are those of the scaled target, whose standard deviation is 1.
    """
    if outputs.task is Task.REGRESSION:
        return _regression_loss(values, outputs)
    smoothing = float(value(values, "label_smoothing"))
    if not smoothing:
        return outputs.loss
    if outputs.task is Task.BINARY:
        return keras.losses.BinaryCrossentropy(label_smoothing=smoothing)

    def smoothed(truth: Any, probabilities: Any) -> Any:
        """Return the cross-entropy of class numbers, which Keras smooths for shares alone."""
        shares = keras.ops.one_hot(keras.ops.cast(truth, "int32"), outputs.units)
        shares = keras.ops.reshape(shares, keras.ops.shape(probabilities))
        return keras.losses.categorical_crossentropy(
            shares, probabilities, label_smoothing=smoothing
        )

    return smoothed


def predicts_rate(values: TrialValues, outputs: Outputs) -> bool:
    """Whether the network predicts the rate of a Poisson distribution, which is above 0."""
    return outputs.task is Task.REGRESSION and value(values, "loss") == "poisson"


def _regression_loss(values: TrialValues, outputs: Outputs) -> Any:
    match value(values, "loss"):
        case "mae":
            return keras.losses.MeanAbsoluteError()
        case "huber":
            return keras.losses.Huber(float(value(values, "huber_delta")))
        case "quantile":
            return _quantile_loss(float(value(values, "quantile")))
        case "poisson":
            return _poisson_loss(outputs.mean)
        case _:
            return outputs.loss


def _quantile_loss(quantile: float) -> Any:
    def pinball(truth: Any, predictions: Any) -> Any:
        """Return the loss of Koenker and Bassett, Econometrica 46, 1978."""
        short = truth - predictions
        return keras.ops.mean(keras.ops.maximum(quantile * short, (quantile - 1) * short), axis=-1)

    return pinball


def _poisson_loss(mean: float) -> Any:
    def poisson(truth: Any, predictions: Any) -> Any:
        """Return -log of the likelihood of counts, up to a constant, in means of the target."""
        counts, rates = 1 + truth / mean, 1 + predictions / mean
        logs = keras.ops.log(keras.ops.maximum(rates, keras.config.epsilon()))
        return keras.ops.mean(rates - counts * logs, axis=-1)

    return poisson
