"""Forward and backward passes of a multilayer perceptron, in memory allocated once.

Arrays are feature-major, (units, rows): the three products of a layer then run at the full speed
of BLAS, and the bias is one more row of the weights, which a row of ones in the signal multiplies.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from models.space.hyperparameters import TrialValues, value
from models.trials.trainers.base import Floats
from models.trials.trainers.numpy.activations import ACTIVATIONS
from models.trials.trainers.numpy.inputs import StagePass
from models.trials.trainers.numpy.layout import LayerArrays, LayerPlan, Moving, Weights, views
from models.trials.trainers.numpy.members import AdapterPass, by_member
from models.trials.trainers.numpy.optimizers import create_optimizer
from models.trials.trainers.numpy.regularization import Dropout, Normalization


class Descent:
    """Changes the weights of a network, each layer as soon as its gradient is known.

    If the norm of the whole gradient is limited, all layers change at the end of the step.
    """

    def __init__(self, values: TrialValues, plans: Sequence[LayerPlan], weights: Weights) -> None:
        self._weights = weights
        self._flat = np.empty_like(weights.flat)
        self.gradients = views(self._flat, plans, weights.stage_size)
        self.stage_gradients = weights.stage_views(self._flat)
        # The gradient of l2 times the sum of squares of every kernel, by the kernel.
        self._l2 = np.float32(2 * float(value(values, "l2")))
        self._l1 = np.float32(float(value(values, "l1")))
        self._largest_norm = np.float32(float(value(values, "global_clipnorm")))  # 0: no limit
        self._optimizer = create_optimizer(values, weights.flat.size)

    def start_step(self, rate: float, step: int) -> None:
        """Begin a step, counted from 1, with the learning rate `rate`."""
        self._optimizer.start_step(rate, step)

    def change_layer(
        self,
        number: int,
        inputs: Floats,
        slope: Floats,
        before: Floats | None,
        learn_before: Callable[[], None] | None = None,
    ) -> None:
        """Take the step of one layer, or prepare that of all.

        `inputs` is (inputs, rows), and `slope`, (units, rows), the gradient of the loss by the
        layer's products. The gradient by the layer's inputs, (inputs, rows), is written to
        `before` unless that is None; it follows from the weights before the step. `learn_before`
        then writes the gradient of the layer's adapters.
        """
        layer, gradient = self._weights.layers[number], self.gradients[number]
        if layer.kernel.ndim == 3:
            members = len(layer.kernel)
            inputs, slope = by_member(inputs, members), by_member(slope, members)
            before = None if before is None else by_member(before, members)
        np.matmul(inputs, slope.swapaxes(-1, -2), out=gradient.affine)
        if before is not None:
            np.matmul(layer.kernel, slope, out=before)
        if learn_before is not None:
            learn_before()
        if self._l2:
            np.add(gradient.kernel, layer.kernel * self._l2, out=gradient.kernel)
        if self._l1:
            np.add(gradient.kernel, np.sign(layer.kernel) * self._l1, out=gradient.kernel)
        if not self._largest_norm:
            self._optimizer.update(self._weights.flat, self._flat, layer.place)

    def change_stage(self) -> None:
        """Take the step of the trained encodings, whose gradients are known, or prepare it."""
        if not self._largest_norm:
            place = slice(self._weights.stage_size)
            self._optimizer.update(self._weights.flat, self._flat, place)

    def end_step(self) -> None:
        """Take the step of all layers with a limited gradient (Pascanu et al., ICML 2013)."""
        if not self._largest_norm:
            return
        norm = np.sqrt(np.dot(self._flat, self._flat))
        if not norm <= self._largest_norm:
            np.multiply(self._flat, self._largest_norm / norm, out=self._flat)
        self._optimizer.update(self._weights.flat, self._flat, slice(None))


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
        self.slope = np.empty(shape, np.float32)  # the gradient by `signal` without its ones
        self._affine = weights.affine.T
        self._before = np.empty(shape, np.float32)
        self._spare = np.empty(shape, np.float32)
        self._activation = ACTIVATIONS[plan.activation]
        self._normalization = None
        if weights.scaling is not None and moving is not None:
            learned = None if gradient is None else gradient.scaling
            self._normalization = Normalization(weights.scaling, moving, learned, rows)
        self._dropout = Dropout(plan.dropout, shape) if plan.dropout and gradient else None
        self._hidden = self.signal[:-1]
        # The activation's slope follows from its output before dropout.
        self._after = self._hidden if self._dropout is None else np.empty(shape, np.float32)

    def infer(self, inputs: Floats) -> None:
        """Read (inputs, rows) and write `signal`, (units + 1, rows), as a trained network does."""
        np.matmul(self._affine, inputs, out=self._before)
        if self._normalization is not None:
            self._normalization.infer(self._before)
        self._activation.forward(self._before, self._hidden)

    def learn(self, inputs: Floats, noise: np.random.SFC64) -> None:
        """Do the same in training: moments of the batch, and dropout drawn from `noise`."""
        np.matmul(self._affine, inputs, out=self._before)
        if self._normalization is not None:
            self._normalization.learn(self._before)
        self._activation.forward(self._before, self._after)
        if self._dropout is not None:
            self._dropout.learn(self._after, self._hidden, noise)

    def back(self) -> Floats:
        """Turn `slope` into the gradient by the product of inputs and weights; return it."""
        if self._dropout is not None:
            self._dropout.back(self.slope)
        if self._activation.backward is not None:
            self._activation.backward(self._before, self._after, self.slope, self._spare)
        if self._normalization is not None:
            self._normalization.back(self.slope, self._spare)
        return self.slope


class NetworkPass:
    """A network for a fixed number of rows; with a descent it can learn."""

    def __init__(
        self,
        plans: Sequence[LayerPlan],
        weights: Weights,
        rows: int,
        descent: Descent | None = None,
    ) -> None:
        self._descent = descent
        self._stage: StagePass | None = None
        if weights.stage is not None:
            learned = None if descent is None else descent.stage_gradients
            self._stage = StagePass(weights.stage, weights.stage_arrays, learned, rows)
        gradients = [None] * len(plans) if descent is None else descent.gradients
        self._members = plans[-1].members
        self._adapter = None
        if (adapters := weights.layers[0].adapters) is not None:
            first = gradients[0]
            by_adapters = None if first is None else first.adapters
            self._adapter = AdapterPass(adapters, by_adapters, rows)
        rows *= self._members
        self._hidden = [
            HiddenPass(plan, layer, moving, gradient, rows)
            for plan, layer, moving, gradient in zip(
                plans[:-1], weights.layers, weights.moving, gradients, strict=False
            )
        ]
        # The inputs of each layer but the first: without the ones, if it has no bias.
        self._inputs = [
            layer.signal[: plan.rows] for layer, plan in zip(self._hidden, plans[1:], strict=True)
        ]
        self._first_inputs = plans[0].rows
        self._encoded: Floats = np.empty((0, 0), np.float32)  # the inputs of the adapters
        self._first = self._encoded  # the inputs of the first layer
        self._affine = weights.layers[-1].affine.swapaxes(-1, -2)
        self._scores = np.empty((plans[-1].units, rows), np.float32)

    def infer(self, signal: Floats) -> Floats:
        """Return scores (units, rows), valid until the next pass, for (features + 1, rows).

        The last row of `signal` is ones. With several members the scores are (units, members *
        rows), all rows of the first member first.
        """
        inputs = self._enter(signal)
        for layer, following in zip(self._hidden, self._inputs, strict=True):
            layer.infer(inputs)
            inputs = following
        return self._leave(inputs)

    def learn(self, signal: Floats, noise: np.random.SFC64) -> Floats:
        """Do the same in training."""
        inputs = self._enter(signal)
        for layer, following in zip(self._hidden, self._inputs, strict=True):
            layer.learn(inputs, noise)
            inputs = following
        return self._leave(inputs)

    def descend(self, signal: Floats, slope: Floats, rate: float, step: int) -> None:
        """Take a step, counted from 1, after `learn(signal)`.

        `slope` is the gradient of the loss by the scores, `rate` the learning rate.
        """
        assert self._descent is not None
        self._descent.start_step(rate, step)
        for number in range(len(self._hidden), 0, -1):
            hidden = self._hidden[number - 1]
            self._descent.change_layer(number, self._inputs[number - 1], slope, hidden.slope)
            slope = hidden.back()
        before = None if self._stage is None else self._stage.slope
        if self._adapter is None:
            self._descent.change_layer(0, self._first, slope, before)
        else:
            learn = partial(self._adapter.learn, self._encoded, before)
            self._descent.change_layer(0, self._first, slope, self._adapter.slope, learn)
        if self._stage is not None:
            self._stage.learn(signal)
            self._descent.change_stage()
        self._descent.end_step()

    def _enter(self, signal: Floats) -> Floats:
        """Return the inputs of the first layer, and keep them for `descend`."""
        self._encoded = signal if self._stage is None else self._stage.encode(signal)
        adapted = self._encoded
        if self._adapter is not None:
            adapted = self._adapter.adapt(adapted)
        self._first = adapted[: self._first_inputs]
        return self._first

    def _leave(self, inputs: Floats) -> Floats:
        """Return the scores for the inputs of the output layer."""
        scores = self._scores
        if self._members > 1:
            inputs, scores = by_member(inputs, self._members), by_member(scores, self._members)
        np.matmul(self._affine, inputs, out=scores)
        return self._scores
