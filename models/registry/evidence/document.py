"""The documents beside a version's graphs: signature.json, held_out.json and evidence.json."""

import math
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version as installed
from typing import Any

import numpy as np

from models.data.columns import Column, ColumnType
from models.data.dataset import Dataset
from models.data.datetimes import format_rfc3339
from models.data.preparation.tasks import Task
from models.data.preparation.weighting import class_weight_to_json
from models.data.spelling import PLAIN
from models.registry.documents import Document
from models.registry.evidence.comparison import optimism_document
from models.registry.evidence.intervals import rounded
from models.registry.export import Parity
from models.trials.data import LoadedData, PreparedFold
from models.trials.spec import TrialResult, TrialSpec

MAX_CATEGORIES = 50  # listed in signature.json; of a column with more, none
MAX_HELD_OUT_ROWS = 10_000  # kept in held_out.json
MAX_PROBABILITIES = 1_000_000  # kept there, over all rows and classes
_LIBRARIES = ("tensorflow", "keras", "keras-tuner", "scikit-learn", "numpy", "onnx", "tf2onnx")

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Training:
    """The origin of a version's weights."""

    refit: bool  # whether it was trained again, on training and validation rows together
    # The run of the trial that is served, as listed in `validation.runs`: the one with the best
    # score. The trial's own score is the mean of all. None after a refit.
    execution: int | None
    score: float | None  # of that execution
    rows: int  # that they were trained on
    epochs: int  # after which they were taken
    seconds: float  # of the search's training of this trial and of the refit, if there was one
    class_weights: dict[str, float] | None  # of those rows, by label; None if classes had none


def signature_document(
    data: LoadedData, target: str, fold: PreparedFold, threshold: float | None = None
) -> Document:
    """Describe what a version takes and gives; see `models.registry.documents.SignatureSchema`.

    The sample is a training row, one without missing cells if there is one.
    """
    task = fold.training.outputs.task
    columns = [data.dataset.column(name) for name in data.features]
    unused = [name for name in data.dataset.names if name not in {*data.features, target}]
    rows = data.split.folds[0].train
    decision: Document = {}
    if task is Task.BINARY:
        label = fold.encoder.classes[positive_number(fold)]
        decision = {"threshold": threshold, "positive_class": label}
    return {
        "task": task.value,
        "target": target,
        "columns": [_column_document(column, data, rows) for column in columns],
        "classes": None if task is Task.REGRESSION else list(fold.encoder.classes),
        **decision,
        "sample": _sample(columns, data, rows),
        "unused": unused,
    }


def positive_number(fold: PreparedFold) -> int:
    """Return the number of the positive one of two classes."""
    named = fold.training.positive_class
    return 1 if named is None else named


def held_out_document(
    fold: PreparedFold, target: str, rows: Array, truth: Array, answers: Array
) -> Document:
    """List answers beside the truth; see `models.registry.documents.HeldOutSchema`.

    `rows` are numbers in the dataset, shape (rows,). Of many rows, MAX_HELD_OUT_ROWS at equal
    distances are kept, or fewer if their probabilities would number more than MAX_PROBABILITIES.
    """
    most = min(MAX_HELD_OUT_ROWS, max(1, MAX_PROBABILITIES // answers.shape[1]))
    kept = np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)
    document = nothing_held_out(fold, target)
    document["rows"] = len(rows)
    is_whole = len(kept) == len(rows)
    document["note"] = None if is_whole else f"{len(kept)} of {len(rows)} rows are kept."
    document["row_numbers"] = rows[kept].tolist()
    if document["classes"] is None:
        document["truth"] = truth[kept].astype(np.float64).tolist()
        document["predictions"] = [_rounded(answer) for answer in answers[kept, 0].tolist()]
    else:
        numbers = fold.encoder.encode(truth[kept])
        document["truth"] = [document["classes"][number] for number in numbers]
        document["probabilities"] = [
            [_rounded(share) for share in row] for row in answers[kept].tolist()
        ]
    return document


def evidence_document(
    trial: TrialSpec,
    result: TrialResult,
    data: LoadedData,
    training: Training,
    held_out: Document,
    parity: Parity,
) -> Document:
    """Say why a version may be trusted: scores with spread, test, baselines, parity, lineage.

    `held_out` is what `models.registry.evidence.held_out` says of the test rows.
    """
    test = held_out["test"]
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "objective": asdict(trial.objective),
        "score": result.score,
        "spread": result.spread,
        "validation": {
            "metrics": result.metrics,
            "runs": [
                {
                    "fold": run.fold,
                    "execution": run.execution,
                    "score": run.score,
                    "best_epoch": run.best_epoch,
                    "metrics": run.metrics,
                }
                for run in result.folds
            ],
        },
        **held_out,
        "optimism": optimism_document(
            trial.objective, result.metrics, test["metrics"], test["intervals"]
        ),
        "training": asdict(training),
        "parameters": result.parameters,
        "parity": asdict(parity),
        "lineage": _lineage(trial, data),
        "libraries": dict(_versions()),
    }


