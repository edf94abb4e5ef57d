"""The prediction log: rows and answers as Parquet files below the artifact root.

A file holds answers of one version that one process gave within an interval. Its name says which
version, and the time of its first and last answer in milliseconds since 1970: so an id leads to its
file. pyarrow is imported inside the functions that use it, as a process that logs nothing does not
need it.
"""

import io
import logging
import re
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from models.data.columns import ColumnType
from models.data.preparation.tasks import ClassLabel
from models.errors import ArtifactError, NotFound, Unavailable
from models.registry.catalog.catalog import log_folder
from models.serving.engine import Prediction
from models.serving.signature import InputColumn, Signature
from models.store.artifacts import Artifacts

FOLDER = "logs"
LOGGED = "log"  # begins the ids of predictions that are logged
DEFAULT_KEEP_DAYS = 30.0
MAX_ROWS = 10_000  # of a version that wait to be written
MAX_WAITING = 50_000  # rows of a version that wait while the artifact root does not answer

_ID = re.compile(rf"{LOGGED}([0-9a-f]{{11}})[0-9a-f]{{14}}")
_FILE = re.compile(r"([0-9a-f]{11})-([0-9a-f]{11})-v([0-9]+)-[0-9a-f]{8}\.parquet")

Array = np.ndarray[Any, Any]

log = logging.getLogger(__name__)


class LoggedAnswer(NamedTuple):
    """An answer that is to be logged."""

    id: str
    answer: Prediction

    @property
    def time(self) -> int:
        """When it was asked for, in milliseconds."""
        return time_of(self.id) or 0


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """An answer out of the log."""

    version: int
    answers: list[Any]  # by row: a number, or the probabilities of the classes


class LogFile(NamedTuple):
    """A file of the log, by its name."""

    name: str  # below the artifact root
    model: str
    version: int
    first: int  # milliseconds
    last: int


@dataclass(slots=True)
class _Waiting:
    """Answers of one version that are not written yet."""

    since: float  # by the monotonic clock
    rows: int = 0
    answers: list[LoggedAnswer] = field(default_factory=list)


class PredictionLog:
    """Writes the log of one process, and finds answers in those of all.

    A file is written `seconds` after its first answer, or with MAX_ROWS rows. `signature_of` reads
    that of a version. Answers of a model that `is_gone` meanwhile are dropped. Threads may share a
    log.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        signature_of: Callable[[str, int], Signature],
        seconds: float,
        is_gone: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.seconds = seconds
        self._artifacts = artifacts
        self._signature_of = signature_of
        self._is_gone = is_gone
        self._waiting: dict[tuple[str, int], _Waiting] = {}
        self._lock = threading.Lock()

    def add(self, answers: Sequence[LoggedAnswer]) -> int:
        """Keep answers until they are written; return how many of them have no place."""
        dropped = 0
        with self._lock:
            for one in answers:
                key = (one.answer.model, one.answer.version)
                waiting = self._waiting.setdefault(key, _Waiting(time.monotonic()))
                rows = waiting.rows + len(one.answer.predictions)
                if rows > MAX_WAITING and waiting.rows:
                    dropped += 1
                else:
                    waiting.rows = rows
                    waiting.answers.append(one)
        return dropped

    def flush(self, *, whole: bool = False) -> None:
        """Write the files that are due, or all; raises Unavailable if the root does not answer."""
        with self._lock:
            present = time.monotonic()
            for key, waiting in list(self._waiting.items()):
                is_due = waiting.rows >= MAX_ROWS or present >= waiting.since + self.seconds
                if not whole and not is_due:
                    continue
                try:
                    if not self._is_gone(key[0]):
                        self._write(*key, waiting.answers)
                except Unavailable:
                    raise
                except NotFound as error:  # its version was deleted, and is not loaded
                    log.info("%d answers are not logged: %s", waiting.rows, error)
                except Exception:  # it would fail again, for ever
                    log.exception("%d answers of %s could not be logged", waiting.rows, key)
                del self._waiting[key]

    def find(self, model: str, ids: Collection[str]) -> dict[str, FoundAnswer]:
        """Return the answers of these ids that this process holds or any has written."""
        with self._lock:
            held = {
                one.id: one.answer
                for (name, _), waiting in self._waiting.items()
                if name == model
                for one in waiting.answers
            }
        found = {
            identity: FoundAnswer(answer.version, answer.probabilities or answer.predictions)
            for identity, answer in held.items()
            if identity in ids
        }
        return found | self._read_answers(model, {each for each in ids if each not in found})

    def files(self, model: str) -> Iterator[LogFile]:
        """Yield the files of a model's log, in the order of their first answers."""
        for file in self._artifacts.files(log_folder(model)):
            if known := log_file(file.name):
                yield known

    def read(self, file: LogFile) -> Any:
        """Return the pyarrow table of a file; raises ArtifactError or Unavailable."""
        import pyarrow.parquet

        return pyarrow.parquet.read_table(io.BytesIO(self._artifacts.read(file.name)))

    def _read_answers(self, model: str, ids: Collection[str]) -> dict[str, FoundAnswer]:
        times = {moment for each in ids if (moment := time_of(each)) is not None}
        days = {_day(moment - shift) for moment in times for shift in (0, 86_400_000)}
        found: dict[str, FoundAnswer] = {}
        for day in sorted(days):
            for stored in self._artifacts.files(f"{log_folder(model)}/{day}"):
                file = log_file(stored.name)
                if file and any(file.first <= moment <= file.last for moment in times):
                    found |= self._answers_in(file, ids)
        return found

    def _answers_in(self, file: LogFile, ids: Collection[str]) -> dict[str, FoundAnswer]:
        try:
            table = self.read(file)
        except ArtifactError:
            return {}  # it was too old just now
        is_regression = "probabilities" not in table.column_names
        answers = table.column("prediction" if is_regression else "probabilities").to_pylist()
        rows: dict[str, list[Any]] = defaultdict(list)
        for identity, answer in zip(
            table.column("prediction_id").to_pylist(), answers, strict=True
        ):
            if identity in ids:
                rows[identity].append(answer)
        return {identity: FoundAnswer(file.version, found) for identity, found in rows.items()}

    def _write(self, model: str, version: int, answers: Sequence[LoggedAnswer]) -> None:
        import pyarrow.parquet

        table = _table(self._signature_of(model, version), answers)
        times = [one.time for one in answers]
        first, last = min(times), max(times)
        name = f"{first:011x}-{last:011x}-v{version}-{secrets.token_hex(4)}.parquet"
        sink = io.BytesIO()
        pyarrow.parquet.write_table(table, sink)
        self._artifacts.write(f"{log_folder(model)}/{_day(first)}/{name}", sink.getvalue())


