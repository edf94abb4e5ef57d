"""Build a version in a trial process: get weights, make the files, check and write them."""

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from models.data.dataset import Dataset
from models.data.preparation.parts import Rows
from models.networks import families
from models.registry.catalog import artifact_folder
from models.registry.evidence import (
    Training,
    evidence_document,
    measure_held_out,
    signature_document,
)
from models.registry.export import ExportResult, ExportSpec, RefitError
from models.registry.files import entry_path
from models.registry.onnx.latency import measure_latency
from models.registry.onnx.model import OnnxAnswers, merge
from models.registry.onnx.parity import check_parity
from models.space.hyperparameters import TrialValues
from models.store.artifacts import Artifacts
from models.trials.data import LoadedData, PreparedFold, encoding_of, load, prepare_fold
from models.trials.monitor import monitored_loss
from models.trials.run import load_weights, train_if_missing
from models.trials.spec import DataRef, RunReport, TrialResult, TrialSpec
from models.trials.trainers.base import Run, RunResult, Weights
from models.trials.trainers.choice import choose_trainer
from models.trials.trainers.keras import released


@dataclass(frozen=True, slots=True)
class Saving:
    """The cost of saving one network as a version."""

    parameters: int
    seconds: float  # of building it, merging its graph and writing both files
    bytes: int  # of `model.onnx` and `model.keras`


def build_version(spec: ExportSpec) -> ExportResult:
    """Write every file of a version under its artifact folder; needs TensorFlow.

    The weights are those of the trial's best execution. With `refit`, or if the trial was
    cross-validated, so that each of its networks missed some of the rows, its values are trained
    once more on all rows but the test rows. If the trial's weights are needed but gone, as those
    of a reused result may be, the trial is trained again first.

    Raises ParityError if the ONNX graph does not answer as the network does, and RefitError if
    training again fails. Nothing is written then.
    """
    data = load(spec.trial.data)
    if not _is_refitted(spec, data):
        spec = _with_weights(spec)
    fold, weights, training = _weights(spec, data)
    network = _network(spec.trial, fold, weights)
    graph = merge(fold.preprocessor, fold.encoder, network)
    onnx = OnnxAnswers.load(graph)
    parity = check_parity(network, fold, onnx, data)
    held_out = measure_held_out(data, spec.trial.data.target, fold, onnx)
    signature = signature_document(data, spec.trial.data.target, fold)
    evidence = evidence_document(spec.trial, spec.result, data, training, held_out, parity)
    preprocessing = {"preprocessor": fold.preprocessor.to_json(), "target": fold.encoder.to_json()}
    files = {
        "model.onnx": graph,
        "model.keras": _keras_file(network),
        "preprocessing.json": _json_file(preprocessing),
        "signature.json": _json_file(signature),
        "held_out.json": _json_file(held_out.answers, indent=None),
    }
    entries = {name: _entry(name, content) for name, content in files.items()}
    evidence["files"] = {
        name: {"sha256": entry["sha256"], "bytes": entry["bytes"]}
        for name, entry in entries.items()
    }
    files["evidence.json"] = _json_file(evidence)
    entries["evidence.json"] = _entry("evidence.json", files["evidence.json"])
    artifacts = Artifacts(spec.trial.data.artifacts_root)
    folder = artifact_folder(spec.model, spec.version)
    for name, content in files.items():
        artifacts.write(f"{folder}/{entries[name]['path']}", content)
    return ExportResult(
        files=entries,
        metrics=held_out.metrics,
        baseline=held_out.baseline,
        parity=parity,
        layers=[asdict(layer) for layer in families.summarize(network)],
        summary=families.summary_text(network),
        parameters=int(network.count_params()),
        signature=signature,
        evidence=evidence,
    )


def measure_savings(
    network: str, several: Sequence[tuple[TrialValues, PreparedFold]]
) -> list[Saving]:
    """Build untrained networks and make the two files of a version that hold each, in memory.

    Each fold has the encoding that its values name.
    """
    with released():
        return [_measure_saving(network, values, fold) for values, fold in several]


def _is_refitted(spec: ExportSpec, data: LoadedData) -> bool:
    return spec.refit or len(data.split.folds) > 1


def _with_weights(spec: ExportSpec) -> ExportSpec:
    """Train the trial again if its weights are gone; its scores stay those that chose it."""
    again = train_if_missing(spec.trial, spec.result, measure_latency)
    if again is None:
        return spec
    if again.failure is not None:
        raise RefitError(
            f"Its weights are gone, and trained again, trial {spec.trial.number} failed: "
            f"{again.failure.message}"
        )
    return replace(spec, result=replace(spec.result, seconds=again.seconds))


