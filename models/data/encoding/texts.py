"""Free text as numbers: TF-IDF of n-grams, and what linear models make of it.

The numbers are the first singular vectors of the TF-IDF ("latent semantic analysis", as
scikit-learn's `TruncatedSVD`) and the prediction of a ridge regression on the target. That one is
cross-fitted for the training rows. ONNX can carry all of it; see decision 0032.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.utils.extmath import randomized_svd

from models.data.columns import MAX_CHARACTERS
from models.data.encoding.cross_fitting import parts, standardise
from models.data.encoding.features import Array
from models.data.encoding.ngrams import Search, find_grams, find_letters

TOPICS = 16  # singular vectors
RIDGE = 1.0
_COLLECTED = (5_000, 2_000_000)  # texts and characters that n-grams are collected from
_FITTED = (20_000, 20_000_000)  # that the models are fitted to
_AT_ONCE = 4096  # rows
_DIGITS = 7  # significant ones kept of a weight


@dataclass(frozen=True, slots=True)
class TextFeature:
    """A text column as standardised numbers, and a mark for missing."""

    name: str
    letters: Mapping[str, str]  # the letter of each character; all others are gaps
    grams: tuple[str, ...]  # of letters and gaps, the short ones first
    idf: tuple[float, ...]  # of each n-gram
    weights: tuple[tuple[float, ...], ...]  # (numbers, n-grams)
    bias: tuple[float, ...]  # of each number
    has_missing: bool  # whether missing and empty texts are marked

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per number."""
        names = [f"{self.name}~{number}" for number in range(len(self.bias))]
        return (*names, *[f"{self.name}=<missing>"] * self.has_missing)

    def transform(self, values: Array) -> Array:
        """Convert (rows,) str or None to (rows, numbers) float32."""
        if not self.bias:
            return self.mark(values, np.empty((len(values), 0)))
        return self.mark(values, _multiply(self, values, np.array(self.weights).T) + self.bias)

    def mark(self, values: Array, numbers: Array) -> Array:
        """Append the mark of missing and empty texts to (rows, numbers); return float32."""
        columns = [numbers]
        if self.has_missing:
            columns.append(np.array([[not value] for value in values], dtype=np.float64))
        return np.hstack(columns).astype(np.float32)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "TextFeature":
        """Read a feature of `preprocessing.json`."""
        lists = {name: tuple(document[name]) for name in ("grams", "idf", "bias")}
        weights = tuple(map(tuple, document["weights"]))
        return cls(**{**document, **lists, "weights": weights})


def fit_text(name: str, values: Array, targets: Array, seed: int) -> tuple[TextFeature, Array]:
    """Fit to (rows,) str or None and the targets, (rows, numbers) float64.

    Return the feature, for all other rows, and the outputs of these rows, float32, in which what
    depends on the target is cross-fitted; `seed` divides the rows.
    """
    read = [value[:MAX_CHARACTERS] for value in values[_spread(values, *_COLLECTED)] if value]
    letters = find_letters(read)
    grams = find_grams(read, letters)
    has_missing = not grams or not all(values)
    blank = TextFeature(name, letters, grams, (1.0,) * len(grams), (), (), has_missing)
    if not grams:
        return blank, blank.transform(values)
    fitted = _spread(values, *_FITTED)
    counts = Search(letters, grams).count(values[fitted])
    occurs = np.asarray((counts > 0).sum(axis=0)).ravel()
    idf = np.log((1 + len(fitted)) / (1 + occurs)) + 1  # as scikit-learn's TfidfTransformer
    idf = idf.astype(np.float32).astype(np.float64)  # as ONNX has it
    feature = _replace(blank, idf=tuple(idf.tolist()))
    known = _weigh(counts, idf)
    _, _, topics = randomized_svd(known, min(TOPICS, *known.shape), random_state=seed)
    part = np.empty(len(values), dtype=np.int64)
    lines = []
    for number, (train, rows) in enumerate(parts(len(values), seed)):
        part[rows] = number
        is_train = np.isin(fitted, train)
        lines.append(_regress(known[is_train], targets[fitted[is_train]]))
    slopes, offsets = (np.array(items) for items in zip(*lines, strict=True))
    numbers = _multiply(feature, values, np.vstack([topics, *slopes]).T)
    guesses = numbers[:, len(topics) :].reshape(len(values), len(lines), -1) + offsets
    crossed = np.hstack([numbers[:, : len(topics)], guesses[np.arange(len(values)), part]])
    mean, scale = standardise(crossed)
    slope, offset = _regress(known, targets[fitted])
    weights = np.vstack([topics, slope]) / scale[:, None]
    bias = (np.append(np.zeros(len(topics)), offset) - mean) / scale
    feature = _replace(
        feature,
        weights=tuple(tuple(_rounded(row)) for row in weights),
        bias=tuple(_rounded(bias)),
    )
    return feature, feature.mark(values, (crossed - mean) / scale)


def _replace(feature: TextFeature, **changes: Any) -> TextFeature:
    return TextFeature(**{**asdict(feature), **changes})


def _regress(known: Any, targets: Array) -> tuple[Array, Array]:
    """Return slopes (numbers, n-grams) and offsets (numbers,) of a ridge regression."""
    if not known.shape[0]:
        return np.zeros((targets.shape[1], known.shape[1])), np.zeros(targets.shape[1])
    ridge = Ridge(RIDGE, solver="sparse_cg").fit(known, targets)
    return ridge.coef_.reshape(targets.shape[1], -1), np.reshape(ridge.intercept_, -1)


def _multiply(feature: TextFeature, values: Array, matrix: Array) -> Array:
    """Return TF-IDF times (n-grams, numbers), a few thousand rows at a time."""
    search, idf = Search(feature.letters, feature.grams), np.array(feature.idf)
    blocks = [np.empty((0, matrix.shape[1]))]
    for start in range(0, len(values), _AT_ONCE):
        blocks.append(_weigh(search.count(values[start : start + _AT_ONCE]), idf) @ matrix)
    return np.concatenate(blocks)


def _weigh(counts: Any, idf: Array) -> Any:
    """Return the idf of each n-gram that occurs, over the row's length; an empty row stays zero."""
    weights = counts.copy()
    weights.data = idf[weights.indices]
    lengths = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1))).ravel()
    return sparse.diags(1.0 / np.where(lengths == 0, 1.0, lengths)) @ weights


def _spread(values: Array, most: int, characters: int) -> Array:
    """Return evenly spaced row numbers: at most `most`, with about `characters` characters."""
    lengths = [min(len(value), MAX_CHARACTERS) if value else 0 for value in values]
    count = min(len(values), most, int(characters / max(1.0, float(np.mean(lengths or [0])))))
    return np.linspace(0, len(values) - 1, max(1, count)).astype(np.int64)


def _rounded(numbers: Array) -> list[float]:
    return [float(f"{number:.{_DIGITS}g}") for number in numbers.tolist()]
