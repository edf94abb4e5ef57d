"""The trained encodings of a network's inputs in NumPy, with exact gradients.

Arrays are feature-major, (features, rows), as in `models.trials.trainers.numpy.network`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from models.networks.embeddings import initializers
from models.networks.inputs import Coding, Stage
from models.trials.trainers.base import Array

_TURN = np.float32(2 * math.pi)
_ZERO = np.float32(0)


def stage_views(flat: Array, stage: Stage) -> list[Array]:
    """Return the arrays of a stage in the order of Keras, as views of `stage.parameters` numbers.

    They are frequencies (numbers, frequencies), kernel (numbers, 2 frequencies, outputs) and bias
    (numbers, outputs) of a periodic part, then the kernel (places, outputs) of each embedding.
    """
    shapes: list[tuple[int, ...]] = []
    if stage.periodic is not None:
        count, waves, size = stage.numbers, stage.periodic.frequencies, stage.periodic.size
        shapes = [(count, waves), (count, 2 * waves, size), (count, size)]
    shapes += [(part.width, part.outputs) for part in stage.embedded]
    arrays: list[Array] = []
    start = 0
    for shape in shapes:
        end = start + math.prod(shape)
        arrays.append(flat[start:end].reshape(shape))
        start = end
    return arrays


def initialize_stage(arrays: Sequence[Array], stage: Stage, seed: int) -> None:
    """Fill the arrays of `stage_views`, which are zeros, as Keras fills the network's."""
    kernels = [arrays[0], arrays[1], *arrays[3:]] if stage.periodic else arrays
    for kernel, initializer in zip(kernels, initializers(stage, seed), strict=True):
        np.copyto(kernel, initializer(kernel.shape))


class StagePass:
    """A stage for a fixed number of rows; with gradients it can learn."""

    def __init__(
        self, stage: Stage, arrays: list[Array], gradients: list[Array] | None, rows: int
    ) -> None:
        kind = arrays[0].dtype
        self._signal = np.ones((stage.outputs + 1, rows), kind)
        self.slope: Array = np.empty((stage.outputs if gradients else 0, rows), kind)
        self._coders: list[tuple[slice, slice, _Coder]] = []
        before = after = used = 0
        for part in stage.parts:
            create, count = _CODERS[part.coding]
            own = slice(used, used + count)
            coder = create(arrays[own], None if gradients is None else gradients[own], rows)
            features = slice(before, before + part.width)
            self._coders.append((features, slice(after, after + part.outputs), coder))
            before, after, used = before + part.width, after + part.outputs, own.stop

    def encode(self, signal: Array) -> Array:
        """Return (outputs + 1, rows), valid until the next pass, for (features + 1, rows).

        The last row of both is ones.
        """
        for before, after, coder in self._coders:
            coder.encode(signal[before], self._signal[after])
        return self._signal

    def learn(self, signal: Array) -> None:
        """Write the gradients after `encode(signal)`, whose gradient is `slope`, (outputs, rows).

        `slope` is overwritten.
        """
        for before, after, coder in self._coders:
            coder.learn(signal[before], self._signal[after], self.slope[after])


class _Coder(Protocol):
    def encode(self, inputs: Array, outputs: Array) -> None:
        """Write the outputs of some features."""
        ...

    def learn(self, inputs: Array, outputs: Array, slope: Array) -> None:
        """Write the gradients, given the gradient by the outputs."""
        ...


class _Plain:
    def __init__(self, arrays: list[Array], gradients: list[Array] | None, rows: int) -> None:
        pass

    def encode(self, inputs: Array, outputs: Array) -> None:
        np.copyto(outputs, inputs)

    def learn(self, inputs: Array, outputs: Array, slope: Array) -> None:
        pass


class _Embedding:
    def __init__(self, arrays: list[Array], gradients: list[Array] | None, rows: int) -> None:
        (self._kernel,) = arrays
        self._gradient = None if gradients is None else gradients[0]

    def encode(self, inputs: Array, outputs: Array) -> None:
        np.matmul(self._kernel.T, inputs, out=outputs)

    def learn(self, inputs: Array, outputs: Array, slope: Array) -> None:
        np.matmul(inputs, slope.T, out=self._gradient)


class _Periodic:
    def __init__(self, arrays: list[Array], gradients: list[Array] | None, rows: int) -> None:
        self._frequencies, self._kernel, self._bias = arrays
        self._gradients = gradients
        (numbers, count), kind = self._frequencies.shape, self._frequencies.dtype
        self._angles = np.empty((numbers, count, rows), kind)
        self._waves = np.empty((numbers, 2 * count, rows), kind)
        self._spare = np.empty_like(self._waves) if gradients else None

    def encode(self, inputs: Array, outputs: Array) -> None:
        count = self._frequencies.shape[1]
        np.multiply(self._frequencies[:, :, None], inputs[:, None, :], out=self._angles)
        np.multiply(self._angles, _TURN, out=self._angles)
        np.sin(self._angles, out=self._waves[:, :count])
        np.cos(self._angles, out=self._waves[:, count:])
        hidden = self._by_number(outputs)
        np.matmul(self._kernel.transpose(0, 2, 1), self._waves, out=hidden)
        np.add(hidden, self._bias[:, :, None], out=hidden)
        np.maximum(hidden, _ZERO, out=hidden)

    def learn(self, inputs: Array, outputs: Array, slope: Array) -> None:
        assert self._gradients is not None
        frequencies, kernel, bias = self._gradients
        hidden = self._by_number(slope)
        np.multiply(hidden, np.greater(self._by_number(outputs), _ZERO), out=hidden)
        np.matmul(self._waves, hidden.transpose(0, 2, 1), out=kernel)
        np.sum(hidden, axis=2, out=bias)
        by_wave = np.matmul(self._kernel, hidden, out=self._spare)
        count = frequencies.shape[1]
        sines, cosines = self._waves[:, :count], self._waves[:, count:]
        # The angles are no longer needed.
        np.multiply(by_wave[:, :count], cosines, out=self._angles)
        np.multiply(by_wave[:, count:], sines, out=by_wave[:, count:])
        np.subtract(self._angles, by_wave[:, count:], out=self._angles)
        np.multiply(np.matmul(self._angles, inputs[:, :, None])[:, :, 0], _TURN, out=frequencies)

    def _by_number(self, features: Array) -> Array:
        return features.reshape(*self._bias.shape, -1)


# With the number of arrays that each has.
_CODERS: Mapping[Coding, tuple[type[_Plain] | type[_Embedding] | type[_Periodic], int]] = {
    Coding.PLAIN: (_Plain, 0),
    Coding.EMBEDDING: (_Embedding, 1),
    Coding.PERIODIC: (_Periodic, 3),
}
