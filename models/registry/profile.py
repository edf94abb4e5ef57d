"""profile.json: the spread of the training rows of a version, and the same counts of others."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import marshmallow as ma
import numpy as np
from marshmallow.validate import Length, OneOf, Range

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.encoding.features import input_name
from models.errors import ArtifactError, NotFound, Unreadable
from models.registry.documents import (
    INPUT_TYPES,
    Document,
    StoredSchema,
    check_document,
    parse_json,
)
from models.registry.files import VersionFiles

PROFILE_FILE = "profile.json"
MAX_ROWS = 100_000  # that a profile is made of, at equal distances
MAX_BINS = 10  # of numbers, each with about the same number of training rows
MAX_FREQUENT = 20  # values of a category that have a bin of their own
MAX_KNOWN = 1000  # values of a category that are listed
MISSING, OUTSIDE, FIRST_BIN = 0, 1, 2  # places in counts

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TrainedColumn:
    """The spread of one column of the training rows.

    `counts` are numbers of rows: with a missing cell, with a value that training had not (0 here),
    then by bin. Bins of numbers, datetimes, booleans and lengths of texts lie between `edges`;
    a category has one for each frequent value and one for all others. An image has no counts.
    """

    name: str
    type: ColumnType
    counts: tuple[int, ...] = ()
    edges: tuple[float, ...] = ()
    low: float | None = None  # smallest number; None if every cell was missing
    high: float | None = None
    values: tuple[str, ...] = ()  # of a category, the most frequent first
    is_complete: bool = True  # whether `values` are all of them

    @property
    def is_measured(self) -> bool:
        """Whether other rows can be compared with it."""
        return bool(self.counts)

    @cached_property
    def input(self) -> str:
        """The graph's name for the column."""
        return input_name(self.name)

    @cached_property
    def _places(self) -> Mapping[str, int]:
        """The bin of each known value."""
        last = min(len(self.values), MAX_FREQUENT)
        return {value: min(place, last) for place, value in enumerate(self.values)}

    def count(self, cells: Array) -> Array:
        """Return the counts, as `counts`, of cells, (rows,) or (rows, 1).

        They are as in a `Dataset` or as the inputs of a graph: a missing one is NaN, None or "".
        """
        found = np.zeros(len(self.counts), dtype=np.int64)
        if self.type is ColumnType.CATEGORY:
            self._count_texts(cells, found)
            return found
        numbers = _numbers(self.type, cells)
        present = numbers[~np.isnan(numbers)]
        found[MISSING] = len(numbers) - len(present)
        if self.low is None or self.high is None:
            found[OUTSIDE] = len(present)
        else:
            found[OUTSIDE] = np.count_nonzero((present < self.low) | (present > self.high))
        bins = np.searchsorted(self.edges, present, side="right")
        found[FIRST_BIN:] = np.bincount(bins, minlength=len(found) - FIRST_BIN)
        return found

    def _count_texts(self, cells: Array, found: Array) -> None:
        others = FIRST_BIN + min(len(self.values), MAX_FREQUENT)
        for value, number in Counter(cells.ravel().tolist()).items():
            if not value:
                found[MISSING] += number
                continue
            place = self._places.get(value)
            found[others if place is None else FIRST_BIN + place] += number
            if place is None and self.is_complete:
                found[OUTSIDE] += number

    def to_json(self) -> Document:
        """Return the JSON form, of which `from_json` is the inverse."""
        return {
            "name": self.name,
            "type": self.type.value,
            "counts": list(self.counts),
            "edges": list(self.edges),
            "low": self.low,
            "high": self.high,
            "values": list(self.values),
            "is_complete": self.is_complete,
        }

    @classmethod
    def from_json(cls, document: Document) -> "TrainedColumn":
        """Read a column that `ProfileSchema` accepts."""
        return cls(
            document["name"],
            ColumnType(document["type"]),
            tuple(document["counts"]),
            tuple(document["edges"]),
            document["low"],
            document["high"],
            tuple(document["values"]),
            document["is_complete"],
        )