def _weights(spec: ExportSpec, data: LoadedData) -> tuple[PreparedFold, Weights, Training]:
    if _is_refitted(spec, data):
        fold, trained = _refit(data, spec.trial, spec.result)
        weights, epochs, best = trained.weights, trained.best_epoch, None
        seconds = spec.result.seconds + trained.seconds
    else:
        best = _best_run(spec)
        weights = load_weights(Artifacts(spec.trial.data.artifacts_root), best.weights)
        encoding = encoding_of(spec.trial.values)
        train = data.split.folds[0].train
        fold = prepare_fold(data, spec.trial.data, train, encoding=encoding)
        epochs, seconds = best.best_epoch, spec.result.seconds
    training = Training(
        refit=best is None,
        execution=None if best is None else best.execution,
        score=None if best is None else best.score,
        rows=len(fold.training_truth),
        epochs=epochs,
        seconds=seconds,
        class_weights=fold.class_factors,
    )
    return fold, weights, training


def _best_run(spec: ExportSpec) -> RunReport:
    """Return the run that is served: the best of those that keep the constraints best."""

    def order(run: RunReport) -> tuple[float, float]:
        violation = sum(
            each.excess(run.metrics.get(each.metric)) for each in spec.trial.constraints
        )
        return violation, spec.trial.objective.loss(run.score)

    return min(spec.result.folds, key=order)


def _refit(
    data: LoadedData, trial: TrialSpec, result: TrialResult
) -> tuple[PreparedFold, RunResult]:
    """Train on every row but the test rows, for as many epochs as the trial's best took.

    Preprocessing is fitted on the same rows. No row is left to validate on, so the weights are
    those of the epoch with the least loss on the training rows, each counted by the weight of its
    class. Raises RefitError if the training diverges.
    """
    joined, rows = _join_validation(data, trial.data)
    fold = prepare_fold(joined, trial.data, rows, encoding=encoding_of(trial.values))
    run = Run(
        fold=0,
        execution=0,
        seed=trial.seed,
        network=trial.network,
        values=trial.values,
        epochs=max(1, result.best_epoch or 0),
        schedule_epochs=trial.epochs,
        monitor=monitored_loss(trial.data.class_weight),
    )
    trainer = choose_trainer(trial.network, trial.values, fold.training)
    trained = trainer.train([run], [fold.training])[0]
    if trained.diverged:
        raise RefitError(
            f"Trained on training and validation rows together, trial {trial.number} "
            f"diverged in epoch {trained.epochs}."
        )
    return fold, trained


def _join_validation(data: LoadedData, ref: DataRef) -> tuple[LoadedData, Rows]:
    """Append a validation dataset to the training dataset; return it with the rows to train on."""
    rows = data.split.training
    other = data.validation_dataset
    if other is None:
        return data, rows
    names = [*data.features, ref.target]
    if ref.sample_weight is not None:
        names.append(ref.sample_weight)
    both = Dataset(
        tuple(data.dataset.column(name) for name in names),
        {name: np.concatenate([data.dataset.values[name], other.values[name]]) for name in names},
    )
    added = data.dataset.rows + data.rows_of(other)
    return replace(data, dataset=both, validation_dataset=None), np.concatenate([rows, added])


def _network(trial: TrialSpec, fold: PreparedFold, weights: Weights) -> keras.Model:
    """Create the network without an optimizer, whose state would make its file thrice as large.

    That state belongs to a training that is over; whoever trains `model.keras` on compiles it.
    """
    data = fold.training
    network = families.create(trial.network, trial.values, data.inputs, data.outputs, trial.seed)
    network.set_weights(list(weights))
    return network


def _measure_saving(network: str, values: TrialValues, fold: PreparedFold) -> Saving:
    started = time.perf_counter()
    data = fold.training
    built = families.create(network, values, data.inputs, data.outputs, seed=0)
    graph = merge(fold.preprocessor, fold.encoder, built)
    OnnxAnswers.load(graph)
    size = len(graph) + len(_keras_file(built))
    return Saving(int(built.count_params()), time.perf_counter() - started, size)


def _keras_file(network: keras.Model) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        network.save(path)
        return path.read_bytes()


def _json_file(document: Mapping[str, Any], indent: int | None = 2) -> bytes:
    return json.dumps(document, indent=indent, allow_nan=False, ensure_ascii=False).encode()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"sha256": sha256, "bytes": len(content), "path": entry_path(name, sha256)}
