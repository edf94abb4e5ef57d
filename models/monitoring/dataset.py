"""Logged rows with their true values as a dataset to tune with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import select

from models.data.columns import ColumnType, measure
from models.data.dataset import Dataset
from models.errors import ArtifactError, Invalid, NotFound
from models.monitoring.log import LogFile, PredictionLog
from models.serving.signature import InputColumn, Signature
from models.store.engine import Database
from models.store.tables import feedback

Array = np.ndarray[Any, Any]
Truths = Mapping[str, Sequence[Any]]  # by id, one a row; None where it is not known


@dataclass(frozen=True, slots=True)
class LoggedRows:
    """The dataset, and what was left out."""

    dataset: Dataset
    versions: tuple[int, ...]  # whose rows it has
    without_truth: int  # rows in the log of which no true value is known


class LoggedData:
    """Puts the log of a model and its feedback together. Predictions never stand in for truth."""

    def __init__(
        self,
        database: Database,
        log: PredictionLog,
        signature_of: Callable[[str, int], Signature],
    ) -> None:
        self._database = database
        self._log = log
        self._signature_of = signature_of

    def rows(
        self, model: str, since: datetime | None, until: datetime | None, most: int
    ) -> LoggedRows:
        """Return at most `most` rows that were predicted from `since` until before `until`.

        They are of the newest version with such rows, and of others with the same columns and
        target. Raises Invalid at `from_log` if there is none.
        """
        low = 0 if since is None else round(since.timestamp() * 1000)
        high = 2**62 if until is None else round(until.timestamp() * 1000)
        files = [file for file in self._log.files(model) if file.last >= low and file.first < high]
        truths = self._truths(model, since)
        signature, files = self._alike(model, files)
        parts: list[tuple[Any, list[Any]]] = []
        versions: set[int] = set()
        count = without = 0
        for file in files:
            table = self._read(file)
            if table is None:
                continue
            chosen, values, lacking = _with_truth(table, truths, low, high)
            without += lacking
            if values and count < most:
                parts.append((table.take(chosen[: most - count]), values[: most - count]))
                versions.add(file.version)
                count += len(parts[-1][1])
        if signature is None or not parts:
            raise Invalid.at(
                "from_log",
                f"No logged row of model {model!r} has a true value in this time: send some by"
                f" `prediction_id` to POST /models/{model}/feedback.",
            )
        return LoggedRows(_dataset(signature, parts), tuple(sorted(versions)), without)

    def _truths(self, model: str, since: datetime | None) -> Truths:
        """Return the truth of every id; none comes before its prediction."""
        query = select(feedback.c.prediction_id, feedback.c.truth).where(
            feedback.c.model == model, feedback.c.prediction_id.is_not(None)
        )
        if since is not None:
            query = query.where(feedback.c.received >= since)
        with self._database.read() as connection:
            return {row.prediction_id: row.truth for row in connection.execute(query)}

    def _alike(
        self, model: str, files: Sequence[LogFile]
    ) -> tuple[Signature | None, list[LogFile]]:
        """Return the newest version's signature, and the files of versions with the same one."""
        signatures: dict[int, Signature] = {}
        for version in {file.version for file in files}:
            try:
                signatures[version] = self._signature_of(model, version)
            except NotFound:
                continue  # it was deleted
        if not signatures:
            return None, []
        newest = signatures[max(signatures)]
        alike = {v for v, found in signatures.items() if _contract(found) == _contract(newest)}
        return newest, [file for file in files if file.version in alike]

    def _read(self, file: LogFile) -> Any:
        try:
            return self._log.read(file)
        except ArtifactError:
            return None  # it was too old just now


def _contract(signature: Signature) -> object:
    columns = [(column.name, column.type, column.shape) for column in signature.columns]
    return signature.task, signature.target, signature.classes, columns


def _with_truth(
    table: Any, truths: Truths, low: int, high: int
) -> tuple[list[int], list[Any], int]:
    """Return the places and true values of rows of a file, and how many others there are."""
    chosen, values, lacking = [], [], 0
    moments = table.column("time").to_numpy().astype("datetime64[ms]").astype(np.int64)
    ids, rows = (table.column(name).to_pylist() for name in ("prediction_id", "row"))
    for place, (identity, row, time) in enumerate(zip(ids, rows, moments.tolist(), strict=True)):
        if not low <= time < high:
            continue
        known = truths.get(identity, ())
        if row < len(known) and known[row] is not None:
            chosen.append(place)
            values.append(known[row])
        else:
            lacking += 1
    return chosen, values, lacking


def _dataset(signature: Signature, parts: Sequence[tuple[Any, list[Any]]]) -> Dataset:
    import pyarrow as pa

    inputs = pa.concat_tables([table.select(["inputs"]) for table, _ in parts])
    cells = inputs.flatten()
    values = {
        column.name: _values(column, cells.column(f"inputs.{column.name}"))
        for column in signature.columns
    }
    columns = [
        measure(column.name, column.type, values[column.name], spelling=column.spelling)
        for column in signature.columns
    ]
    truth = [value for _, some in parts for value in some]
    kind, target = _target(signature, truth)
    values[signature.target] = target
    columns.append(measure(signature.target, kind, target))
    return Dataset(tuple(columns), values)


def _values(column: InputColumn, cells: Any) -> Array:
    """Return the cells of one column as a `Dataset` holds them."""
    if column.type is ColumnType.IMAGE:
        images: Array = np.array(cells.to_pylist(), dtype=np.float32)
        return images.reshape(len(images), *column.shape)
    if column.type.is_text:
        texts = np.empty(len(cells), dtype=object)
        texts[:] = cells.to_pylist()
        return texts
    if column.type is ColumnType.DATETIME:
        microseconds: Array = cells.cast("int64").cast("float64", safe=False).to_numpy()
        return microseconds / 1e6
    numbers: Array = cells.cast("float64").to_numpy()
    return numbers


def _target(signature: Signature, truth: Sequence[Any]) -> tuple[ColumnType, Array]:
    """Return true values as a column; those of a classification are numbers of classes."""
    if not signature.classes:
        return ColumnType.NUMBER, np.array(truth, dtype=np.float64)
    labels = [signature.classes[number] for number in truth]
    if all(isinstance(label, bool) for label in signature.classes):
        return ColumnType.BOOLEAN, np.array(labels, dtype=np.float64)
    if all(isinstance(label, int) for label in signature.classes):
        return ColumnType.NUMBER, np.array(labels, dtype=np.float64)
    texts = np.empty(len(labels), dtype=object)
    texts[:] = [str(label) for label in labels]
    return ColumnType.CATEGORY, texts