def log_file(name: str) -> LogFile | None:
    """Read the name of a file below the artifact root; None if it is no file of a log."""
    parts = name.split("/")
    known = _FILE.fullmatch(parts[-1])
    if known is None or len(parts) != 4 or parts[0] != FOLDER:
        return None
    first, last, version = known.groups()
    return LogFile(name, parts[1], int(version), int(first, 16), int(last, 16))


def time_of(identity: str) -> int | None:
    """Return when a logged prediction was asked for, in milliseconds; None for other ids."""
    known = _ID.fullmatch(identity)
    return None if known is None else int(known[1], 16)


def drop_old_files(artifacts: Artifacts, keep_days: Callable[[str], float]) -> int:
    """Delete the files of logs that are older than `keep_days(model)` days; return how many."""
    gone = 0
    present = time.time() * 1000
    for stored in artifacts.files(FOLDER):
        file = log_file(stored.name)
        if file and file.last < present - keep_days(file.model) * 86_400_000:
            try:
                artifacts.delete(file.name)
            except Unavailable:
                return gone
            gone += 1
    return gone


def _day(milliseconds: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=max(0, milliseconds))
    return f"{moment:%Y%m%d}"


def _table(signature: Signature, answers: Sequence[LoggedAnswer]) -> Any:
    """Return one row a row of each answer, with its cells in the struct `inputs`."""
    import pyarrow as pa

    sizes = [len(one.answer.predictions) for one in answers]
    moments = np.repeat(np.array([one.time for one in answers], dtype="datetime64[ms]"), sizes)
    columns = {
        "prediction_id": pa.array(np.repeat([one.id for one in answers], sizes)),
        "time": pa.array(moments, pa.timestamp("ms", "UTC")),
        "row": pa.array(np.concatenate([np.arange(size) for size in sizes])),
        "prediction": _labels([label for one in answers for label in one.answer.predictions]),
    }
    if signature.classes:
        shares = [row for one in answers for row in one.answer.probabilities or ()]
        columns["probabilities"] = pa.array(shares, pa.list_(pa.float64()))
    inputs = {
        column.name: _cells(column, [one.answer.inputs[column.input] for one in answers])
        for column in signature.columns
    }
    columns["inputs"] = pa.StructArray.from_arrays(list(inputs.values()), list(inputs))
    return pa.table(columns)


def _labels(labels: list[ClassLabel | float]) -> Any:
    """Return predictions as numbers, booleans or texts; labels of several types as texts."""
    import pyarrow as pa

    kinds = {type(label) for label in labels}
    if kinds <= {bool} or kinds <= {str}:
        return pa.array(labels)
    if kinds <= {int, float}:
        return pa.array(labels, pa.float64())
    return pa.array([str(label) for label in labels])


def _cells(column: InputColumn, parts: Sequence[Array]) -> Any:
    """Return the cells of one column: numbers, booleans, times, texts, or flat images."""
    import pyarrow as pa

    cells = np.concatenate(parts)
    if column.type is ColumnType.IMAGE:
        return pa.array(list(cells.reshape(len(cells), -1)), pa.list_(pa.float32()))
    flat = cells[:, 0]
    if column.type.is_text:
        return pa.array([text or None for text in flat.tolist()], pa.string())
    missing = np.isnan(flat)
    if column.type is ColumnType.BOOLEAN:
        return pa.array(flat == 1, pa.bool_(), mask=missing)
    if column.type is ColumnType.DATETIME:
        microseconds = np.round(np.where(missing, 0, flat) * 1e6).astype(np.int64)
        return pa.array(
            microseconds.astype("datetime64[us]"), pa.timestamp("us", "UTC"), mask=missing
        )
    return pa.array(flat, pa.float64(), mask=missing)
