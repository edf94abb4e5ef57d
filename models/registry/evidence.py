"""The documents beside a version's graphs: signature.json and evidence.json."""

import math
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version as installed
from typing import Any, Literal

import numpy as np

from models.data.columns import Column, ColumnType
from models.data.datetimes import format_rfc3339
from models.data.preparation.tasks import Task
from models.data.preparation.weighting import class_weight_to_json
from models.registry.documents import ColumnDocument, SignatureDocument
from models.registry.held_out import HeldOut
from models.registry.parity import Parity
from models.trials.data import LoadedData, PreparedFold
from models.trials.spec import TrialResult, TrialSpec

MOST_CATEGORIES = 50  # listed in signature.json; of a column with more, none
_LIBRARIES = ("tensorflow", "keras", "keras-tuner", "scikit-learn", "numpy", "onnx", "tf2onnx")

Weights = Literal["kept", "refitted"]


@dataclass(frozen=True, slots=True)
class Training:
    """Where a version's weights come from."""

    weights: Weights  # kept: the trial's own; refitted: trained again on validation rows too
    rows: int  # that they were trained on
    epochs: int  # after which they were taken
    seconds: float  # of the search's training of this trial and of the refit, if there was one
    class_weights: dict[str, float] | None  # of those rows, by label; None if classes had none


def signature_document(data: LoadedData, target: str, fold: PreparedFold) -> SignatureDocument:
    """What a version takes and gives; the sample is a training row, a complete one if there is."""
    task = fold.training.outputs.task
    columns = [data.dataset.column(name) for name in data.features]
    rows = data.split.folds[0].train
    return {
        "task": task.value,
        "target": target,
        "columns": [_column_document(column, data, rows) for column in columns],
        "classes": None if task is Task.REGRESSION else list(fold.encoder.classes),
        "sample": _sample(columns, data, rows),
    }


def evidence_document(
    trial: TrialSpec,
    result: TrialResult,
    data: LoadedData,
    training: Training,
    held_out: HeldOut,
    parity: Parity,
) -> dict[str, Any]:
    """Why a version may be trusted: scores with spread, test and baseline metrics, lineage."""
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
        "test": {
            "rows": held_out.rows,
            "metrics": held_out.metrics,
            "note": None if held_out.rows else "No rows were held out for a test.",
        },
        "baseline": {
            "predicts": "mean" if trial.data.task is Task.REGRESSION else "majority",
            "metrics": held_out.baseline,
        },
        "training": asdict(training),
        "parameters": result.parameters,
        "parity": asdict(parity),
        "lineage": _lineage(trial, data),
        "libraries": dict(_versions()),
    }


@cache
def _versions() -> dict[str, str]:
    """The versions of what makes a network, by name; they are looked up on disk."""
    libraries = {name: installed(name) for name in (*_LIBRARIES, "onnxruntime")}
    return {"python": platform.python_version(), **libraries}


def _lineage(trial: TrialSpec, data: LoadedData) -> dict[str, Any]:
    other = data.validation_dataset
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
        "validation_dataset": None if other is None else other.digest(),
        "target": trial.data.target,
        "features": list(data.features),
        "class_weight": class_weight_to_json(trial.data.class_weight),
        "sample_weight": trial.data.sample_weight,
        "evaluation": asdict(trial.data.evaluation) | {"seed": trial.data.seed},
    }


def _column_document(
    column: Column, data: LoadedData, rows: np.ndarray[Any, Any]
) -> ColumnDocument:
    document: ColumnDocument = {"name": column.name, "type": column.type.value}
    if column.type is ColumnType.IMAGE:
        document["shape"] = list(column.shape)
    elif column.type is ColumnType.CATEGORY:
        seen = set(data.dataset.values[column.name][rows].tolist()) - {None}
        if len(seen) <= MOST_CATEGORIES:
            document["categories"] = sorted(seen)
    return document


def _sample(columns: list[Column], data: LoadedData, rows: np.ndarray[Any, Any]) -> dict[str, Any]:
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
    if kind is ColumnType.CATEGORY:
        return value
    if math.isnan(value):
        return None
    if kind is ColumnType.BOOLEAN:
        return bool(value)
    if kind is ColumnType.DATETIME:
        return format_rfc3339(float(value))
    return int(value) if float(value).is_integer() else float(value)
