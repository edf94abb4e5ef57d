"""Forward and backward passes of a multilayer perceptron, in memory taken once.

Arrays are feature-major, (units, rows): the three products of a layer then run at the full speed
of BLAS, and the bias is one more row of the weights, met by a row of ones in the signal.
"""

from collections.abc import Callable, Sequence

import numpy as np

from models.trials.trainers.numpy.activations import ACTIVATIONS
from models.trials.trainers.numpy.descent import Descent
from models.trials.trainers.numpy.dropout import Dropout
from models.trials.trainers.numpy.few_rows import FEW_ROWS, multiply, suits
from models.trials.trainers.numpy.layout import LayerArrays, LayerPlan, Moving, Weights
from models.trials.trainers.numpy.normalization import Normalization
from models.trials.trainers.numpy.types import Floats


def by_feature(rows: Floats) -> Floats:
    """(rows, features) -> (features, rows), as a pass reads it."""
    # BLAS reads either order in memory, `few_rows` is compiled for one.
    return rows.T if len(rows) > FEW_ROWS else rows.T.copy()


class HiddenPass:
    """One hidden layer for a fixed number of rows."""

    def __init__(
        self,
        plan: LayerPlan,
        weights: LayerArrays,
        moving: Moving | None,
        gradient: LayerArrays | None,
        rows: int,
        batch: int,
    ) -> None:
        shape = (plan.units, rows)
        self.signal = np.ones((plan.units + 1, rows), np.float32)
        self.slope = np.empty(shape, np.float32)  # the gradient by what follows
        self._multiply = _multiplication(weights.affine, max(rows, batch))
        self._before = np.empty(shape, np.float32)
        self._spare = np.empty(shape, np.float32)
        self._activation = ACTIVATIONS[plan.activation]
        self._normalization = None
        if weights.scaling is not None and moving is not None:
            learned = None if gradient is None else gradient.scaling
            self._normalization = Normalization(weights.scaling, moving, learned, rows)
        self._dropout = Dropout(plan.dropout, shape) if plan.dropout and gradient else None
        self._hidden = self.signal[:-1]
        # The activation's slope follows from its output as it was before dropout.
        self._after = self._hidden if self._dropout is None else np.empty(shape, np.float32)

    def infer(self, inputs: Floats) -> None:
        """Read (inputs, rows) and write `signal`, (units + 1, rows), as a trained network does."""
        self._multiply(inputs, self._before)
        if self._normalization is not None:
            self._normalization.infer(self._before)
        self._activation.forward(self._before, self._hidden)

    def learn(self, inputs: Floats, noise: np.random.SFC64) -> None:
        """The same in training: moments of the batch, and dropout drawn from `noise`."""
        self._multiply(inputs, self._before)
        if self._normalization is not None:
            self._normalization.learn(self._before)
        self._activation.forward(self._before, self._after)
        if self._dropout is not None:
            self._dropout.learn(self._after, self._hidden, noise)

    def back(self) -> Floats:
        """Turn `slope` into the gradient by the product of inputs and weights, and answer it."""
        if self._dropout is not None:
            self._dropout.back(self.slope)
        if self._activation.backward is not None:
            self._activation.backward(self._before, self._after, self.slope, self._spare)
        if self._normalization is not None:
            self._normalization.back(self.slope, self._spare)
        return self.slope


class NetworkPass:
    """A network for a fixed number of rows; it can learn if it is given a descent."""

    def __init__(
        self,
        plans: Sequence[LayerPlan],
        weights: Weights,
        rows: int,
        batch: int,
        descent: Descent | None = None,
    ) -> None:
        """`batch` is the number of rows of a step, of which the last may have fewer."""
        self._descent, self._layers = descent, weights.layers
        gradients = [None] * len(plans) if descent is None else descent.gradients
        self._hidden = [
            HiddenPass(plan, layer, moving, gradient, rows, batch)
            for plan, layer, moving, gradient in zip(
                plans[:-1], weights.layers, weights.moving, gradients, strict=False
            )
        ]
        # What each layer but the first reads: without the ones, if it has no bias.
        self._inputs = [
            layer.signal[: plan.rows] for layer, plan in zip(self._hidden, plans[1:], strict=True)
        ]
        self._first_inputs = plans[0].rows
        self._scores = np.empty((plans[-1].units, rows), np.float32)
        self._multiply = _multiplication(weights.layers[-1].affine, max(rows, batch))
        self._no_slope = np.empty((0, rows), np.float32)

    def infer(self, signal: Floats) -> Floats:
        """(features + 1, rows), the last row ones -> scores (units, rows), valid until the next."""
        inputs = signal[: self._first_inputs]
        for layer, following in zip(self._hidden, self._inputs, strict=True):
            layer.infer(inputs)
            inputs = following
        self._multiply(inputs, self._scores)
        return self._scores

    def learn(self, signal: Floats, noise: np.random.SFC64) -> Floats:
        """The same in training."""
        inputs = signal[: self._first_inputs]
        for layer, following in zip(self._hidden, self._inputs, strict=True):
            layer.learn(inputs, noise)
            inputs = following
        self._multiply(inputs, self._scores)
        return self._scores

    def descend(
        self, signal: Floats, slope: Floats, rate: float, step: int, target: Weights
    ) -> None:
        """Write to `target` the weights after a step, counted from 1, after `learn(signal)`.

        `slope` is the gradient of the loss by the scores, `rate` the learning rate. `target` may be
        these weights, or others that this descent has changed or that were equal at its start.
        """
        assert self._descent is not None
        self._descent.start(rate, step)
        for number in range(len(self._hidden), -1, -1):
            source, following = self._layers[number], target.layers[number]
            if number == 0:
                inputs, before = signal[: self._first_inputs], self._no_slope
            else:
                inputs, before = self._inputs[number - 1], self._hidden[number - 1].slope
            self._descent.layer(number, source, following, inputs, slope, before)
            if number:
                slope = self._hidden[number - 1].back()


def _multiplication(affine: Floats, rows: int) -> Callable[[Floats, Floats], object]:
    """What writes the product of a layer's weights and its inputs the fastest."""
    units = affine.shape[1]
    if suits(units, rows):
        spare = np.empty((FEW_ROWS, units), np.float32)
        return lambda inputs, product: multiply(affine, inputs, product, spare)
    transposed = affine.T
    return lambda inputs, product: np.matmul(transposed, inputs, out=product)