def nothing_held_out(fold: PreparedFold, target: str) -> Document:
    """Return the content of held_out.json without test rows."""
    task = fold.training.outputs.task
    is_regression = task is Task.REGRESSION
    return {
        "task": task.value,
        "target": target,
        "classes": None if is_regression else list(fold.encoder.classes),
        "rows": 0,
        "note": "No rows were held out for a test.",
        "test_dataset": None,
        "row_numbers": [],
        "truth": [],
        "predictions": [] if is_regression else None,
        "probabilities": None if is_regression else [],
    }


def _rounded(value: float) -> float | None:
    return rounded(value) if math.isfinite(value) else None


@cache
def _versions() -> dict[str, str]:
    """Versions of the libraries that make a network, by name; looked up on disk."""
    libraries = {name: installed(name) for name in (*_LIBRARIES, "onnxruntime")}
    return {"python": platform.python_version(), **libraries}


def _lineage(trial: TrialSpec, data: LoadedData) -> dict[str, Any]:
    return {
        "job": trial.job,
        "trial": trial.number,
        "network": trial.network,
        "values": dict(trial.values),
        "initial_epoch": trial.initial_epoch,
        "epochs": trial.epochs,
        "executions": trial.executions,
        "early_stopping": trial.early_stopping and asdict(trial.early_stopping),
        "seed": trial.seed,
        "dataset": data.dataset.digest(),
        "validation_dataset": _digest(data.validation_dataset),
        "test_dataset": _digest(data.test_dataset),
        "target": trial.data.target,
        "features": list(data.features),
        "class_weight": class_weight_to_json(trial.data.class_weight),
        "sample_weight": trial.data.sample_weight,
        "allow_negative": trial.data.allow_negative,
        "evaluation": asdict(trial.data.evaluation)
        | {"seed": trial.data.evaluation.seed_of(trial.data.seed)},
        "rows": len(data.split.rows),
    }


def _digest(dataset: Dataset | None) -> str | None:
    return None if dataset is None else dataset.digest()


def _column_document(column: Column, data: LoadedData, rows: Array) -> Document:
    document: Document = {"name": column.name, "type": column.type.value}
    if column.type is ColumnType.IMAGE:
        document["shape"] = list(column.shape)
    if column.spelling != PLAIN:
        document["spelling"] = column.spelling.to_json()
    if column.type is ColumnType.CATEGORY:
        seen = set(data.dataset.values[column.name][rows].tolist()) - {None}
        if len(seen) <= MAX_CATEGORIES:
            document["categories"] = sorted(seen)
    return document


def _sample(columns: list[Column], data: LoadedData, rows: Array) -> dict[str, Any]:
    candidates = (
        {item.name: _cell(item.type, data.dataset.values[item.name][row]) for item in columns}
        for row in rows[:1000]
    )
    fallback: dict[str, Any] = {}
    for sample in candidates:
        if None not in sample.values():
            return sample
        fallback = fallback or sample
    return fallback


def _cell(kind: ColumnType, value: Any) -> Any:
    """A cell as a request would send it."""
    if kind is ColumnType.IMAGE:
        return value.tolist()
    if kind.is_text:
        return value
    if math.isnan(value):
        return None
    if kind is ColumnType.BOOLEAN:
        return bool(value)
    if kind is ColumnType.DATETIME:
        return format_rfc3339(float(value))
    return int(value) if float(value).is_integer() else float(value)
