"""Where the weights of networks of different widths lie when they are stacked.

Each network is one row: its layers one after the other, every kernel (inputs, units) followed by
its bias, or by gamma and beta where the layer is normalized; each padded with zeros to the widest
network of the pack. The running moments are a row of their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from models.trials.trainers.base import Array
from models.trials.trainers.numpy.layout import LayerPlan
from models.trials.trainers.numpy.types import Floats


@dataclass(frozen=True, slots=True)
class Layout:
    """The widths that all networks of a pack are padded to."""

    widths: tuple[int, ...]  # of the features, of every hidden layer, of the outputs
    normalized: tuple[bool, ...]  # of the hidden layers

    @classmethod
    def of(cls, plans: Sequence[LayerPlan]) -> Self:
        """The layout of one network."""
        widths = (plans[0].inputs, *(plan.units for plan in plans))
        return cls(widths, tuple(plan.normalized for plan in plans[:-1]))

    def with_room_for(self, other: "Layout") -> "Layout":
        """The narrowest layout that holds both, which have the same structure."""
        widths = zip(self.widths, other.widths, strict=True)
        return Layout(tuple(max(pair) for pair in widths), self.normalized)

    @property
    def size(self) -> int:
        """Trained numbers in a row."""
        return sum(int(np.prod(shape)) for shape in self._shapes())

    @property
    def moments(self) -> int:
        """Numbers in a row of running moments."""
        hidden = zip(self.widths[1:-1], self.normalized, strict=True)
        return sum(2 * width for width, is_normalized in hidden if is_normalized)

    def kernels(self) -> Floats:
        """1 where a row holds a kernel and 0 elsewhere, (size,)."""
        return np.concatenate(
            [np.full(np.prod(shape), len(shape) == 2, np.float32) for shape in self._shapes()]
        )

    def units(self, plans: Sequence[LayerPlan]) -> Floats:
        """1 for every hidden unit that a network has and 0 for padding, (sum of hidden widths,)."""
        rows = [
            np.arange(width) < plan.units
            for width, plan in zip(self.widths[1:-1], plans, strict=False)
        ]
        return np.concatenate([np.empty(0, np.float32), *rows]).astype(np.float32)

    def pad(self, arrays: Sequence[Array], plans: Sequence[LayerPlan]) -> tuple[Floats, Floats]:
        """From arrays in the order of `keras.Model.get_weights` to a row of weights and moments."""
        weights, moments = np.zeros(self.size, np.float32), np.zeros(self.moments, np.float32)
        for array, place in zip(arrays, self._places(weights, moments, plans), strict=True):
            place[...] = array
        return weights, moments

    def strip(self, weights: Floats, moments: Floats, plans: Sequence[LayerPlan]) -> list[Array]:
        """The way back from `pad`."""
        return [place.copy() for place in self._places(weights, moments, plans)]

    def _shapes(self) -> Iterator[tuple[int, ...]]:
        for (inputs, units), is_normalized in zip(
            pairwise(self.widths), (*self.normalized, False), strict=True
        ):
            yield (inputs, units)
            yield from [(units,)] * (1 + is_normalized)

    def _places(
        self, weights: Floats, moments: Floats, plans: Sequence[LayerPlan]
    ) -> Iterator[Floats]:
        """The parts of a row that one network fills, in the order of Keras."""
        start = moment = 0
        for plan, (inputs, units) in zip(plans, pairwise(self.widths), strict=True):
            end = start + inputs * units
            yield weights[start:end].reshape(inputs, units)[: plan.inputs, : plan.units]
            for _ in range(1 + plan.normalized):
                yield weights[end : end + plan.units]
                end += units
            start = end
            for _ in range(2 * plan.normalized):
                yield moments[moment : moment + plan.units]
                moment += units
