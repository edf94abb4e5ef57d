"""Answers as tables: lines of CSV (RFC 4180), and a job's trials as one table."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import Any

from models.jobs.model import Trial

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs a text that begins so
_IN_MEMORY = 1 << 20  # characters of a table that are kept there; more go to a file
_RESULT = ("spread", "epochs_trained", "best_epoch", "parameters", "trainer")
_FIXED = (
    *("number", "state", "score", "fits", "seconds", "epochs"),
    *_RESULT,
    *("failure", "started", "finished"),
)


class _Echo:
    """Lets a CSV writer return what it writes."""

    def write(self, text: str) -> str:
        return text


def csv_lines(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield rows as lines of CSV, in the order given.

    Booleans are written as in JSON, and None is an empty cell.
    """
    writer: Any = csv.writer(_Echo())
    for row in rows:
        yield writer.writerow([str(c).lower() if isinstance(c, bool) else c for c in row])


class TrialTable:
    """Trials as CSV, whose columns are those of any of them; to be read once, and closed.

    Each entry of `values` and of `metrics` has a column, and each layer of a list one of its own
    (`values.units_1`, `values.units_2`). A text that a spreadsheet would run begins with `'`.
    The trials are read once, and kept in a file where they are many.
    """

    def __init__(self) -> None:
        self._rows = SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8")  # noqa: SIM115
        self._columns: dict[str, dict[tuple[str, int], None]] = {"metrics": {}, "values": {}}

    def add(self, trials: Iterable[Trial]) -> None:
        """Add trials to the end; closes the table if reading them fails."""
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            for trial in trials:
                self._add(trial)
            on_failure.pop_all()

    def _add(self, trial: Trial) -> None:
        parts = {
            "metrics": _parts((trial.result or {}).get("metrics") or {}),
            "values": _parts(trial.values),
        }
        for name, cells in parts.items():
            self._columns[name] |= dict.fromkeys(cells)
        listed = {name: list(cells.items()) for name, cells in parts.items()}
        self._rows.write(json.dumps([_fixed(trial), listed]) + "\n")

    def lines(self) -> Iterator[str]:
        """Yield the table with a line of headers."""
        return csv_lines(self._cells())

    def close(self) -> None:
        """Remove what was kept."""
        self._rows.close()

    def _cells(self) -> Iterator[list[Any]]:
        columns = {name: _in_order(found) for name, found in self._columns.items()}
        headers = [
            f"{part}.{name}" + (f"_{layer}" if layer else "")
            for part, found in columns.items()
            for name, layer in found
        ]
        yield [*_FIXED, *headers]
        with self._rows as file:
            file.seek(0)
            for line in file:
                fixed, listed = json.loads(line)
                for part, found in columns.items():
                    cells = {(name, layer): cell for (name, layer), cell in listed[part]}
                    fixed += [cells.get(column) for column in found]
                yield [_safe(cell) for cell in fixed]


def _fixed(trial: Trial) -> list[Any]:
    """Return the cells that every trial has, in the order of _FIXED."""
    result = dict(trial.result or {})
    result["epochs_trained"] = result.pop("epochs", None)
    return [
        *(trial.number, trial.state, trial.score, trial.fits, trial.seconds, trial.epochs),
        *(result.get(name) for name in _RESULT),
        *(trial.failure_kind, _moment(trial.started), _moment(trial.finished)),
    ]


def _moment(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _parts(found: Any) -> dict[tuple[str, int], Any]:
    """Return entries by name and layer, which is 0 for what is no list."""
    cells: dict[tuple[str, int], Any] = {}
    for name, value in found.items():
        if isinstance(value, list):
            cells |= {(name, layer): item for layer, item in enumerate(value, start=1)}
        else:
            cells[name, 0] = value
    return cells


def _in_order(columns: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Put the layers of a name beside each other, where the name came first."""
    places = {name: place for place, name in enumerate(dict.fromkeys(name for name, _ in columns))}
    return sorted(columns, key=lambda column: (places[column[0]], column[1]))


def _safe(cell: Any) -> Any:
    if isinstance(cell, list | dict):
        return json.dumps(cell, ensure_ascii=False)
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
