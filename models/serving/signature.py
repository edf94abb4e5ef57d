"""Inputs and outputs of a version, from signature.json, and the conversion of rows to inputs."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

from models.data.preparation.features import input_name
from models.data.preparation.tasks import ClassLabel
from models.errors import Invalid
from models.registry.documents import Document
from models.serving.cells import Array, Rejected, column_arrays, problem

MAX_MESSAGES = 20
_REFUSALS = (Rejected, ValueError, TypeError, KeyError, OverflowError)


@dataclass(frozen=True, slots=True)
class InputColumn:
    """One raw column that the model takes."""

    name: str
    type: str  # one of `models.registry.documents.INPUT_TYPES`
    shape: tuple[int, ...] = ()  # of an image: height, width and perhaps channels

    @property
    def input(self) -> str:
        """The graph's name for it."""
        return input_name(self.name)


@dataclass(frozen=True)
class Signature:
    """The columns that a version takes, in order, and the classes that it gives."""

    task: str  # regression, binary or multiclass
    target: str
    columns: tuple[InputColumn, ...]
    classes: tuple[ClassLabel, ...]  # in the order of the probabilities; empty for a regression
    sample: dict[str, Any]  # one row that the model accepts

    @classmethod
    def from_json(cls, document: Document) -> "Signature":
        """Read a document that `models.registry.documents.SignatureSchema` accepts."""
        return cls(
            task=document["task"],
            target=document["target"],
            columns=tuple(
                InputColumn(column["name"], column["type"], tuple(column.get("shape", ())))
                for column in document["columns"]
            ),
            classes=tuple(document["classes"] or ()),
            sample=document["sample"],
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(column.name for column in self.columns)

    def feed(self, instances: Sequence[object]) -> dict[str, Array]:
        """Return the graph's inputs for `instances`, by `InputColumn.input`, one row an instance.

        An instance is an object with a value for every column, or a list of the values in the
        order of the columns. If the only column is an image, it may also be the image itself.
        null means missing. Arrays are float64 (rows, 1) for numbers, booleans and datetimes, which
        are seconds since 1970-01-01 UTC, objects (rows, 1) for categories and texts, and float32
        (rows, *shape) for images.

        Raises Invalid with paths `instances.<row>.<column>`: MAX_MESSAGES messages, and how many
        more there are.
        """
        if not isinstance(instances, list | tuple):
            raise Invalid.at("instances", "Expected a list of rows.")
        if not instances:
            raise Invalid.at("instances", "Expected at least one row.")
        try:
            return self._arrays(list(zip(*self._rows(instances), strict=True)))
        except _REFUSALS:
            raise Invalid(self._errors(instances)) from None

    @cached_property
    def _places(self) -> dict[str, tuple[int, ...]]:
        """The places of the columns by type, for the types that there are."""
        kinds = dict.fromkeys(column.type for column in self.columns)
        return {
            kind: tuple(i for i, column in enumerate(self.columns) if column.type == kind)
            for kind in kinds
        }

    @cached_property
    def _inputs(self) -> tuple[str, ...]:
        return tuple(column.input for column in self.columns)

    @cached_property
    def _getter(self) -> "itemgetter[Any]":
        return itemgetter(*self.names)

    def _rows(self, instances: Sequence[object]) -> list[Sequence[object]]:
        """Return the cells of each instance, in the order of the columns."""
        count, getter = len(self.columns), self._getter
        rows: list[Sequence[object]] = []
        for row in instances:
            if isinstance(row, dict) and len(row) == count:
                found: Any = getter(row)
                rows.append(found if count > 1 else (found,))
            elif isinstance(row, list | tuple) and self._is_bare_image(row):
                rows.append((row,))
            elif isinstance(row, list | tuple) and len(row) == count:
                rows.append(row)
            else:
                raise Rejected
        return rows

    def _arrays(self, columns: Sequence[tuple[object, ...]]) -> dict[str, Array]:
        arrays: dict[str, Array] = {}
        for kind, places in self._places.items():
            cells = [columns[place] for place in places]
            shapes = [self.columns[place].shape for place in places]
            for place, array in zip(places, column_arrays(kind, cells, shapes), strict=True):
                arrays[self._inputs[place]] = array
        return arrays

    def _is_bare_image(self, row: Sequence[object]) -> bool:
        if len(self.columns) != 1 or self.columns[0].type != "image":
            return False
        depth, inner = 0, row
        while isinstance(inner, list | tuple) and inner:
            depth, inner = depth + 1, inner[0]
        return depth == len(self.columns[0].shape)

    def _errors(self, instances: Sequence[object]) -> dict[str, list[str]]:
        errors: dict[str, list[str]] = {}
        count = 0
        for number, row in enumerate(instances):
            for path, message in self._row_problems(row):
                count += 1
                if count <= MAX_MESSAGES:
                    errors.setdefault(".".join(("instances", str(number), *path)), []).append(
                        message
                    )
        if count > MAX_MESSAGES:
            errors["instances"] = [f"… and {count - MAX_MESSAGES} more"]
        return errors

    def _row_problems(self, row: object) -> Iterator[tuple[tuple[str, ...], str]]:
        if isinstance(row, dict):
            cells = row
            yield from self._name_problems(row)
        elif isinstance(row, list | tuple):
            values = [row] if self._is_bare_image(row) else row
            if len(values) != len(self.columns):
                yield (), f"Has {len(values)} values; the model takes {self._wanted()}."
                return
            cells = dict(zip(self.names, values, strict=True))
        else:
            yield (), f"Expected an object or a list of the model's {self._wanted()}."
            return
        for column in self.columns:
            if column.name in cells:
                message = problem(cells[column.name], column.type, column.shape)
                if message:
                    yield (column.name,), message

    def _name_problems(self, row: dict[str, object]) -> Iterator[tuple[tuple[str, ...], str]]:
        for name in row:
            if name == self.target:
                yield (name,), "This is the target: the model predicts it and does not take it."
            elif name not in self.names:
                close = difflib.get_close_matches(str(name), self.names, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                yield (str(name),), f"Unknown column.{hint}"
        for name in self.names:
            if name not in row:
                yield (name,), "Missing column; send null where the value is unknown."

    def _wanted(self) -> str:
        count = len(self.names)
        listed = ", ".join(self.names[:10]) + (", …" if count > 10 else "")
        return f"{count} column{'s' if count != 1 else ''}: {listed}"
