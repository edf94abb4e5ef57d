"""Inputs and outputs of a version, from signature.json, and the conversion of rows to inputs."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, Literal

from models.data.cells.reader import Reader, cell_reader, normalized
from models.data.columns import ColumnType
from models.data.encoding.features import input_name
from models.data.preparation.tasks import ClassLabel
from models.data.spelling import PLAIN, Spelling
from models.errors import Invalid
from models.registry.documents import Document
from models.serving.cells import (
    Array,
    Cells,
    Rejected,
    as_list,
    column_array,
    plain_numbers,
    problem,
)

MAX_MESSAGES = 20
_MADE_UP = re.compile(r"column_\d+")  # as `models.data.formats.naming` names a column without one
_UNIFORM: tuple[set[type], ...] = ({list}, {dict})  # kinds of rows that are read all at once
_REFUSALS = (Rejected, ValueError, TypeError, KeyError)


@dataclass(frozen=True, slots=True)
class ColumnRules:
    """The treatment of columns of a row that the model does not take, and of those it lacks."""

    unknown_columns: Literal["error", "ignore"] = "error"
    missing_columns: Literal["error", "null"] = "error"


STRICT = ColumnRules()


@dataclass(frozen=True)
class InputColumn:
    """One raw column that the model takes."""

    name: str
    type: ColumnType
    shape: tuple[int, ...] = ()  # of an image: height, width and perhaps channels
    spelling: Spelling = PLAIN  # of its cells in the training data

    @cached_property
    def input(self) -> str:
        """The graph's name for it."""
        return input_name(self.name)

    @cached_property
    def read(self) -> Reader | None:
        """The reader of its cells; None for an image."""
        if self.type is ColumnType.IMAGE:
            return None
        return cell_reader(self.type, self.spelling)

    @classmethod
    def from_json(cls, document: Document) -> "InputColumn":
        """Read a column that `models.registry.documents.ColumnSchema` accepts."""
        return cls(
            document["name"],
            ColumnType(document["type"]),
            tuple(document.get("shape", ())),
            Spelling.from_json(document.get("spelling") or {}),
        )


