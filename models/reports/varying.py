"""Trial values as columns: one for each number or choice that differs between trials."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.jobs.model import Outcome
from models.space.hyperparameters import Value

EPOCHS = "epochs"  # stands beside the hyperparameters where a strategy varies it


@dataclass(frozen=True, slots=True)
class Column:
    """What one hyperparameter, or one layer's part of it, was in each trial."""

    name: str  # of the hyperparameter, with _1, _2, … for the layers
    hyperparameter: str
    values: tuple[Value | None, ...]  # None where it had no effect

    @property
    def numbers(self) -> bool:
        """Whether the values are numbers, not choices; booleans are choices."""
        return not any(isinstance(value, bool | str) for value in self.values)

    @property
    def distinct(self) -> list[Value]:
        """Every value once, in order."""
        return sorted({v for v in self.values if v is not None}, key=_order)


def varying_columns(outcomes: Sequence[Outcome]) -> list[Column]:
    """The columns that are not alike in all trials, in the order of the trials' values.

    A hyperparameter that has a list of values in any trial has a column a layer; a single value
    then stands for every layer of its trial. The epochs asked for are a column where they differ.
    """
    names = dict.fromkeys(name for item in outcomes for name in item.values)
    columns = [column for name in names for column in _columns(name, outcomes)]
    columns.append(Column(EPOCHS, EPOCHS, tuple(item.epochs for item in outcomes)))
    return [column for column in columns if len(set(map(repr, column.values))) > 1]


def _columns(name: str, outcomes: Sequence[Outcome]) -> list[Column]:
    cells = [item.values.get(name) for item in outcomes]
    layers = max((len(cell) for cell in cells if isinstance(cell, list)), default=0)
    if layers == 0:
        return [Column(name, name, tuple(cells))]
    rows = [
        cell if isinstance(cell, list) else [cell] * _layers(item, layers)
        for item, cell in zip(outcomes, cells, strict=True)
    ]
    return [
        Column(
            f"{name}_{layer + 1}",
            name,
            tuple(row[layer] if layer < len(row) else None for row in rows),
        )
        for layer in range(layers)
    ]


def _layers(outcome: Outcome, otherwise: int) -> int:
    found = outcome.values.get("num_layers", otherwise)
    return found if isinstance(found, int) else otherwise


def _order(value: Value) -> tuple[str, float, str]:
    if isinstance(value, str):
        return ("text", 0.0, value)
    return ("boolean" if isinstance(value, bool) else "number", float(value), "")
