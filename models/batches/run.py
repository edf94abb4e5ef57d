"""The work on one claimed batch: piece by piece, each stored and counted before the next."""

from collections.abc import Iterator
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa

from models.batches.model import Batch
from models.batches.output import ERROR, ResultFile, answer_columns, named_apart
from models.batches.queue import HeldBatch
from models.data.library.pieces import Cells, Piece, read_pieces
from models.errors import Invalid, Unreadable
from models.serving.engine import NOT_FINITE, LoadedVersion, Prediction, PredictionEngine
from models.store.artifacts import Artifacts


class BatchRun:
    """Predicts the rows of a batch that are not done yet.

    Parts have numbers and are written as a whole. One is counted after it is stored, so a batch
    goes on after the last counted part, and writes the next one again if it is there.
    """

    def __init__(
        self, held: HeldBatch, artifacts: Artifacts, predictions: PredictionEngine
    ) -> None:
        self._held = held
        self._artifacts = artifacts
        self._predictions = predictions

    def steps(self) -> Iterator[Batch]:
        """Store one part after the other, then the result; yield the batch after each step.

        Raises LeaseLost once another worker has the batch, or it was cancelled or deleted. Raises
        what reading the version and the rows raises.
        """
        batch = self._held.read()
        spec = batch.spec
        loaded = self._predictions.load(batch.model, batch.version)
        result = ResultFile(self._artifacts, batch)
        takes = loaded.signature.takes
        number, start = batch.parts, batch.rows_done
        for piece in read_pieces(
            self._artifacts, batch.source, start, spec.piece_rows, takes, spec.keep
        ):
            columns, failed = _answered(piece, loaded, batch)
            result.write_part(number, named_apart(piece.kept, columns))
            self._held.store_part(number, piece.rows, failed)
            number += 1
            yield self._held.read()
        if self._held.batch.rows_done != batch.rows:
            found = f"There are {self._held.batch.rows_done:,} rows, not {batch.rows:,}."
            raise Unreadable(f"the stored rows in {batch.source!r}", found)
        self._held.succeed(*result.put_together(number))


def _answered(piece: Piece, loaded: LoadedVersion, batch: Batch) -> tuple[dict[str, Cells], int]:
    """Return the columns of the answer to a piece, and how many rows have none.

    Such a row has an empty answer and, in `error`, the rule that it breaks.
    """
    errors: dict[int, str] = {}
    prediction: Prediction | None
    try:
        feed = loaded.signature.feed_columns(piece.cells, batch.spec.rules)
        prediction = loaded.answer(feed, batch.spec.options)
    except Invalid:
        prediction, errors = _answered_where_possible(piece, loaded, batch)
    classes = loaded.signature.classes
    columns = answer_columns(prediction, classes, batch.spec.interval)
    if errors:
        answered = [row for row in range(piece.rows) if row not in errors]
        columns = {name: _spread(cells, answered, piece.rows) for name, cells in columns.items()}
    messages = [errors.get(row) for row in range(piece.rows)] if errors else [None] * piece.rows
    return columns | {ERROR: Cells(messages, pa.string())}, len(errors)


def _answered_where_possible(
    piece: Piece, loaded: LoadedVersion, batch: Batch
) -> tuple[Prediction | None, dict[int, str]]:
    """Answer the rows that have an answer; return it, and the errors of the others by place."""
    signature, spec = loaded.signature, batch.spec
    errors = signature.cell_problems(piece.cells)
    good = [row not in errors for row in range(piece.rows)]
    if not any(good):
        return None, errors
    cells = {name: list(compress(listed, good)) for name, listed in piece.cells.items()}
    feed = signature.feed_columns(cells, spec.rules)
    finite = np.isfinite(loaded.outputs(feed)).all(axis=1)
    places = np.flatnonzero(good)
    errors |= dict.fromkeys(places[~finite].tolist(), NOT_FINITE)
    if not finite.any():
        return None, errors
    feed = {name: array[finite] for name, array in feed.items()}
    return loaded.answer(feed, spec.options), errors


def _spread(column: Cells, places: list[int], rows: int) -> Cells:
    """Return the cells of some rows at their places among all, None elsewhere."""
    cells: list[Any] = [None] * rows
    for place, cell in zip(places, column.cells, strict=True):
        cells[place] = cell
    return Cells(cells, column.type)