class TrainedColumnSchema(StoredSchema):
    """A column in profile.json."""

    name = ma.fields.String(required=True)
    type = ma.fields.String(required=True, validate=OneOf(INPUT_TYPES))
    counts = ma.fields.List(ma.fields.Integer(strict=True, validate=Range(min=0)), required=True)
    edges = ma.fields.List(ma.fields.Float(), required=True)
    low = ma.fields.Float(required=True, allow_none=True)
    high = ma.fields.Float(required=True, allow_none=True)
    values = ma.fields.List(ma.fields.String(), required=True, validate=Length(max=MAX_KNOWN))
    is_complete = ma.fields.Boolean(required=True)

    @ma.validates_schema
    def _check_counts(self, data: Document, **_: Any) -> None:
        is_category = data["type"] == ColumnType.CATEGORY
        inner = min(len(data["values"]), MAX_FREQUENT) if is_category else len(data["edges"])
        if data["counts"] and len(data["counts"]) != FIRST_BIN + inner + 1:
            raise ma.ValidationError("Not one for each bin.", "counts")


class ProfileSchema(StoredSchema):
    """profile.json."""

    rows = ma.fields.Integer(required=True)  # that were counted
    columns = ma.fields.List(ma.fields.Nested(TrainedColumnSchema), required=True)


def profile_document(dataset: Dataset, rows: Array, features: tuple[str, ...]) -> Document:
    """Return profile.json of the training rows, given as numbers of rows (rows,)."""
    kept = rows[:: max(1, -(-len(rows) // MAX_ROWS))]
    columns = [
        _profile(name, dataset.column(name).type, dataset.values[name][kept]) for name in features
    ]
    return {"rows": len(kept), "columns": [column.to_json() for column in columns]}


def read_profile(files: VersionFiles, model: str, version: int) -> tuple[TrainedColumn, ...] | None:
    """Read the profile of a version; None for one without, or where it cannot be read.

    Raises Unavailable if the store does not answer.
    """
    what = f"{PROFILE_FILE} of version {version} of model {model!r}"
    try:
        document = parse_json(files.read(model, version, PROFILE_FILE), what)
        check_document(document, ProfileSchema(), what)
    except (ArtifactError, NotFound, Unreadable):
        return None
    return tuple(map(TrainedColumn.from_json, document["columns"]))


def _profile(name: str, kind: ColumnType, cells: Array) -> TrainedColumn:
    if kind is ColumnType.IMAGE:
        return TrainedColumn(name, kind)
    if kind is ColumnType.CATEGORY:
        ranked = sorted(Counter(filter(None, cells.tolist())).items(), key=lambda i: (-i[1], i[0]))
        values = tuple(value for value, _ in ranked[:MAX_KNOWN])
        bins = min(len(values), MAX_FREQUENT) + 1
        column = TrainedColumn(
            name,
            kind,
            (0,) * (FIRST_BIN + bins),
            values=values,
            is_complete=len(ranked) <= MAX_KNOWN,
        )
    else:
        numbers = _numbers(kind, cells)
        present = numbers[~np.isnan(numbers)]
        edges = _edges(present)
        column = TrainedColumn(
            name,
            kind,
            (0,) * (FIRST_BIN + len(edges) + 1),
            edges,
            float(present.min()) if len(present) else None,
            float(present.max()) if len(present) else None,
        )
    counted = column.count(cells).tolist()
    return TrainedColumn.from_json(column.to_json() | {"counts": counted})


def _edges(present: Array) -> tuple[float, ...]:
    """Return the inner edges of bins with about the same number of values in each.

    An edge is itself a value, so that one which many rows have begins a bin.
    """
    if not len(present):
        return ()
    shares = np.arange(1, MAX_BINS) / MAX_BINS
    edges = np.unique(np.quantile(present, shares, method="higher"))
    return tuple(edges[edges > present.min()].tolist())


def _numbers(kind: ColumnType, cells: Array) -> Array:
    """Return cells as numbers (rows,): lengths of texts in characters, NaN for missing ones."""
    if kind is ColumnType.TEXT:
        lengths = [len(text) if text else np.nan for text in cells.ravel().tolist()]
        return np.array(lengths, dtype=np.float64)
    return cells.ravel()
