"""Recording of predictions: one append a request, and a thread that counts and writes.

A request never waits for the database or the artifact root, and never fails by what is recorded.
"""

import logging
import os
import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import random
from types import TracebackType
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from models.errors import Invalid, LuthierError, NotFound
from models.monitoring.figures import Figures
from models.monitoring.log import LOGGED, LoggedAnswer, PredictionLog
from models.monitoring.storage import Minute, minute_of, write_figures
from models.registry.profile import TrainedColumn
from models.serving.engine import Prediction
from models.store.engine import Database
from models.store.tables import model_settings, now

MAX_PENDING = 100_000  # requests that wait to be counted
MAX_PENDING_BYTES = 64 * 1024**2  # of their inputs, about
MAX_OBSERVED = 20_000  # rows of a version whose columns are counted at once
MAX_OBSERVED_OF_REQUEST = 1000
MAX_UNWRITTEN = 10_000  # minutes that are kept while the database does not answer
_PATIENCE = 5  # times the interval, until what failed is tried again
_PLAIN = "p"

log = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]
Profile = Sequence[TrainedColumn]


@dataclass(slots=True)
class Answered:
    """One request to a version, as it waits to be counted."""

    model: str
    version: int
    seconds: float | None  # None without an answer
    rows: int = 0
    is_refused: bool = False
    logged: LoggedAnswer | None = None
    inputs: Mapping[str, Array] | None = None  # None: too many wait
    is_dropped: bool = False  # from the log


class Watch:
    """One request to a version, as a context: what is raised in it is an error of the request.

    Whoever answers sets `answer`. Nothing is recorded of a block that ends without either.
    """

    __slots__ = ("_began", "_recorder", "answer", "id", "model", "version")

    def __init__(self, recorder: "Recorder", model: str, version: int) -> None:
        self._recorder = recorder
        self.model = model
        self.version = version
        self.id = new_id(recorder.is_sampled(model))
        self.answer: Prediction | None = None
        self._began = time.perf_counter()

    def restart(self) -> None:
        """Measure the time from now on: loading a version is not part of its latency."""
        self._began = time.perf_counter()

    def __enter__(self) -> "Watch":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            is_refused = isinstance(error, Invalid | NotFound)
            self._recorder.add(Answered(self.model, self.version, None, is_refused=is_refused))
        elif self.answer is not None:
            self._recorder.answered(self.id, self.answer, time.perf_counter() - self._began)


