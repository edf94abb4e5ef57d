"""Predictions by registered versions, whose ONNX Runtime sessions are loaded once and kept."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import compress
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
import onnxruntime

from models.data.columns import ColumnType
from models.data.datetimes import PARTS, expand
from models.data.preparation.tasks import ClassLabel
from models.data.table import Table
from models.errors import Invalid, NotFound, Unreadable
from models.registry.certainty.conformal import Conformal
from models.registry.documents import (
    CALIBRATION_FILE,
    CalibrationSchema,
    SignatureSchema,
    check_document,
    parse_json,
)
from models.registry.files import VersionFiles
from models.serving.cells import Array, Cells
from models.serving.signature import MAX_MESSAGES, STRICT, ColumnRules, Signature
from models.trials.metrics import predicted_classes


@dataclass(frozen=True, slots=True)
class Prediction:
    """A version's answer to some instances, ready for strict JSON."""

    model: str
    version: int
    predictions: list[Any]  # a number or a class an instance
    probabilities: list[list[float]] | None = None  # in the order of `classes`
    classes: list[ClassLabel] | None = None  # None for a regression
    threshold: float | None = None  # of the predictions; None: the most probable class
    interval: float | None = None  # the level of what follows
    lower: list[float] | None = None  # of a regression
    upper: list[float] | None = None
    labels: list[list[ClassLabel]] | None = None  # of classes: the set of each instance
    id: str = ""  # by which feedback names it, where the answer is recorded
    # What was answered, as `Signature.feed` makes it; for `models.monitoring`.
    inputs: Mapping[str, Array] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """What is wanted beside plain predictions."""

    interval: float | None = None  # a level above 0 and below 1
    threshold: float | None = None  # of two classes, in place of the version's own


Rows: TypeAlias = Table | Mapping[str, Cells] | Sequence[object]
"""A table, cells by column, or rows as objects or lists."""

RowsOf: TypeAlias = Callable[[Signature], Rows]
"""What makes rows for the version that is to answer them."""

