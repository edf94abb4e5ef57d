"""Predictions by registered versions, whose ONNX Runtime sessions are loaded once and kept."""

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import onnxruntime

from models.data.formats.table import Table
from models.data.preparation.tasks import ClassLabel
from models.errors import Invalid, Unreadable
from models.registry.documents import SignatureSchema, check_document, parse_json
from models.registry.files import VersionFiles
from models.serving.cells import Array
from models.serving.signature import Signature


@dataclass(frozen=True, slots=True)
class Prediction:
    """A version's answer to some instances, ready for strict JSON."""

    model: str
    version: int
    predictions: list[Any]  # a number or a class an instance; None where it is not finite
    probabilities: list[list[float | None]] | None = None  # in the order of `classes`
    classes: list[ClassLabel] | None = None  # None for a regression


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version that is ready to predict; threads may share it."""

    model: str
    version: int
    signature: Signature
    session: Any  # onnxruntime.InferenceSession

    def predict(self, instances: Sequence[object]) -> Prediction:
        """Predict `instances`, in their order; raises Invalid if one does not fit."""
        output: Array = self.session.run(None, self.signature.feed(instances))[0]
        if self.signature.classes:
            return self._classified(output)
        return Prediction(self.model, self.version, _finite(output[:, 0]))

    def _classified(self, probabilities: Array) -> Prediction:
        classes = list(self.signature.classes)
        certain: list[bool] = [all(row) for row in np.isfinite(probabilities).tolist()]
        winners: list[int] = np.argmax(probabilities, axis=1).tolist()
        return Prediction(
            model=self.model,
            version=self.version,
            predictions=[
                classes[winner] if sure else None
                for winner, sure in zip(winners, certain, strict=True)
            ],
            probabilities=[
                row if sure else [None] * len(classes)
                for row, sure in zip(probabilities.tolist(), certain, strict=True)
            ],
            classes=classes,
        )


class PredictionEngine:
    """Answers predictions and keeps the `capacity` versions that were used last.

    Versions never change, so a loaded one stays valid. Threads may share an engine: when several
    ask for a version that is not loaded, one loads it and the others wait. A version that cannot
    be loaded is not kept, so that the next request tries again.
    """

    def __init__(
        self, files: VersionFiles, capacity: int, max_instances: int | None = None
    ) -> None:
        self._files = files
        self._capacity = capacity
        self._max_instances = max_instances
        self._loaded: OrderedDict[tuple[str, int], Future[LoadedVersion]] = OrderedDict()
        self._lock = Lock()

    def predict(
        self,
        model: str,
        version: int,
        instances: Sequence[object],
        unknown_columns: str = "error",
        missing_columns: str = "error",
    ) -> Prediction:
        """Answer `instances` with one version.

        Columns that the version does not take are left out with `unknown_columns="ignore"`, and
        those that an object lacks are missing cells with `missing_columns="null"`. Raises Invalid
        for instances that do not fit or are too many, ArtifactError if a file of the version is
        missing or not the one that was registered, and Unreadable if this version of Luthier cannot
        read one.
        """
        self._check_count("instances", len(instances))
        loaded = self.load(model, version)
        names = loaded.signature.names
        if unknown_columns == "ignore":
            instances = [
                {name: row[name] for name in names if name in row} if isinstance(row, dict) else row
                for row in instances
            ]
        if missing_columns == "null":
            empty = dict.fromkeys(names)
            instances = [empty | row if isinstance(row, dict) else row for row in instances]
        return loaded.predict(instances)

    def predict_table(
        self,
        model: str,
        version: int,
        table: Table,
        unknown_columns: str = "error",
        missing_columns: str = "error",
    ) -> Prediction:
        """Answer the rows of a table that was read from a file; raises as `predict`.

        The target may be among its columns. Raises Invalid at `columns.<name>` or `types.<name>`
        for a column that does not fit.
        """
        from models.data.formats.conversion import to_dataset
        from models.data.library.profile import preview

        signature = self.load(model, version).signature
        cells = {name: cells for name, cells in table.cells.items() if name != signature.target}
        types = {column.name: column.type for column in signature.columns if column.name in cells}
        if not cells.keys() & types.keys():
            raise Invalid.at("columns", f"There is none of {', '.join(signature.names)}.")
        dataset = to_dataset(cells, types)
        self._check_count("body", dataset.rows)
        _check_columns(signature.names, dataset.names, unknown_columns, missing_columns)
        rows = preview(dataset, dataset.rows)
        return self.predict(model, version, rows, "ignore", missing_columns)

    def _check_count(self, path: str, rows: int) -> None:
        limit = self._max_instances
        if limit is not None and rows > limit:
            raise Invalid.at(
                path, f"There are {rows:,} rows, more than the {limit:,} of LUTHIER_MAX_INSTANCES."
            )

    def warm(self, model: str, version: int) -> None:
        """Load a version and predict its sample row, so that the first request finds it ready."""
        loaded = self.load(model, version)
        loaded.predict([loaded.signature.sample])

    def load(self, model: str, version: int) -> LoadedVersion:
        """Return a version, read from its files unless it is held; raises as `predict`."""
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
            mine.set_result(_read_version(self._files, model, version))
        except BaseException as error:
            with self._lock:
                if self._loaded.get(key) is mine:
                    del self._loaded[key]
            mine.set_exception(error)
        return mine.result()

    def held(self) -> tuple[tuple[str, int], ...]:
        """List the versions held, the one used last at the end."""
        with self._lock:
            return tuple(self._loaded)


def _check_columns(
    taken: Sequence[str], found: Sequence[str], unknown_columns: str, missing_columns: str
) -> None:
    """Raise Invalid for columns that the version does not take, and for those that it lacks."""
    errors: dict[str, list[str]] = {}
    if unknown_columns == "error":
        text = "The model does not take it; leave it out, or ask for unknown_columns=ignore."
        errors |= {f"columns.{name}": [text] for name in found if name not in taken}
    if missing_columns == "error":
        text = "It is missing; give it, or ask for missing_columns=null."
        errors |= {f"columns.{name}": [text] for name in taken if name not in found}
    if errors:
        raise Invalid(errors)


def _read_version(files: VersionFiles, model: str, version: int) -> LoadedVersion:
    content = files.read(model, version, "model.onnx")
    document = files.read(model, version, "signature.json")
    what = f"version {version} of model {model!r}"
    signature = parse_json(document, f"signature.json of {what}")
    check_document(signature, SignatureSchema(), f"signature.json of {what}")
    try:
        session = onnxruntime.InferenceSession(
            content, sess_options=_session_options(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise Unreadable(f"model.onnx of {what}", str(error)) from error
    return LoadedVersion(model, version, Signature.from_json(signature), session)


def _session_options() -> Any:
    # A request is too small to split: more threads only wait for each other, and the server
    # already has a thread a request.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def _finite(column: Array) -> list[float | None]:
    values: list[float | None] = column.tolist()
    finite = np.isfinite(column)
    if finite.all():
        return values
    return [value if ok else None for value, ok in zip(values, finite.tolist(), strict=True)]
