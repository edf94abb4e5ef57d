"""Activations and losses for stacked networks, in TensorFlow; Keras's definitions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tensorflow as tf

from models.data.preparation.tasks import Task

# `tf.nn.silu` and its like register a gradient for each program, which is never freed.
ACTIVATIONS: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "linear": tf.identity,
    "relu": tf.nn.relu,
    "leaky_relu": lambda x: tf.nn.leaky_relu(x, 0.2),
    "elu": tf.nn.elu,
    "selu": tf.nn.selu,
    "tanh": tf.tanh,
    "sigmoid": tf.sigmoid,
    "softplus": tf.nn.softplus,
    "silu": lambda x: x * tf.sigmoid(x),
    "gelu": lambda x: x * 0.5 * (1.0 + tf.math.erf(x * 0.5**0.5)),
}
# Where f(0) is not 0, units that are padding must be set to 0.
NOT_ZERO_AT_ZERO = frozenset({"sigmoid", "softplus"})


@dataclass(frozen=True, slots=True)
class Loss:
    """What a task asks of scores (networks, rows, units) and the truth (networks, rows)."""

    losses: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # of every row, (networks, rows)
    companions: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # the metric beside it
    answers: Callable[[tf.Tensor], tf.Tensor]  # what the networks answer, shaped like the scores


def _is_same(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.equal(one, other), tf.float32)


def _cross_entropy(scores: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
    chosen = tf.one_hot(tf.cast(truth, tf.int64), tf.shape(scores)[2])
    return -tf.reduce_sum(chosen * tf.nn.log_softmax(scores), axis=2)


LOSSES: Mapping[Task, Loss] = {
    Task.REGRESSION: Loss(
        losses=lambda scores, truth: tf.square(scores[:, :, 0] - truth),
        companions=lambda scores, truth: tf.abs(scores[:, :, 0] - truth),
        answers=tf.identity,
    ),
    Task.BINARY: Loss(
        losses=lambda scores, truth: tf.nn.sigmoid_cross_entropy_with_logits(
            truth, scores[:, :, 0]
        ),
        companions=lambda scores, truth: _is_same(
            tf.cast(tf.sigmoid(scores[:, :, 0]) > 0.5, tf.float32), truth
        ),
        answers=tf.sigmoid,
    ),
    Task.MULTICLASS: Loss(
        losses=_cross_entropy,
        companions=lambda scores, truth: _is_same(
            tf.cast(tf.argmax(scores, axis=2), tf.float32), truth
        ),
        answers=tf.nn.softmax,
    ),
}
