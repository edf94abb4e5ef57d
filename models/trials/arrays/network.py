"""Forward and backward passes of a multilayer perceptron, in memory taken once.

Arrays are feature-major, (units, rows): the three products of a layer then run at the full speed
of BLAS, and the bias is one more row of the weights, met by a row of ones in the signal.
"""

from collections.abc import Sequence

import numpy as np

from models.trials.arrays.activations import ACTIVATIONS
from models.trials.arrays.dropout import Dropout
from models.trials.arrays.layout import LayerArrays, LayerPlan, Moving, Weights, views
from models.trials.arrays.normalization import Normalization
from models.trials.arrays.types import Floats


class HiddenPass:
    """One hidden layer for a fixed number of rows."""

    def __init__(
        self,
        plan: LayerPlan,
        weights: LayerArrays,
        moving: Moving | None,
        gradient: LayerArrays | None,
        rows: int,
    ) -> None:
        shape = (plan.units, rows)
        self.signal = np.ones((plan.units + 1, rows), np.float32)
        self.slope = np.empty(shape, np.float32)  # the gradient by what follows
        self._transposed = weights.affine.T
        self._before = np.empty(shape, np.float32)
        self._spare = np.empty(shape, np.float32)
        self._activation = ACTIVATIONS[plan.activation]
        self._inputs = plan.rows
        self._normalization = None
        if weights.scaling is not None and moving is not None:
            learned = None if gradient is None else gradient.scaling
            self._normalization = Normalization(weights.scaling, moving, learned, rows)
        self._dropout = Dropout(plan.dropout, shape) if plan.dropout and gradient else None
        self._hidden = self.signal[:-1]
        # The activation's slope follows from its output as it was before dropout.
        self._after = self._hidden if self._dropout is None else np.empty(shape, np.float32)

    def infer(self, inputs: Floats) -> Floats:
        """(inputs + 1, rows) -> (units + 1, rows), as a trained network does it."""
        np.matmul(self._transposed, inputs[: self._inputs], out=self._before)
        if self._normalization is not None:
            self._normalization.infer(self._before)
        self._activation.forward(self._before, self._hidden)
        return self.signal

    def learn(self, inputs: Floats, noise: np.random.SFC64) -> Floats:
        """The same in training: moments of the batch, and dropout drawn from `noise`."""
        np.matmul(self._transposed, inputs[: self._inputs], out=self._before)
        if self._normalization is not None:
            self._normalization.learn(self._before)
        self._activation.forward(self._before, self._after)
        if self._dropout is not None:
            self._dropout.learn(self._after, self._hidden, noise)
        return self.signal

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
    """A network for a fixed number of rows; it can learn if it is given memory for gradients."""

    def __init__(
        self,
        plans: Sequence[LayerPlan],
        weights: Weights,
        rows: int,
        gradient: Floats | None = None,
    ) -> None:
        self._kernels = [layer.kernel for layer in weights.layers]
        self._gradients = [] if gradient is None else views(gradient, plans)
        self._hidden = [
            HiddenPass(
                plan, layer, moving, self._gradients[number] if self._gradients else None, rows
            )
            for number, (plan, layer, moving) in enumerate(
                zip(plans[:-1], weights.layers, weights.moving, strict=False)
            )
        ]
        self._scores = np.empty((plans[-1].units, rows), np.float32)
        self._output = weights.layers[-1].affine.T
        self._rows = [plan.rows for plan in plans]

    def infer(self, signal: Floats) -> Floats:
        """(features + 1, rows), the last row ones -> scores (units, rows), valid until the next."""
        for layer in self._hidden:
            signal = layer.infer(signal)
        np.matmul(self._output, signal, out=self._scores)
        return self._scores

    def learn(self, signal: Floats, noise: np.random.SFC64) -> Floats:
        """The same in training."""
        for layer in self._hidden:
            signal = layer.learn(signal, noise)
        np.matmul(self._output, signal, out=self._scores)
        return self._scores

    def back(self, signal: Floats, slope: Floats) -> None:
        """Write the gradients of every layer, after `learn(signal)`.

        `slope` is the gradient of the loss by the scores.
        """
        for number in range(len(self._hidden), 0, -1):
            before = self._hidden[number - 1]
            inputs = before.signal[: self._rows[number]]
            np.matmul(inputs, slope.T, out=self._gradients[number].affine)
            np.matmul(self._kernels[number], slope, out=before.slope)
            slope = before.back()
        np.matmul(signal[: self._rows[0]], slope.T, out=self._gradients[0].affine)