PLAIN_ANSWER = AnswerOptions()
NOT_FINITE = (
    "The model has no finite answer: a number lies too far from those that it learned from, or"
    " is missing and the graph takes no missing one."
)
_NO_INTERVALS = Conformal(
    0, (), note="It has no calibration file, as imported and very old versions."
)
# That the graph computes at once: more do not fit into the cache. Three layers of 256 units take
# 230 ms of one core for 10,000 rows at once, 160 ms in parts of 500, and give the same bits.
_RUN_ROWS = 512


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version that is ready to predict; threads may share it."""

    model: str
    version: int
    signature: Signature
    session: Any  # onnxruntime.InferenceSession
    expanded: tuple[str, ...] = ()  # inputs of datetimes that an older graph takes as five parts
    conformal: Conformal = _NO_INTERVALS
    is_flat: bool = False  # whether the graph takes (rows,) of each column, else (rows, 1)
    answers: tuple[str, ...] | None = None  # outputs that are wanted of the graph; None: all
    max_rows: int | None = None  # of one request; None: any number

    def predict(
        self,
        rows: Rows | RowsOf,
        rules: ColumnRules = STRICT,
        options: AnswerOptions = PLAIN_ANSWER,
    ) -> Prediction:
        """Answer rows of any form.

        Raises Invalid for rows that do not fit or are too many, and as `answer`.
        """
        if callable(rows):
            rows = rows(self.signature)
        if isinstance(rows, Table):
            from models.data.cells.conversion import listed_cells

            rows = listed_cells(rows)
        if isinstance(rows, Mapping):
            self._check_count("body", max(map(len, rows.values()), default=0))
            return self.answer(self.signature.feed_columns(rows, rules), options)
        self._check_count("instances", len(rows))
        return self.answer(self.signature.feed(rows, rules), options)

    def _check_count(self, path: str, rows: int) -> None:
        limit = self.max_rows
        if limit is not None and rows > limit:
            raise Invalid.at(
                path, f"There are {rows:,} rows, more than the {limit:,} of LUTHIER_MAX_INSTANCES."
            )

    def answer(
        self, inputs: Mapping[str, Array], options: AnswerOptions = PLAIN_ANSWER
    ) -> Prediction:
        """Predict rows of inputs, as `Signature.feed` makes them.

        Raises Invalid at `instances.<row>` for a row whose answer is not finite, at `interval`
        for a level that the version's calibration rows do not allow, and at `threshold` for one of
        a version that has not two classes.
        """
        if options.threshold is not None and len(self.signature.classes) != 2:
            raise Invalid.at("threshold", "Only a version of two classes has a threshold.")
        output = self.outputs(inputs)
        _check_finite(output)
        if not self.signature.classes:
            found = Prediction(self.model, self.version, output[:, 0].tolist(), inputs=inputs)
            if options.interval is None:
                return found
            lower, upper = self.conformal.bounds(output[:, 0], options.interval)
            return replace(
                found, interval=options.interval, lower=lower.tolist(), upper=upper.tolist()
            )
        classes = list(self.signature.classes)
        own = self.signature.threshold
        threshold = own if options.threshold is None else options.threshold
        winners = predicted_classes(output, self.signature.positive, threshold)
        found = Prediction(
            model=self.model,
            version=self.version,
            predictions=[classes[winner] for winner in winners.tolist()],
            probabilities=output.tolist(),
            classes=classes,
            threshold=threshold,
            inputs=inputs,
        )
        if options.interval is None:
            return found
        sets = self.conformal.label_sets(output, options.interval)
        sets[np.arange(len(sets)), winners] = True  # a threshold may answer the less probable one
        labels = [list(compress(classes, inside)) for inside in sets.tolist()]
        return replace(found, interval=options.interval, labels=labels)

    def outputs(self, inputs: Mapping[str, Array]) -> Array:
        """Return what the graph computes, (rows, 1) or (rows, classes), perhaps not finite."""
        feed = dict(inputs)
        if self.is_flat:
            feed = {name: cells[:, 0] for name, cells in inputs.items()}
        for name in self.expanded:
            feed[name] = expand(feed[name][:, 0])
        rows = len(next(iter(feed.values())))
        if rows <= _RUN_ROWS:
            found: Array = self.session.run(self.answers, feed)[0]
            return found
        parts = []
        for start in range(0, rows, _RUN_ROWS):
            part = {name: cells[start : start + _RUN_ROWS] for name, cells in feed.items()}
            parts.append(self.session.run(self.answers, part)[0])
        return np.concatenate(parts)


class PredictionEngine:
    """Answers predictions and keeps the `capacity` versions that were used last.

    Versions never change, so a loaded one stays valid. Threads may share an engine: when several
    ask for a version that is not loaded, one loads it and the others wait. A version that cannot
    be loaded is not kept, so that the next request tries again.
    """

    def __init__(self, files: VersionFiles, capacity: int, max_rows: int | None = None) -> None:
        self._files = files
        self._capacity = capacity
        self._max_rows = max_rows
        self._loaded: OrderedDict[tuple[str, int], Future[LoadedVersion]] = OrderedDict()
        self._lock = Lock()

    def predict(
        self,
        model: str,
        version: int,
        rows: Rows | RowsOf,
        rules: ColumnRules = STRICT,
        options: AnswerOptions = PLAIN_ANSWER,
    ) -> Prediction:
        """Answer rows with one version; raises as `load` and `LoadedVersion.predict`."""
        return self.load(model, version).predict(rows, rules, options)

    def load(self, model: str, version: int) -> LoadedVersion:
        """Return a version, read from its files unless it is held.

        Raises ArtifactError if a file of the version is missing or not the one that was
        registered, and Unreadable if this version of Luthier cannot read one.
        """
        key = (model, version)
        with self._lock:
            held = self._loaded.get(key)
            if held is not None:
                self._loaded.move_to_end(key)
            else:
                mine = self._loaded[key] = Future()
                if len(self._loaded) > self._capacity:
                    self._loaded.popitem(last=False)
        if held is not None:
            return held.result()
        try:
            mine.set_result(_read_version(self._files, model, version, self._max_rows))
        except BaseException as error:
            with self._lock:
                if self._loaded.get(key) is mine:
                    del self._loaded[key]
            mine.set_exception(error)
        return mine.result()

    def signature(self, model: str, version: int) -> Signature:
        """Return what a version takes and gives; raises as `load`."""
        return self.load(model, version).signature

    def held(self) -> tuple[tuple[str, int], ...]:
        """List the versions held, the one used last at the end."""
        with self._lock:
            return tuple(self._loaded)


def _read_version(
    files: VersionFiles, model: str, version: int, max_rows: int | None
) -> LoadedVersion:
    content = files.read(model, version, "model.onnx")
    document = files.read(model, version, "signature.json")
    what = f"version {version} of model {model!r}"
    signature = parse_json(document, f"signature.json of {what}")
    check_document(signature, SignatureSchema(), f"signature.json of {what}")
    try:
        session = onnxruntime.InferenceSession(
            content, sess_options=session_options(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise Unreadable(f"model.onnx of {what}", str(error)) from error
    loaded = Signature.from_json(signature)
    moments = {column.input for column in loaded.columns if column.type == ColumnType.DATETIME}
    expanded = tuple(
        entry.name
        for entry in session.get_inputs()
        if entry.name in moments and entry.shape[1:] == [len(PARTS)]
    )
    is_flat = all(len(entry.shape) == 1 for entry in session.get_inputs())
    conformal = _read_conformal(files, model, version)
    answers = (session.get_outputs()[0].name,)
    return LoadedVersion(
        model, version, loaded, session, expanded, conformal, is_flat, answers, max_rows
    )


def _read_conformal(files: VersionFiles, model: str, version: int) -> Conformal:
    try:
        files.entry(model, version, CALIBRATION_FILE)
    except NotFound:  # of an older release
        return _NO_INTERVALS
    what = f"{CALIBRATION_FILE} of version {version} of model {model!r}"
    document = parse_json(files.read(model, version, CALIBRATION_FILE), what)
    check_document(document, CalibrationSchema(), what)
    return Conformal.from_json(document)


def session_options() -> Any:
    """Return the options of ONNX Runtime for a session that many threads use."""
    # A request is too small to split: more threads only wait for each other, and the server
    # already has a thread a request.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def _check_finite(output: Array) -> None:
    finite = np.isfinite(output)
    if not finite.all():
        rows = np.flatnonzero(~finite.all(axis=1))[:MAX_MESSAGES].tolist()
        raise Invalid({f"instances.{row}": [NOT_FINITE] for row in rows})
