"""The encodings of numbers: scaling, smooth clipping, normal scores and piecewise-linear bins."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from models.data.encoding.choice import Encoding, NumericEncoding
from models.data.encoding.features import Array

CLIP = 3.0  # the smooth clip's limit on both sides
FAR = 1e9  # beyond it the clip has its limit; squares of larger numbers may overflow
MAX_KNOTS = 256  # quantiles of one number
_MIN_KNOTS = 10
_ROWS_PER_KNOT = 30
_SMALLEST_GAP = 1e-30  # between two knots or edges, in scaled numbers
_ROWS_AT_ONCE = 8192


def statistics(
    numbers: Array, encoding: NumericEncoding = NumericEncoding.STANDARD
) -> tuple[Array, Array, Array]:
    """Return median, centre and scale of each column of (rows, columns) float64 with NaN.

    Centre and scale are mean and standard deviation for STANDARD. For the others they are median
    and interquartile range, or half the range where that is 0 (RealMLP, Holzmüller et al., NeurIPS
    2024). A column without any number has median 0; a constant one has scale 1.
    """
    # Squares leave the range of float64 beyond 1e154 and below 1e-154: such columns are divided
    # by their largest number first.
    size = np.abs(np.nan_to_num(numbers, nan=0.0)).max(axis=0)
    unit = np.where((size > 1e100) | ((size > 0) & (size < 1e-100)), size, 1.0)
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    filled = imputer.fit_transform(numbers / unit)
    is_constant = np.ptp(filled, axis=0) == 0
    if encoding is NumericEncoding.STANDARD:
        scaler = StandardScaler().fit(filled)
        centre, scale = scaler.mean_, scaler.scale_
    else:
        low, centre, high = np.quantile(filled, [0.25, 0.5, 0.75], axis=0)
        scale = np.where(high > low, high - low, np.ptp(filled, axis=0) / 2)
    with np.errstate(over="ignore"):  # the range of numbers may be twice the largest
        scale = np.minimum(scale * unit, np.finfo(np.float64).max)
    return imputer.statistics_ * unit, centre * unit, np.where(is_constant, 1.0, scale)


@dataclass(frozen=True, slots=True)
class Curves:
    """The map of scaled numbers to network inputs, component by component.

    `standard` leaves them as they are. `robust` is x / √(1 + (x/3)²), the smooth clip of RealMLP.
    `quantile` interpolates normal scores between quantiles; a value that fills several quantiles
    has the score of their middle, and numbers beyond all training rows that of the last.
    `piecewise` is the encoding of Gorishniy et al. (NeurIPS 2022), with quantiles as edges: each
    bin gives the part of it that lies below the number, and the outer bins have no outer limit.
    """

    encoding: NumericEncoding = NumericEncoding.STANDARD
    # Of each component, ascending: the quantiles, or the edges of bins. A constant has one.
    points: tuple[tuple[float, ...], ...] = ()
    scores: tuple[tuple[float, ...], ...] = ()  # normal scores of the quantiles

    @classmethod
    def fit(cls, encoding: Encoding, scaled: Array, is_missing: Array) -> "Curves":
        """Fit to scaled numbers; both arrays are (rows, components).

        Missing cells, which are filled in `scaled`, do not count.
        """
        if encoding.numeric not in (NumericEncoding.QUANTILE, NumericEncoding.PIECEWISE):
            return cls(encoding.numeric)
        pairs = zip(scaled.T, is_missing.T, strict=True)
        columns = [np.sort(column[~missing]) for column, missing in pairs]
        if encoding.numeric is NumericEncoding.PIECEWISE:
            edges = [quantile_edges(column, encoding.bins) for column in columns]
            return cls(encoding.numeric, _plain(edges))
        points, scores = zip(*map(_normal_scores, columns), strict=True)
        return cls(encoding.numeric, _plain(points), _plain(scores))

    def names(self, components: Sequence[str]) -> tuple[str, ...]:
        """Return a name for each output of the components."""
        if self.encoding is not NumericEncoding.PIECEWISE:
            return tuple(components)
        return tuple(
            f"{name}[{number}]"
            for name, edges in zip(components, self.points, strict=True)
            for number in range(max(1, len(edges) - 1))
        )

    def transform(self, scaled: Array) -> Array:
        """Convert (rows, components) float64 to (rows, outputs) float32."""
        match self.encoding:
            case NumericEncoding.ROBUST:
                near = np.clip(scaled, -FAR, FAR)
                share = near / CLIP
                encoded: Array = near / np.sqrt(share * share + 1.0)
                return encoded.astype(np.float32)
            case NumericEncoding.QUANTILE:
                return self._interpolated(scaled)
            case NumericEncoding.PIECEWISE:
                return self._binned(scaled)
        with np.errstate(over="ignore"):
            return scaled.astype(np.float32)

    def lines(self) -> list[tuple[Array, Array, Array]]:
        """Return quantiles, scores and slopes of each component; the last slope is 0."""
        lines = []
        for points, scores in zip(self.points, self.scores, strict=True):
            knots, heights = np.array(points), np.array(scores)
            slopes = np.append(np.diff(heights) / np.diff(knots), 0.0)
            lines.append((knots, heights, slopes))
        return lines

    def bins(self) -> "Bins":
        """Return the bins of all components in the order of the outputs."""
        owners, lower, width, least, most = [], [], [], [], []
        for component, edges in enumerate(self.points):
            last = max(1, len(edges) - 1)
            for number in range(last):
                owners.append(component)
                lower.append(edges[number])
                width.append(edges[number + 1] - edges[number] if len(edges) > 1 else 1.0)
                least.append(0.0 if number else -np.inf)
                most.append(1.0 if number < last - 1 else np.inf)
        numbers = (np.array(each, dtype=np.float64) for each in (lower, width, least, most))
        return Bins(np.array(owners, dtype=np.int64), *numbers)

    def _interpolated(self, scaled: Array) -> Array:
        outputs = np.empty(scaled.shape, np.float32)
        for component, (knots, heights, slopes) in enumerate(self.lines()):
            inside = np.clip(scaled[:, component], knots[0], knots[-1])
            place = np.searchsorted(knots, inside, side="right") - 1
            outputs[:, component] = heights[place] + (inside - knots[place]) * slopes[place]
        return outputs

    def _binned(self, scaled: Array) -> Array:
        bins = self.bins()
        outputs = np.empty((len(scaled), len(bins.owners)), np.float32)
        for start in range(0, len(scaled), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            parts = (scaled[rows][:, bins.owners] - bins.lower) / bins.width
            with np.errstate(over="ignore"):
                outputs[rows] = np.clip(parts, bins.least, bins.most)
        return outputs

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Curves":
        """Read the curves of `preprocessing.json`."""
        return cls(
            NumericEncoding(document["encoding"]),
            tuple(map(tuple, document["points"])),
            tuple(map(tuple, document["scores"])),
        )


PLAIN = Curves()  # scaled numbers as they are


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """The bins of all components; each array is (bins,)."""

    owners: Array  # the component of each bin
    lower: Array
    width: Array
    least: Array  # of its output: 0, or -inf for the first of a component
    most: Array


def quantile_edges(ordered: Array, bins: int) -> Array:
    """Return the edges of at most `bins` bins with equally many of the sorted numbers."""
    if not len(ordered):
        return np.zeros(1)
    return _apart(np.unique(np.quantile(ordered, np.linspace(0, 1, bins + 1))))


def _normal_scores(ordered: Array) -> tuple[Array, Array]:
    """Return at most MAX_KNOTS of the sorted numbers and their normal scores.

    The score of a number is that of its mean rank, as if noise had put equal numbers in an order.
    """
    if not len(ordered):
        return np.zeros(1), np.zeros(1)
    values, counts = np.unique(ordered, return_counts=True)
    shares = (np.cumsum(counts) - counts / 2) / len(ordered)
    most = min(max(len(ordered) // _ROWS_PER_KNOT, _MIN_KNOTS), MAX_KNOTS)
    if len(values) > most:
        wanted = np.linspace(shares[0], shares[-1], most)
        places = np.unique(np.searchsorted(shares, wanted))
        values, shares = values[places], shares[places]
    knots = _apart(values)
    return knots, ndtri(shares[np.isin(values, knots)])


def _apart(points: Array) -> Array:
    """Leave out points that lie so near to the one before that a slope would overflow."""
    is_apart = np.append(True, np.diff(points) > _SMALLEST_GAP)
    kept: Array = points[is_apart]
    return kept


def _plain(arrays: Iterable[Array]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(array.tolist()) for array in arrays)
