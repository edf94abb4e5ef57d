"""What a version takes and gives, read from signature.json, and rows turned into its inputs."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from models.data.preparation.features import input_name
from models.errors import Invalid
from models.registry.documents import Label, SignatureDocument
from models.serving.cells import (
    BOOLEAN_TYPES,
    NUMBER_TYPES,
    Array,
    Rejected,
    datetime_block,
    image_array,
    numeric_block,
    problem,
    text_array,
)

MOST_MESSAGES = 20
_REFUSALS = (Rejected, ValueError, TypeError, KeyError, OverflowError)


@dataclass(frozen=True, slots=True)
class InputColumn:
    """One raw column that the model takes."""

    name: str
    type: str  # number, category, boolean, datetime or image
    shape: tuple[int, ...] = ()  # of an image: height, width and perhaps channels

    @property
    def input(self) -> str:
        """The graph's name for it."""
        return input_name(self.name)


@dataclass(frozen=True, slots=True)
class Signature:
    """The columns that a version takes, in order, and the classes that it gives."""

    task: str  # regression, binary or multiclass
    target: str
    columns: tuple[InputColumn, ...]
    classes: tuple[Label, ...]  # in the order of the probabilities; empty for a regression
    sample: dict[str, Any]  # one row that the model accepts
    _getter: "itemgetter[str]" = field(init=False, repr=False, compare=False)
    _inputs: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _numbers: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _booleans: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _datetimes: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _others: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        def places(*kinds: str) -> tuple[int, ...]:
            return tuple(i for i, column in enumerate(self.columns) if column.type in kinds)

        derived = {
            "_getter": itemgetter(*(column.name for column in self.columns)),
            "_inputs": tuple(column.input for column in self.columns),
            "_numbers": places("number"),
            "_booleans": places("boolean"),
            "_datetimes": places("datetime"),
            "_others": places("category", "image"),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_json(cls, document: SignatureDocument) -> "Signature":
        """Read what `models/registry` wrote."""
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

    def feed(self, instances: Sequence[object]) -> dict[str, Array]:
        """The graph's inputs for `instances`, by `InputColumn.input`, with one row an instance.

        An instance is an object with a value for every column, or a list of the values in the
        order of the columns; where the only column is an image, it may also be the image itself.
        null means missing. Arrays are float64 (rows, 1) for numbers and booleans, objects
        (rows, 1) for categories, float64 (rows, 5) for datetimes and float32 (rows, *shape) for
        images.

        Raises Invalid with paths `instances.<row>.<column>`, at most 20 messages and how many
        more there are.
        """
        if not isinstance(instances, list | tuple):
            raise Invalid.at("instances", "Expected a list of rows.")
        if not instances:
            raise Invalid.at("instances", "Expected at least one row.")
        try:
            return self._arrays(list(zip(*map(self._cells, instances), strict=True)))
        except _REFUSALS:
            raise Invalid(self._errors(instances)) from None

    def _cells(self, row: Any) -> Sequence[object]:
        count = len(self.columns)
        if isinstance(row, dict) and len(row) == count:
            found: Any = self._getter(row)
            return found if count > 1 else (found,)
        if isinstance(row, list | tuple):
            if self._is_bare_image(row):
                return (row,)
            if len(row) == count:
                return row
        raise Rejected

    def _arrays(self, columns: Sequence[tuple[object, ...]]) -> dict[str, Array]:
        arrays: dict[str, Array] = {}
        for places, allowed in ((self._numbers, NUMBER_TYPES), (self._booleans, BOOLEAN_TYPES)):
            if places:
                block = numeric_block([columns[place] for place in places], allowed)
                for place, cells in zip(places, block[:, :, None], strict=True):
                    arrays[self._inputs[place]] = cells
        if self._datetimes:
            parts = datetime_block([columns[place] for place in self._datetimes])
            for place, cells in zip(self._datetimes, parts, strict=True):
                arrays[self._inputs[place]] = cells
        for place in self._others:
            column = self.columns[place]
            if column.type == "category":
                arrays[column.input] = text_array(columns[place])
            else:
                arrays[column.input] = image_array(columns[place], column.shape)
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
                if count <= MOST_MESSAGES:
                    errors.setdefault(".".join(("instances", str(number), *path)), []).append(
                        message
                    )
        if count > MOST_MESSAGES:
            errors["instances"] = [f"… and {count - MOST_MESSAGES} more"]
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
            names = (column.name for column in self.columns)
            cells = dict(zip(names, values, strict=True))
        else:
            yield (), f"Expected an object or a list of the model's {self._wanted()}."
            return
        for column in self.columns:
            if column.name in cells:
                message = problem(cells[column.name], column.type, column.shape)
                if message:
                    yield (column.name,), message

    def _name_problems(self, row: dict[str, object]) -> Iterator[tuple[tuple[str, ...], str]]:
        names = [column.name for column in self.columns]
        for name in row:
            if name == self.target:
                yield (name,), "This is the target: the model predicts it and does not take it."
            elif name not in names:
                close = difflib.get_close_matches(str(name), names, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                yield (str(name),), f"Unknown column.{hint}"
        for name in names:
            if name not in row:
                yield (name,), "Missing column; send null where the value is unknown."

    def _wanted(self) -> str:
        names = [column.name for column in self.columns]
        listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        return f"{len(names)} column{'s' if len(names) != 1 else ''}: {listed}"
