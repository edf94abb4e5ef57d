"""True values of predictions, and the live scores of versions by them."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from models.data.preparation.tasks import ClassLabel, Task
from models.errors import InProgress, Invalid, NotFound
from models.monitoring.log import FoundAnswer, time_of
from models.monitoring.recorder import Recorder
from models.serving.engine import PredictionEngine
from models.serving.signature import Signature
from models.store.audit import tell
from models.store.engine import Database
from models.store.tables import feedback, now
from models.trials.metrics import Metrics, class_metrics, regression_metrics

MAX_SCORED = 20_000  # predictions of a version, the newest, that a live score is made of
_NOT_LOGGED = "This prediction was not logged: send its rows as `instances`."
_AGAIN_MARGIN = 5000  # milliseconds beyond the interval of the log

Row = dict[str, Any]  # of the table `feedback`


@dataclass(frozen=True, slots=True)
class TrueValues:
    """The true values of one prediction, one a row; None where it is not known."""

    prediction_id: str
    truth: Sequence[Any]


@dataclass(frozen=True, slots=True)
class LiveScore:
    """The metrics of a version on the rows whose truth is known."""

    rows: int
    metrics: Metrics | None  # None without rows
    note: str | None = None  # why these are not all


class Feedback:
    """Stores the truth beside the answers of versions, and scores these."""

    def __init__(
        self, database: Database, predictions: PredictionEngine, recorder: Recorder
    ) -> None:
        self._database = database
        self._predictions = predictions
        self._recorder = recorder

    def add(self, model: str, items: Sequence[TrueValues], paths: Sequence[str]) -> int:
        """Store the truth of logged predictions; return how many rows have one now.

        What was stored for the same id is replaced. `paths` name the items in messages. Raises
        Invalid for ids that were not logged and truths that do not fit, NotFound for a prediction
        that is not in the log, and InProgress for one that is not there yet.
        """
        errors = {
            f"{path}prediction_id": [_NOT_LOGGED]
            for item, path in zip(items, paths, strict=True)
            if time_of(item.prediction_id) is None
        }
        if errors:
            raise Invalid(errors)
        self._recorder.try_flush()
        found = self._recorder.log.find(model, {item.prediction_id for item in items})
        self._check_found(model, items, found)
        rows = {}
        for item, path in zip(items, paths, strict=True):
            answer = found[item.prediction_id]
            truth = self._read(model, answer.version, item.truth, len(answer.answers), path)
            rows[item.prediction_id] = self._row(
                model, answer.version, truth, answer.answers, item.prediction_id
            )
        self._store(model, list(rows.values()))
        return _known(rows.values())

    def add_rows(
        self, model: str, version: int, instances: Sequence[object], truth: Sequence[Any]
    ) -> int:
        """Let a version answer rows anew and store the truth; return how many rows have one.

        Raises as `PredictionEngine.predict`, and Invalid at `truth`.
        """
        answer = self._predictions.predict(model, version, instances)
        known = self._read(model, version, truth, len(answer.predictions), "")
        answers = answer.probabilities or answer.predictions
        rows = [self._row(model, version, known, answers)]
        self._store(model, rows)
        return _known(rows)

    def score(self, model: str, version: int, since: datetime) -> LiveScore | None:
        """Return the score of a version by what came since; None if nothing did."""
        query = (
            select(feedback.c.truth, feedback.c.answers)
            .where(
                feedback.c.model == model,
                feedback.c.version == version,
                feedback.c.received >= since,
            )
            .order_by(feedback.c.received.desc())
            .limit(MAX_SCORED + 1)
        )
        with self._database.read() as connection:
            found = connection.execute(query).all()
        if not found:
            return None
        note = None if len(found) <= MAX_SCORED else f"Of the newest {MAX_SCORED:,} predictions."
        pairs = [
            (value, answer)
            for row in found[:MAX_SCORED]
            for value, answer in zip(row.truth, row.answers, strict=True)
            if value is not None
        ]
        if not pairs:
            return LiveScore(0, None, "No true value is known.")
        signature = self._predictions.signature(model, version)
        return LiveScore(len(pairs), _metrics(signature, pairs), note)

    def _check_found(
        self, model: str, items: Sequence[TrueValues], found: Mapping[str, FoundAnswer]
    ) -> None:
        present = now().timestamp() * 1000
        for item in items:
            if item.prediction_id in found:
                continue
            age = present - (time_of(item.prediction_id) or 0)
            interval = self._recorder.log.seconds
            if 0 <= age < 1000 * interval + _AGAIN_MARGIN:
                raise InProgress(
                    f"The answer {item.prediction_id} is not in the log yet.", round(interval) + 1
                )
            raise NotFound("logged prediction", item.prediction_id, f"model {model!r}")

    def _read(
        self, model: str, version: int, truth: Sequence[Any], rows: int, path: str
    ) -> list[float | int | None]:
        """Return true values as numbers, or numbers of classes; None where one is not known."""
        if len(truth) != rows:
            raise Invalid.at(f"{path}truth", f"Has {len(truth)} values for {rows} rows.")
        signature = self._predictions.signature(model, version)
        read = _class_reader(signature) if signature.classes else _number
        errors: dict[str, list[str]] = {}
        values: list[float | int | None] = []
        for row, value in enumerate(truth):
            try:
                values.append(None if value is None else read(value))
            except ValueError as error:
                errors[f"{path}truth.{row}"] = [str(error)]
        if errors:
            raise Invalid(dict(list(errors.items())[:20]))
        return values

    def _row(
        self,
        model: str,
        version: int,
        truth: Sequence[Any],
        answers: Sequence[Any],
        prediction_id: str | None = None,
    ) -> Row:
        return {
            "model": model,
            "version": version,
            "prediction_id": prediction_id,
            "received": now(),
            "truth": list(truth),
            "answers": list(answers),
        }

    def _store(self, model: str, rows: Sequence[Row]) -> None:
        ids = [row["prediction_id"] for row in rows if row["prediction_id"]]
        stored = False
        while not stored:
            with suppress(IntegrityError), self._database.write() as connection:
                known = (feedback.c.model == model, feedback.c.prediction_id.in_(ids))
                if ids:
                    connection.execute(delete(feedback).where(*known))
                connection.execute(insert(feedback), list(rows))
                tell(predictions=len(rows), rows=_known(rows))
                stored = True
        self._recorder.touch(model)


def _known(rows: Iterable[Row]) -> int:
    """Return how many true values rows of the table have."""
    return sum(value is not None for row in rows for value in row["truth"])


def _metrics(signature: Signature, pairs: Sequence[tuple[Any, Any]]) -> Metrics:
    """Return the metrics of pairs of truth and answer, without the name `loss` of one of them."""
    truth, answers = (np.array(values) for values in zip(*pairs, strict=True))
    if signature.classes:
        found = class_metrics(
            truth.astype(np.int64),
            answers,
            Task(signature.task),
            signature.positive if len(signature.classes) == 2 else None,
            signature.threshold,
        )
    else:
        with np.errstate(over="ignore"):  # of a huge true value: the score is null then
            found = regression_metrics(truth.astype(np.float64), answers)
    return {name: value for name, value in found.items() if name != "loss"}


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        raise ValueError("Must be a finite number, or null where it is not known.")
    return float(value)


def _class_reader(signature: Signature) -> Any:
    numbers = {(isinstance(label, bool), label): n for n, label in enumerate(signature.classes)}

    def read(value: ClassLabel) -> int:
        try:
            return numbers[isinstance(value, bool), value]
        except (KeyError, TypeError):
            known = ", ".join(map(repr, signature.classes[:10]))
            more = ", …" if len(signature.classes) > 10 else ""
            raise ValueError(f"Is no class of the version: {known}{more}.") from None

    return read