@dataclass(frozen=True)
class Signature:
    """The columns that a version takes, in order, and the classes that it gives."""

    task: str  # regression, binary or multiclass
    target: str
    columns: tuple[InputColumn, ...]
    classes: tuple[ClassLabel, ...]  # in the order of the probabilities; empty for a regression
    sample: dict[str, Any]  # one row that the model accepts
    unused: frozenset[str] = frozenset()  # other columns of the training data
    # Of two classes: from which probability of the class of this number on that one is answered.
    threshold: float | None = None
    positive: int = 1

    @classmethod
    def from_json(cls, document: Document) -> "Signature":
        """Read a document that `models.registry.documents.SignatureSchema` accepts."""
        classes = list(document["classes"] or ())
        positive = document.get("positive_class")
        return cls(
            task=document["task"],
            target=document["target"],
            columns=tuple(map(InputColumn.from_json, document["columns"])),
            classes=tuple(classes),
            sample=document["sample"],
            unused=frozenset(document.get("unused", ())) | {document["target"]},
            threshold=document.get("threshold"),
            positive=classes.index(positive) if positive in classes else 1,
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def images(self) -> frozenset[str]:
        """The names of columns of images, whose cells are arrays themselves."""
        return frozenset(column.name for column in self.columns if column.type is ColumnType.IMAGE)

    def feed(self, instances: Sequence[object], rules: ColumnRules = STRICT) -> dict[str, Array]:
        """Return the graph's inputs for `instances`, by `InputColumn.input`, one row an instance.

        An instance is an object with a value for every column, or a list of the values in the
        order of the columns. If the only column is an image, it may also be the image itself.
        null means missing. Other columns of the training data are left out. Arrays are float64
        (rows, 1) for numbers, booleans and datetimes, objects (rows, 1) for texts and float32
        (rows, *shape) for images.

        Raises Invalid with paths `instances.<row>.<column>`: MAX_MESSAGES messages, and how many
        more there are.
        """
        if not isinstance(instances, list | tuple):
            raise Invalid.at("instances", "Expected a list of rows.")
        if not instances:
            raise Invalid.at("instances", "Expected at least one row.")
        try:
            columns = list(zip(*self._rows(instances, rules), strict=True))
            return self._arrays(columns)
        except _REFUSALS:
            raise Invalid(self._errors(instances, rules)) from None

    def feed_columns(
        self, cells: Mapping[str, Cells], rules: ColumnRules = STRICT
    ) -> dict[str, Array]:
        """Return the graph's inputs for the columns of a table, by name; otherwise as `feed`.

        A column is a list, or an array of shape (rows,) whose NaN is a missing cell; of images,
        (rows, *shape). Raises Invalid, too, for columns of different lengths.
        """
        self.check_names(cells, rules)
        named = {self._name(name): column for name, column in cells.items()}
        rows = len(next(iter(named.values()), ()))
        for name, column in named.items():
            if len(column) != rows:
                raise Invalid.at(f"columns.{name}", f"Has {len(column)} rows, not {rows}.")
        if not rows:
            raise Invalid.at("instances", "Expected at least one row.")
        columns = [named.get(name, [None] * rows) for name in self.names]
        try:
            return self._arrays(columns)
        except _REFUSALS:
            columns = list(map(as_list, columns))
            instances = [
                dict(zip(self.names, row, strict=True)) for row in zip(*columns, strict=True)
            ]
            raise Invalid(self._errors(instances, rules)) from None

    def check_names(self, written: Iterable[str], rules: ColumnRules = STRICT) -> None:
        """Raise Invalid at `columns.<name>` unless a table may have these columns."""
        named = dict.fromkeys(map(self._name, written))
        problems = list(self._name_problems(named, rules))
        if problems:
            raise Invalid({".".join(("columns", *path)): [text] for path, text in problems})

    def takes(self, written: str) -> bool:
        """Whether the model takes the column that a table names so."""
        return self._name(written) in self.names

    def cell_problems(self, cells: Mapping[str, Sequence[object]]) -> dict[int, str]:
        """Return what is wrong with each row of a table that has a refused cell, by its place.

        Only the first such cell of a row is told, with its column.
        """
        found: dict[int, str] = {}
        for column in self.columns:
            for name, listed in cells.items():
                if self._name(name) != column.name:
                    continue
                for row, cell in enumerate(listed):
                    message = None if row in found else problem(cell, column.read, column.shape)
                    if message:
                        found[row] = f"{column.name}: {message}"
        return found

    @cached_property
    def _getter(self) -> "itemgetter[Any]":
        return itemgetter(*self.names)

    def _rows(self, instances: Sequence[Any], rules: ColumnRules) -> Sequence[Sequence[object]]:
        """Return the cells of each instance, in the order of the columns."""
        count, getter = len(self.columns), self._getter
        kinds = set(map(type, instances))
        if count > 1 and kinds in _UNIFORM and set(map(len, instances)) == {count}:
            if kinds == {list}:
                return instances
            with suppress(KeyError):
                return list(map(getter, instances))
        rows: list[Sequence[object]] = []
        for row in instances:
            if isinstance(row, dict):
                try:
                    if len(row) != count:
                        row = self._named(row, rules)
                    found: Any = getter(row)
                except KeyError:
                    found = getter(self._named(row, rules))
                rows.append(found if count > 1 else (found,))
            elif isinstance(row, list | tuple) and self._is_bare_image(row):
                rows.append((row,))
            elif isinstance(row, list | tuple) and len(row) == count:
                rows.append(row)
            else:
                raise Rejected
        return rows

    def _named(self, row: Mapping[str, object], rules: ColumnRules) -> Mapping[str, object]:
        """Return a row under the columns' own names, completed with null where that is allowed."""
        named = {self._name(name): cell for name, cell in row.items()}
        if rules.missing_columns == "null":
            named = dict.fromkeys(self.names) | named
        if rules.unknown_columns == "error":
            for name in named:
                if name not in self._known:
                    raise Rejected
        return named

    def _name(self, written: str) -> str:
        """Return a column's own name; a file may leave out the name that reading then makes up."""
        return normalized(written) or self._made_up

    @cached_property
    def _made_up(self) -> str:
        """The name of the only column that had none in the file; "" without one."""
        found = [name for name in self._known if _MADE_UP.fullmatch(name)]
        return found[0] if len(found) == 1 else ""

    @cached_property
    def _known(self) -> frozenset[str]:
        return self.unused.union(self.names)

    @cached_property
    def _plain(self) -> tuple[int, ...]:
        """The places of the columns of numbers in which every number is a value."""
        return tuple(
            place
            for place, column in enumerate(self.columns)
            if column.type is ColumnType.NUMBER and not column.spelling.missing
        )

    @cached_property
    def _plain_inputs(self) -> tuple[str, ...]:
        return tuple(self.columns[place].input for place in self._plain)

    def _arrays(self, columns: Sequence[Cells]) -> dict[str, Array]:
        places = self._plain
        are_all = len(places) == len(self.columns)
        plain = columns if are_all else [columns[place] for place in places]
        block = plain_numbers(plain) if places else None
        arrays: dict[str, Array] = {}
        if block is not None:
            arrays = dict(zip(self._plain_inputs, block, strict=True))
            if are_all:
                return arrays
        for column, cells in zip(self.columns, columns, strict=True):
            if column.input not in arrays:
                arrays[column.input] = column_array(column.type, cells, column.read, column.shape)
        return arrays

    def _is_bare_image(self, row: Sequence[object]) -> bool:
        if len(self.columns) != 1 or self.columns[0].type is not ColumnType.IMAGE:
            return False
        depth, inner = 0, row
        while isinstance(inner, list | tuple) and inner:
            depth, inner = depth + 1, inner[0]
        return depth == len(self.columns[0].shape)

    def _errors(self, instances: Sequence[object], rules: ColumnRules) -> dict[str, list[str]]:
        errors: dict[str, list[str]] = {}
        count = 0
        for number, row in enumerate(instances):
            for path, message in self._row_problems(row, rules):
                count += 1
                if count <= MAX_MESSAGES:
                    errors.setdefault(".".join(("instances", str(number), *path)), []).append(
                        message
                    )
        if count > MAX_MESSAGES:
            errors["instances"] = [f"… and {count - MAX_MESSAGES} more"]
        return errors

    def _row_problems(
        self, row: object, rules: ColumnRules
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        if isinstance(row, dict):
            cells = {self._name(name): cell for name, cell in row.items()}
            yield from self._name_problems(cells, rules)
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
                message = problem(cells[column.name], column.read, column.shape)
                if message:
                    yield (column.name,), message

    def _name_problems(
        self, row: Mapping[str, object], rules: ColumnRules
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        if rules.unknown_columns == "error":
            for name in row:
                if name not in self._known:
                    close = difflib.get_close_matches(name, self.names, n=1)
                    hint = f" Did you mean {close[0]!r}?" if close else ""
                    yield (
                        (name,),
                        f"Unknown column.{hint} Send unknown_columns 'ignore' to leave it out.",
                    )
        if rules.missing_columns == "error":
            for name in self.names:
                if name not in row:
                    yield (
                        (name,),
                        "Missing column; send null where the value is unknown, or"
                        " missing_columns 'null'.",
                    )

    def _wanted(self) -> str:
        count = len(self.names)
        listed = ", ".join(self.names[:10]) + (", …" if count > 10 else "")
        return f"{count} column{'s' if count != 1 else ''}: {listed}"