class Recorder:
    """Counts the predictions of one process and keeps those that are to be logged.

    `profile_of` reads the training profile of a version, None for one without. `after` is called
    with the names of models of which something was written: by default it does nothing. Threads may
    share a recorder.
    """

    def __init__(
        self,
        database: Database,
        profile_of: Callable[[str, int], Profile | None],
        prediction_log: PredictionLog,
        every: float,
    ) -> None:
        self.after: Callable[[Iterable[str]], None] = lambda _: None
        self.log = prediction_log
        self._database = database
        self._profile_of = profile_of
        self._every = every
        self._process = secrets.token_hex(8)
        self._pending: deque[Answered] = deque(maxlen=MAX_PENDING)
        self._pending_bytes = 0
        self._samples: Mapping[str, float] = {}  # share of requests to log, by model
        self._counted: dict[Minute, Figures] = {}
        self._dirty: set[Minute] = set()
        self._touched: set[str] = set()
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, model: str, version: int) -> Watch:
        """Begin to record a request to a version."""
        return Watch(self, model, version)

    def is_sampled(self, model: str) -> bool:
        """Draw whether the next request to a model is logged."""
        share = self._samples.get(model)
        return share is not None and random() < share

    def answered(self, identity: str, answer: Prediction, seconds: float) -> None:
        """Record a request with an answer."""
        found = Answered(answer.model, answer.version, seconds, len(answer.predictions))
        is_logged = identity.startswith(LOGGED)
        size = sum(map(_bytes, answer.inputs.values()))
        if self._pending_bytes + size <= MAX_PENDING_BYTES:
            self._pending_bytes += size
            found.inputs = answer.inputs
            if is_logged:
                found.logged = LoggedAnswer(identity, answer)
        else:
            found.is_dropped = is_logged
        self.add(found)

    def add(self, answered: Answered) -> None:
        """Record a request; beyond MAX_PENDING the oldest is forgotten."""
        self._pending.append(answered)

    def touch(self, model: str) -> None:
        """Let `after` know of a model at the end of the next flush."""
        self._touched.add(model)

    def start(self) -> None:
        """Read the settings of models, and write from time to time, until `close`."""
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and write what was recorded."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.try_flush(whole=True)

    def refresh(self) -> None:
        """Read which models are logged; raises SQLAlchemyError."""
        query = select(model_settings.c.model, model_settings.c.prediction_log)
        query = query.where(model_settings.c.prediction_log.is_not(None))
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        self._samples = {row.model: float(row.prediction_log["sample"]) for row in rows}

    def flush(self, *, whole: bool = False) -> None:
        """Count what was recorded, and write the figures, and the log where it is due or all of it.

        Raises SQLAlchemyError and Unavailable; what is not written then is written later.
        """
        with self._turn:
            self._count(self._drain())
            try:
                self._write()
                touched, self._touched = self._touched, set()
            finally:
                self.log.flush(whole=whole)
        if touched:
            with _logged_errors():
                self.after(touched)

    def try_flush(self, *, whole: bool = False) -> None:
        """Do the same, and only log what fails."""
        with _logged_errors():
            self.flush(whole=whole)

    def _run(self) -> None:
        seconds = 0.0
        while not self._stop.wait(seconds):
            seconds = _PATIENCE * self._every
            with _logged_errors():
                self.flush()
                self.refresh()
                seconds = self._every

    def _drain(self) -> dict[tuple[str, int], list[Answered]]:
        """Take what has been recorded, by version."""
        found: dict[tuple[str, int], list[Answered]] = defaultdict(list)
        for _ in range(len(self._pending)):
            answered = self._pending.popleft()
            found[answered.model, answered.version].append(answered)
        self._pending_bytes = 0
        return found

    def _count(self, drained: Mapping[tuple[str, int], list[Answered]]) -> None:
        minute = minute_of(now())
        for (model, version), some in drained.items():
            figures = _figures_of(some)
            dropped = self.log.add([one.logged for one in some if one.logged])
            figures.dropped += dropped
            figures.logged -= dropped
            with _logged_errors():
                self._count_columns(figures, model, version, some)
            key = Minute(model, version, minute)
            self._counted.setdefault(key, Figures()).add(figures)
            self._dirty.add(key)
            self._touched.add(model)
        for key in sorted(self._counted, key=lambda key: key.minute)[:-MAX_UNWRITTEN]:
            del self._counted[key]
            self._dirty.discard(key)

    def _count_columns(
        self, figures: Figures, model: str, version: int, some: Sequence[Answered]
    ) -> None:
        profile = self._profile_of(model, version)
        parts = _sample([one.inputs for one in some if one.inputs])
        for column in profile or ():
            cells = [part[column.input] for part in parts if column.input in part]
            if cells and column.is_measured:
                figures.count_column(column.name, column.count(np.concatenate(cells)))

    def _write(self) -> None:
        if self._dirty:
            with self._database.write() as connection:
                write_figures(
                    connection, self._process, {key: self._counted[key] for key in self._dirty}
                )
            self._dirty.clear()
        present = minute_of(now())
        for key in [key for key in self._counted if key.minute < present]:
            if key not in self._dirty:
                del self._counted[key]


def new_id(is_logged: bool) -> str:
    """Return an id of a prediction: whether it is logged, the time, and 56 random bits."""
    kind = LOGGED if is_logged else _PLAIN
    return f"{kind}{time.time_ns() // 1_000_000:011x}{os.urandom(7).hex()}"


def _bytes(array: Array) -> int:
    """Return the bytes of an input, about: the lengths of some texts stand for all."""
    if array.dtype != object:
        return array.nbytes
    step = 1 + len(array) // 100
    return array.nbytes + step * sum(map(len, array[::step, 0].tolist()))


def _figures_of(some: Sequence[Answered]) -> Figures:
    figures = Figures(
        requests=len(some),
        rows=sum(one.rows for one in some),
        refused=sum(one.is_refused for one in some),
        failed=sum(one.seconds is None and not one.is_refused for one in some),
        logged=sum(one.logged is not None for one in some),
        dropped=sum(one.is_dropped for one in some),
    )
    figures.count_latencies([one.seconds for one in some if one.seconds is not None])
    return figures


def _sample(parts: Sequence[Mapping[str, Array]]) -> list[Mapping[str, Array]]:
    """Return the inputs of some requests with MAX_OBSERVED rows at most in all."""
    found: list[Mapping[str, Array]] = []
    rows = 0
    for part in parts:
        size = max(map(len, part.values()), default=0)
        step = max(1, -(-size // MAX_OBSERVED_OF_REQUEST))
        found.append(part if step == 1 else {name: array[::step] for name, array in part.items()})
        rows += -(-size // step)
        if rows >= MAX_OBSERVED:
            break
    return found


@contextmanager
def _logged_errors() -> Iterator[None]:
    """Log what fails in the block: it is tried again at the next flush."""
    try:
        yield
    except (SQLAlchemyError, LuthierError) as error:
        log.warning("predictions are recorded later: %s", error)
    except Exception:
        log.exception("predictions could not be recorded")
