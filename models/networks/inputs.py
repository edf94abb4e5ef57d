"""The inputs of a network: what a preprocessed row holds, and the encodings that are trained."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from models.space.hyperparameters import TrialValues, value


@dataclass(frozen=True, slots=True)
class Inputs:
    """One preprocessed row: scaled numbers first, then one-hot categories, then the rest."""

    shape: tuple[int, ...]  # (features,) or (height, width, channels)
    numbers: int = 0  # of the leading features, scaled numbers
    categories: tuple[int, ...] = ()  # the places of each one-hot category

    @property
    def features(self) -> int:
        """The numbers of a row, however many axes it has."""
        features = 1
        for side in self.shape:
            features *= side
        return features


@dataclass(frozen=True, slots=True)
class Periodic:
    """Periodic embeddings: `sin` and `cos` of a number, then a linear layer and ReLU.

    Each number has its own frequencies, which are trained, and its own layer. It is the encoding
    "PLR" of Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep Learning,
    NeurIPS 2022.
    """

    frequencies: int  # of each number
    scale: float  # standard deviation of the initial frequencies
    size: int  # outputs for each number


class Coding(StrEnum):
    """What a stage makes of a part of a row."""

    PLAIN = "plain"  # passes as it is
    PERIODIC = "periodic"
    EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True)
class Part:
    """Features of a row that lie side by side: all numbers, one category, or others."""

    coding: Coding
    width: int  # its features, at least one
    outputs: int


@dataclass(frozen=True, slots=True)
class Stage:
    """The trained encodings between a row and the dense layers."""

    parts: tuple[Part, ...]  # all of a row, in order; no plain one follows another
    periodic: Periodic | None  # of the only periodic part

    @property
    def inputs(self) -> int:
        """The features of a row."""
        return sum(part.width for part in self.parts)

    @property
    def outputs(self) -> int:
        """The features after the stage."""
        return sum(part.outputs for part in self.parts)

    @property
    def embedded(self) -> tuple[Part, ...]:
        """The categories that are embedded."""
        return tuple(part for part in self.parts if part.coding is Coding.EMBEDDING)

    @property
    def numbers(self) -> int:
        """The numbers that have a periodic embedding."""
        return sum(part.width for part in self.parts if part.coding is Coding.PERIODIC)

    @property
    def waves(self) -> int:
        """The sines and cosines of a row."""
        return 2 * self.numbers * self.periodic.frequencies if self.periodic else 0

    @property
    def kernels(self) -> tuple[tuple[int, int, int], ...]:
        """The kernels of all layers, each (copies, inputs, outputs), in the order of Keras."""
        return tuple(self._kernels())

    @property
    def parameters(self) -> int:
        """The number of trained numbers."""
        biases = self.numbers * self.periodic.size if self.periodic else 0
        return biases + self.multiply_adds

    @property
    def multiply_adds(self) -> int:
        """The multiply-adds of one row's forward pass, matrix products alone."""
        return sum(copies * before * after for copies, before, after in self.kernels)

    def _kernels(self) -> Iterator[tuple[int, int, int]]:
        if self.periodic is not None:
            yield self.numbers, 1, self.periodic.frequencies
            yield self.numbers, 2 * self.periodic.frequencies, self.periodic.size
        for part in self.embedded:
            yield 1, part.width, part.outputs


def plan_stage(values: TrialValues, inputs: Inputs) -> Stage | None:
    """Return the trained encodings that `values` name; None if there is nothing to encode.

    A category of at most `category_embedding_size` places keeps them.
    """
    periodic = None
    if value(values, "numeric_encoding") == "periodic" and inputs.numbers:
        periodic = Periodic(
            int(value(values, "frequencies")),
            float(value(values, "frequency_scale")),
            int(value(values, "numeric_embedding_size")),
        )
    size = inputs.features
    if value(values, "category_encoding") == "embedding":
        size = int(value(values, "category_embedding_size"))
    parts = [_plain(inputs.numbers)]
    if periodic is not None:
        parts = [Part(Coding.PERIODIC, inputs.numbers, inputs.numbers * periodic.size)]
    parts += [
        Part(Coding.EMBEDDING, places, size) if places > size else _plain(places)
        for places in inputs.categories
    ]
    parts.append(_plain(inputs.features - sum(part.width for part in parts)))
    if all(part.coding is Coding.PLAIN for part in parts):
        return None
    return Stage(tuple(_joined(parts)), periodic)


def _plain(width: int) -> Part:
    return Part(Coding.PLAIN, width, width)


def _joined(parts: Iterable[Part]) -> Iterator[Part]:
    """Join plain parts that follow each other, and leave out empty ones."""
    for coding, group in groupby(filter(lambda part: part.width, parts), lambda part: part.coding):
        if coding is Coding.PLAIN:
            yield _plain(sum(part.width for part in group))
        else:
            yield from group
