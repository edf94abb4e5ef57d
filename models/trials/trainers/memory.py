"""Give back what a Keras training keeps in memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from tensorflow.python.framework import ops

_CUSTOM_GRADIENT = "CustomGradient-"


@contextmanager
def released() -> Iterator[None]:
    """Free the networks that were built inside, compiled graphs and all, at the end.

    `keras.backend.clear_session` is not enough: TensorFlow registers a gradient for each compiled
    step, under a name of its own, which holds the step's graph (7 MB) for as long as the process
    lives. The cause was found in https://github.com/keras-team/tf-keras/pull/898.
    """
    before = set(ops.gradient_registry.list())
    try:
        yield
    finally:
        for name in set(ops.gradient_registry.list()) - before:
            if name.startswith(_CUSTOM_GRADIENT):
                del ops.gradient_registry._registry[name]
        keras.backend.clear_session()
