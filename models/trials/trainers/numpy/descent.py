"""How the steps of a training change its weights: each layer as soon as its gradient is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.networks.values import value
from models.space.hyperparameters import TrialValues
from models.trials.trainers.numpy.few_rows import FEW_ROWS, compile_descent, suits
from models.trials.trainers.numpy.layout import LayerArrays, LayerPlan, flat_size, views
from models.trials.trainers.numpy.loops import compile_update
from models.trials.trainers.numpy.types import Floats
from models.trials.trainers.numpy.updates import Update, create_update


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """What a step reads and writes of one layer."""

    gradient: LayerArrays
    states: tuple[LayerArrays, ...]  # of the optimizer
    moved: np.ndarray[tuple[int], np.dtype[np.bool_]]  # (inputs,): see `few_rows`
    spare: Floats  # memory for `few_rows`
    follows_relu: bool
    by_input: bool  # whether each input's weights are updated on their own


class Descent:
    """Changes the layers of a network from the last to the first, step after step."""

    def __init__(self, values: TrialValues, plans: Sequence[LayerPlan], batch: int) -> None:
        """`batch` is the number of rows of a step; the last of an epoch may have fewer."""
        self._update: Update = create_update(values)
        # The gradient of l2 times the sum of squares of every kernel, by the kernel.
        self._l2 = np.float32(2 * float(value(values, "l2")))
        formula = type(self._update).formula
        self._change = compile_update(formula, self._update.states)
        self._descend = compile_descent(formula, self._update.states)
        flat = np.empty(flat_size(plans), np.float32)
        self.gradients = views(flat, plans)
        start = self._update.state_start
        states = [views(np.full_like(flat, start), plans) for _ in range(self._update.states)]
        moves_all = bool(self._l2) or self._update.has_decay
        self._layers = [
            _Layer(
                self.gradients[number],
                tuple(state[number] for state in states),
                np.full(plan.rows, moves_all),
                np.empty((FEW_ROWS, plan.units), np.float32),
                number > 0 and plans[number - 1].activation == "relu",
                suits(plan.units, batch) and not plan.normalized,
            )
            for number, plan in enumerate(plans)
        ]
        self._numbers: tuple[np.float32, ...] = ()

    def start(self, rate: float, step: int) -> None:
        """Begin the step of this number, counted from 1, with the learning rate `rate`."""
        self._numbers = self._update.numbers(rate, step)

    def layer(
        self,
        number: int,
        source: LayerArrays,
        target: LayerArrays,
        inputs: Floats,
        slope: Floats,
        before: Floats,
    ) -> None:
        """Write what a layer's weights, `source`, are after the step to `target`.

        The two are the same for a step in place. Where they are not, `target` has been one of them
        before. The step follows from the inputs, (inputs, rows), and `slope`, the gradient by the
        layer's products, (units, rows). The gradient by its inputs, as it is before the step, is
        written to `before`, (inputs, rows), unless that has no rows.
        """
        layer, in_place = self._layers[number], source is target
        if layer.by_input:
            self._descend(
                source.affine,
                in_place,
                target.affine,
                inputs,
                slope,
                before,
                layer.follows_relu,
                layer.moved,
                layer.spare,
                self._l2,
                *(state.affine for state in layer.states),
                *self._numbers,
            )
            return
        gradient = layer.gradient
        np.matmul(inputs, slope.T, out=gradient.affine)
        if len(before):
            np.matmul(source.kernel, slope, out=before)
        if self._l2:
            np.add(gradient.kernel, source.kernel * self._l2, out=gradient.kernel)
        if not in_place:
            np.copyto(target.flat, source.flat)
        states = (state.flat for state in layer.states)
        self._change(target.flat, gradient.flat, *states, *self._numbers)
        layer.moved.fill(True)
